"""The reader of one HTTP reply, bytes in small pieces, against the standard library as judge."""

import contextlib
import http.client
import io
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policy.validation.http_reply import BadReply, ReplyReader


def read(data: bytes, pieces: int = 10**6, *, max_head: int = 2048, max_body: int = 64) -> ReplyReader:
    reader = ReplyReader(max_head=max_head, max_body=max_body)
    for at in range(0, len(data), pieces):
        if reader.feed(data[at : at + pieces]):
            return reader
    reader.end()
    return reader


CASES: list[tuple[bytes, int, bytes]] = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", 200, b"hello"),
    (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
    (b"HTTP/1.1 200\r\n\r\nno reason", 200, b"no reason"),
    (b"HTTP/1.1 200 OK\nServer: lf only\n\nbody\r\n\r\nmore", 200, b"body\r\n\r\nmore"),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",
        200,
        b"hello!",
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        200,
        b"ok",
    ),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n", 200, b"ok"),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok",
        200,
        b"ok",
    ),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, b""),
    (b"HTTP/1.1 204 No Content\r\n\r\nignored", 204, b""),
    (b"HTTP/1.1 200 OK\r\nbroken line\r\n folded\r\nContent-Length : 2\r\n\r\nok", 200, b"ok"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", 200, b"he"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\nok", 200, b"ok"),
]


@pytest.mark.parametrize(("wire", "status", "body"), CASES)
@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 10**6])
def test_replies_that_are_understood(wire: bytes, status: int, body: bytes, pieces: int) -> None:
    reader = read(wire, pieces)
    assert (reader.status, bytes(reader.body), reader.overlong) == (status, body, False)


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (b"", "closed before a whole reply"),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n", "closed before a whole reply"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"<html>hello</html>", "not HTTP"),
        (b"HTTP/1.1 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 000 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 +20 OK\r\n\r\n", "not HTTP"),
        (b"\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "switched protocols"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, "headers longer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 400, "headers longer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 3000 + b"\r\n\r\n", "headers longer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two different"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not a number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n", "not a number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", "not a number"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "compressed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunked body is broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "chunked body is broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n", "chunked body is broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 300, "chunked body is broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"\r\n" * 2000, "longer than it may be"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 5, 10**6])
def test_replies_that_are_refused(wire: bytes, words: str, pieces: int) -> None:
    with pytest.raises(BadReply, match=words):
        read(wire, pieces)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n",
    ],
)
def test_a_long_body_is_not_read_to_its_end(head: bytes) -> None:
    reader = ReplyReader(max_head=2048, max_body=64)
    assert not reader.feed(head)
    assert not reader.feed(b"x" * 64)
    assert reader.feed(b"x")
    assert reader.overlong


def test_white_space_in_small_chunks_is_bounded_too() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read(head + b"1\r\n \r\n" * 500, 100).overlong


def test_white_space_at_the_end_is_no_body_but_bounded() -> None:
    reader = ReplyReader(max_head=2048, max_body=64)
    assert not reader.feed(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 64 + b"\r\n" * 100)
    assert not reader.overlong
    assert reader.feed(b" " * 3000)
    assert reader.overlong


def test_the_location_is_the_first_one() -> None:
    reader = read(b"HTTP/1.1 302 Found\r\nLOCATION:  /a \r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")
    assert reader.location == b"/a"


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._data)


BODY = st.binary(max_size=60).filter(lambda body: body == body.rstrip())
HEADER = st.tuples(
    st.from_regex(r"X-[A-Za-z]{1,8}", fullmatch=True), st.from_regex(r"[ -~]{0,20}", fullmatch=True)
)


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    body = draw(BODY)
    lines = [f"{name}: {value}" for name, value in draw(st.lists(HEADER, max_size=5))]
    shape = draw(st.sampled_from(["length", "chunked", "closed"]))
    wire = body
    if shape == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif shape == "chunked":
        lines.append("Transfer-Encoding: chunked")
        size = draw(st.integers(1, 20))
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        wire = b"".join(f"{len(c):x}\r\n".encode() + c + b"\r\n" for c in chunks) + b"0\r\n\r\n"
    status = draw(st.sampled_from(["200 OK", "404 Not Found", "500 Oops"]))
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + wire


@given(well_formed(), st.integers(1, 50))
def test_the_standard_library_is_the_judge(wire: bytes, pieces: int) -> None:
    judge = http.client.HTTPResponse(_Socket(wire))  # type: ignore[arg-type]
    judge.begin()
    reader = read(wire, pieces)
    assert (reader.status, bytes(reader.body)) == (judge.status, judge.read())
    judge.close()


PIECES = st.sampled_from(
    [b"HTTP/1.1 ", b"200 OK\r\n", b"100 C\r\n", b"\r\n", b"\n", b"Content-Length: 3", b"Transfer-Encoding: chunked",
     b"0\r\n", b"3\r\n", b"abc", b":", b" ", b"HTTP", b"Location: /x"]
)  # fmt: skip


@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=40), st.integers(1, 30))
@example([b"HTTP/1.1 100 C\r\n\r\n"] * 200, 30)
def test_nothing_else_is_ever_raised(parts: list[bytes], pieces: int) -> None:
    with contextlib.suppress(BadReply):
        assert len(read(b"".join(parts), pieces).body) <= 64 + 2048 + 30


@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=40), st.integers(1, 30))
def test_the_pieces_do_not_matter(parts: list[bytes], pieces: int) -> None:
    def outcome(size: int) -> object:
        try:
            reader = read(b"".join(parts), size)
        except BadReply:
            return None
        return reader.status, reader.location, reader.overlong or bytes(reader.body)

    assert outcome(pieces) == outcome(10**6)
