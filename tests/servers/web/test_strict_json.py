"""JSON from strangers: one meaning, bounded (RFC 8259)."""

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.web.strict_json import MAX_INTEGER, MAX_NESTING, JsonRefused, load, load_object

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON, st.booleans(), st.sampled_from([None, 0, 2]))
def test_ordinary_json_is_what_the_standard_reader_says(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert load(f" \t\r\n{text}\n".encode()) == value


@given(st.binary(max_size=60) | st.text('{}[]":,\\ud8001eE+-.ntfalsr \n', max_size=30).map(str.encode))
def test_any_octets_are_refused_or_mean_what_the_standard_reader_says(data: bytes) -> None:
    try:
        value = load(data)
    except JsonRefused:
        return
    assert value == json.loads(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b" ", "not JSON"),
        (b"{", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"01", "more than one"),
        (b"1 2", "more than one"),
        (b"{}\x0b", "more than one"),
        (b"\xa0{}", "UTF-8"),
        ("\u00a0{}".encode(), "not JSON"),
        (b"'a'", "not JSON"),
        (b'"a\nb"', "not JSON"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        ('"a"'.encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "NaN"),
        (b"1e400", "number"),
        (b"-1e400", "number"),
        (str(MAX_INTEGER + 1).encode(), "integer"),
        (b"-" + str(MAX_INTEGER + 1).encode(), "integer"),
        (b"1" * 5000, "integer"),
        (b'{"a":1,"a":1}', "twice"),
        (b'[{"b":{"a":1,"\\u0061":1}}]', "twice"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b'"\\u0000"', "NUL"),
        (b'{"\\u0000":1}', "NUL"),
    ],
)
def test_refused(data: bytes, why: str) -> None:
    with pytest.raises(JsonRefused, match=why):
        load(data)


def test_escapes_that_are_fine() -> None:
    assert load(b'"\\ud83d\\ude00 \\\\u0000 \\n \\/"') == "\U0001f600 \\u0000 \n /"


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_nesting(opened: str, closed: str) -> None:
    def text(depth: int) -> bytes:
        return (opened * depth + "1" + closed * depth).encode()

    load(text(MAX_NESTING))
    for depth in (MAX_NESTING + 1, 500, 5000):
        with pytest.raises(JsonRefused, match="nested"):
            load(text(depth))


def test_many_things_side_by_side_are_not_deep() -> None:
    many = [{"type": "dns", "value": f"{n}.example"} for n in range(500)]
    assert load(json.dumps({"identifiers": many}).encode()) == {"identifiers": many}


@pytest.mark.parametrize("data", [b"[]", b"null", b'"{}"', b"1"])
def test_load_object(data: bytes) -> None:
    assert load_object(b'{"a":1}') == {"a": 1}
    with pytest.raises(JsonRefused, match="object"):
        load_object(data)


def test_the_message_never_quotes_the_sender() -> None:
    with pytest.raises(JsonRefused) as caught:
        load(b'{"password": hunter2}')
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_threads_may_share_it() -> None:
    """One decoder serves all; the names it keeps between values must not mix."""
    wrong: list[object] = []

    def read(own: int) -> None:
        for turn in range(2000):
            value = {f"{own}-{turn}-{n}": [n] for n in range(10)}
            if load(json.dumps(value).encode()) != value:
                wrong.append(value)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
