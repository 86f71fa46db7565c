"""Problem documents (RFC 9457): the one shape in which every protocol here that speaks JSON reports an error.

`Problem` is the document, `ProblemError` the exception that carries one to the place that answers. The ACME types
stand in `servers.acme.problems`; everything that has no type of its own is `about:blank` and says only its status.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from servers.web.strict_json import JsonObject, JsonValue
from store.json_text import encoder

MEDIA_TYPE: Final = (
    "application/problem+json"  # exactly this, with no charset: some clients compare the string
)
MAX_DETAIL: Final = 2000  # characters
_encode: Final = encoder(ascii_only=False)
_STANDARD_MEMBERS: Final = frozenset({"type", "title", "status", "detail", "instance"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document, without the HTTP around it (RFC 9457 section 3).

    `detail` is for people. It is cut at MAX_DETAIL characters and cleared of control characters here, but whoever
    writes it keeps secrets out and puts a stranger's text through `quoted`. `members` are extension members (section
    3.2) and follow the standard ones in the order given.
    """

    status: int
    detail: str = ""
    type: str = "about:blank"
    title: str = ""
    instance: str | None = None
    members: Mapping[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ValueError(f"a problem needs an error status, not {self.status}")
        if clash := _STANDARD_MEMBERS & self.members.keys():
            raise ValueError(f"extension members may not be called {sorted(clash)}")
        object.__setattr__(self, "detail", _printable(self.detail))
        if self.type == "about:blank" and not self.title:
            # Section 4.2.1: about:blank says no more than the status, so the title is the status phrase.
            object.__setattr__(self, "title", _phrase(self.status))

    def document(self) -> JsonObject:
        """The JSON object: absent members are left out, the order never changes."""
        document: JsonObject = {"type": self.type}
        if self.title:
            document["title"] = self.title
        document["status"] = self.status
        if self.detail:
            document["detail"] = self.detail
        if self.instance is not None:
            document["instance"] = self.instance
        document.update(self.members)
        return document

    def to_bytes(self) -> bytes:
        """The document as compact UTF-8 JSON with plain slashes."""
        return render(self.document())


class ProblemError(Exception):
    """An error that already knows its answer: the document, and the headers that belong to it (Allow, Retry-After)."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem
        self.headers: Mapping[str, str] = dict(headers or {})


def render(value: JsonValue) -> bytes:
    """Compact UTF-8 JSON in the order given; shell clients grep for `"type":"...` and for URLs with plain slashes."""
    return _encode(value).encode("utf-8", "backslashreplace")  # half a surrogate pair becomes its JSON escape


def quoted(text: str, limit: int = 64) -> str:
    """A stranger's text as it may stand inside a detail: in quotes, escaped, at most `limit` characters of it."""
    return repr(text[:limit]) + ("..." if len(text) > limit else "")


def _printable(text: str) -> str:
    text = text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 3] + "..."
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
