"""The reply to one GET, read as it arrives and under strict bounds (RFC 9112). Knows no sockets."""

import re
from typing import Final

_EMPTY_LINE: Final = re.compile(rb"\r?\n\r?\n")
_STATUS: Final = re.compile(rb"[1-9][0-9]{2}")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")
_MOST_LINE: Final = 256  # of a chunk's size line


class BadReply(Exception):
    """What came back is not HTTP, or breaks a bound; the text says which."""


class ReplyReader:
    """Feed it bytes until it says done; then ``status``, ``location`` and ``body`` tell what the server said.

    ``max_head`` bounds status line, headers and interim replies, and likewise everything a chunked reply sends
    after them; ``max_body`` bounds the body, without the white space at its end.
    """

    __slots__ = ("_buffer", "_chunked", "_head_done", "_length", "_max_body", "_max_head", "_spent", "body",
                 "location", "overlong", "status")  # fmt: skip

    def __init__(self, *, max_head: int, max_body: int) -> None:
        self._max_head = max_head
        self._max_body = max_body
        self._buffer = bytearray()
        self._head_done = False
        self._chunked = False
        self._length: int | None = None  # of the body, or of the chunk being read
        self._spent = 0
        self.status = 0
        self.location: bytes | None = None
        self.body = bytearray()
        self.overlong = False  # the body went on over max_body and was not read further

    def feed(self, data: bytes) -> bool:
        """Take more bytes; True when the reply is complete, or so long that the rest does not matter.

        Raises:
            BadReply: not HTTP, or out of bounds.
        """
        self._spent += len(data)
        search_from = max(0, len(self._buffer) - 3)  # the empty line may straddle two pieces
        self._buffer += data
        while not self._head_done:
            found = _EMPTY_LINE.search(self._buffer, search_from)
            if found is None:
                self._check_unfinished_head()
                return False
            self._take_head(found)
            search_from = 0
        return self._take_body()

    def end(self) -> None:
        """The server closed: whatever body there is, is the body.

        Raises:
            BadReply: it closed before a whole status line and headers were there.
        """
        if not self._head_done:
            raise BadReply("the connection was closed before a whole reply came")

    def _take_head(self, empty_line: re.Match[bytes]) -> None:
        lines = bytes(self._buffer[: empty_line.start()]).split(b"\n")
        del self._buffer[: empty_line.end()]
        status = _status(lines[0])
        if self._spent - len(self._buffer) > self._max_head:
            raise BadReply(f"headers longer than {self._max_head} bytes")
        if status == 101:
            raise BadReply("it switched protocols unasked")
        if 100 <= status < 200:  # interim; the reply follows (RFC 9110 15.2)
            return
        self.status = status
        self._headers(lines[1:])
        self._head_done = True
        self._spent = len(self._buffer)

    def _check_unfinished_head(self) -> None:
        if not b"HTTP/".startswith(self._buffer[:5]):
            raise BadReply("what came back is not HTTP")
        if self._spent > self._max_head:
            raise BadReply(f"headers longer than {self._max_head} bytes")

    def _headers(self, lines: list[bytes]) -> None:
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                continue  # a folded or broken line; none that we need may look so
            name, value = name.strip().lower(), value.strip()
            if name == b"location" and self.location is None:
                self.location = value
            elif name == b"content-length":
                self._content_length(value)
            elif name == b"transfer-encoding":
                if value.lower() not in (b"chunked", b"identity"):
                    raise BadReply("it used a transfer encoding that was not offered")
                self._chunked = value.lower() == b"chunked"
            elif name == b"content-encoding" and value.lower() not in (b"identity", b""):
                raise BadReply("its body is compressed, though no compression was offered")
        if self._chunked:
            self._length = None

    def _content_length(self, value: bytes) -> None:
        if not value.isdigit() or len(value) > 18:
            raise BadReply("its Content-Length is not a number")
        if self._length is not None and self._length != int(value):
            raise BadReply("it sent two different Content-Lengths")
        self._length = int(value)

    def _take_body(self) -> bool:
        if self.status in (204, 304):
            return True
        if self._chunked:
            return self._take_chunks()
        self.body += self._buffer
        self._buffer.clear()
        if self._length is not None:
            del self.body[self._length :]
        return self._is_overlong() or (self._length is not None and len(self.body) >= self._length)

    def _take_chunks(self) -> bool:
        while not self._is_overlong():
            if self._length is None:
                size, newline, rest = self._buffer.partition(b"\n")
                if not newline:
                    if len(size) > _MOST_LINE:
                        raise BadReply("its chunked body is broken")
                    break
                if not size.strip():  # the line end behind a chunk
                    self._buffer = rest
                    continue
                self._buffer = rest
                self._length = _chunk_size(size)
                if self._length == 0:
                    return True
            taken = self._buffer[: self._length]
            del self._buffer[: self._length]
            self.body += taken
            self._length -= len(taken)
            if self._length:
                break
            self._length = None
        if self._is_overlong():
            return True
        if self._spent > self._max_head:
            raise BadReply("its chunked body is longer than it may be")
        return False

    def _is_overlong(self) -> bool:
        """Trailing white space may be any length that fits the other bounds (RFC 8555 8.3 has it ignored)."""
        if len(self.body) > self._max_body and (
            len(self.body.rstrip()) > self._max_body or self._spent > self._max_head
        ):
            self.overlong = True
        return self.overlong


def _status(line: bytes) -> int:
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not _STATUS.fullmatch(parts[1]):
        raise BadReply("what came back is not HTTP")
    return int(parts[1])


def _chunk_size(line: bytearray) -> int:
    digits = bytes(line.partition(b";")[0].strip())
    if not _CHUNK_SIZE.fullmatch(digits):
        raise BadReply("its chunked body is broken")
    return int(digits, 16)
