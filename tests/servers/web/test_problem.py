"""Problem documents that no protocol has a type for (RFC 9457)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.web.problem import MAX_DETAIL, MEDIA_TYPE, Problem, ProblemError, quoted, render


def test_the_media_type_to_the_letter() -> None:
    """acme2certifier PR#147: with anything else, .NET clients overlook badNonce."""
    assert MEDIA_TYPE == "application/problem+json"


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (415, "Unsupported Media Type"),
        (500, "Internal Server Error"),
    ],
)
def test_about_blank_has_the_status_phrase_as_title(status: int, title: str) -> None:
    """RFC 9457 section 4.2.1."""
    assert Problem(status).document() == {
        "type": "about:blank",
        "title": title,
        "status": status,
    }


def test_a_status_without_a_phrase() -> None:
    assert Problem(499).title == "Error"


def test_headers_travel_with_the_error() -> None:
    error = ProblemError(Problem(405, "only POST"), {"Allow": "POST"})
    assert error.headers == {"Allow": "POST"}
    assert str(error) == "only POST"


def test_bytes_are_compact_in_order_with_plain_slashes() -> None:
    problem = Problem(
        400, "because", "https://ca.test/p", "Title", "https://ca.test/i", members={"z": ["a/b"], "a": None}
    )
    assert problem.to_bytes() == (
        b'{"type":"https://ca.test/p","title":"Title","status":400,"detail":"because",'
        b'"instance":"https://ca.test/i","z":["a/b"],"a":null}'
    )


@pytest.mark.parametrize("member", ["type", "title", "status", "detail", "instance"])
def test_an_extension_cannot_replace_a_standard_member(member: str) -> None:
    with pytest.raises(ValueError, match=member):
        Problem(400, members={member: "x"})


@pytest.mark.parametrize("status", [0, 200, 302, 399, 600])
def test_an_error_has_an_error_status(status: int) -> None:
    with pytest.raises(ValueError, match="status"):
        Problem(status)


def test_a_long_detail_is_cut() -> None:
    assert len(Problem(400, "x" * (MAX_DETAIL + 1)).detail) == MAX_DETAIL


def test_control_characters_leave_the_detail() -> None:
    assert Problem(400, "two\nlines\x1b[31m \u202egnol").detail == "two lines [31m  gnol"


def test_other_scripts_stay_readable() -> None:
    assert "für Zürich".encode() in Problem(400, "für Zürich").to_bytes()


@given(st.text())
def test_quoted_is_printable_and_bounded(text: str) -> None:
    shown = quoted(text)
    assert shown.isprintable()
    assert len(shown) <= 64 * 10 + 5
    assert render(shown)


def test_quoted_shows_the_beginning() -> None:
    assert quoted("abc") == "'abc'"
    assert quoted("a\nb") == r"'a\nb'"
    assert quoted("x" * 100, 5) == "'xxxxx'..."


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_render_is_json(value: object) -> None:
    assert json.loads(render(value)) == value  # type: ignore[arg-type] # hypothesis knows no JsonValue


def test_half_a_surrogate_pair_is_still_json() -> None:
    assert render("\ud800") == b'"\\ud800"'


def test_nan_is_not_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        render(float("nan"))
