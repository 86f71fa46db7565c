"""Compact JSON, the same whoever writes it."""

import json
import json.encoder
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.json_text import encoder

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.booleans(), st.booleans())
def test_it_is_what_the_standard_encoder_writes(value: Any, ascii_only: bool, sort_keys: bool) -> None:
    text = encoder(ascii_only=ascii_only, sort_keys=sort_keys)(value)
    assert text == json.dumps(value, ensure_ascii=ascii_only, sort_keys=sort_keys, separators=(",", ":"))


@pytest.fixture(params=["with", "without"])
def interpreter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter with an encoder in C, and one without."""
    if request.param == "without":
        monkeypatch.setattr(json.encoder, "c_make_encoder", None)


@pytest.mark.usefixtures("interpreter")
class TestEveryInterpreter:
    def test_the_text(self) -> None:
        value = {"b": ['\u00fc/"\\\n', 1, 1.5, None, True], "a": {}}
        assert encoder(ascii_only=False)(value) == r'{"b":["ü/\"\\\n",1,1.5,null,true],"a":{}}'
        assert encoder(sort_keys=True)(value) == r'{"a":{},"b":["\u00fc/\"\\\n",1,1.5,null,true]}'
        assert encoder()("ü") == r'"\u00fc"'

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
    def test_no_number_is_not_json(self, number: float) -> None:
        with pytest.raises(ValueError, match="JSON"):
            encoder()([number])

    def test_what_json_does_not_know(self) -> None:
        with pytest.raises(TypeError, match="bytes"):
            encoder()({"a": b""})

    def test_what_holds_itself(self) -> None:
        value: list[Any] = []
        value.append(value)
        with pytest.raises((RecursionError, ValueError)):
            encoder()(value)
