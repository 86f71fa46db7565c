"""Profile files as text: the tables of a TOML file, and refusals that name line, field and remedy."""

import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

MAX_SIZE: Final = 256 * 1024
"""The largest file or definition that is read, in bytes."""
MAX_PROFILES: Final = 500
_SHOWN: Final = 63
"""Characters of a foreign name in a message: the length of the longest slug."""


class ProfileRefused(ValueError):
    """A definition that is no profile. `problems` holds one sentence for each thing to put right."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems: Final = tuple(problems)


def read_tables(data: bytes) -> list[dict[str, Any]]:
    """The `[[profile]]` tables of a file, holding JSON types only. Raises ProfileRefused."""
    if len(data) > MAX_SIZE:
        raise ProfileRefused([f"the file is larger than {MAX_SIZE} bytes: split it"])
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProfileRefused([f"line {line}: the file is not UTF-8 text"]) from None
    except (ValueError, RecursionError) as error:  # ValueError: also numbers of thousands of digits
        raise ProfileRefused([f"the file is not TOML: {error}"]) from None
    tables = document.pop("profile", None)
    problems = [
        f"unknown top-level entry {key[:_SHOWN]!r}: a file holds [[profile]] tables only" for key in document
    ]
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        problems.append("the file holds no [[profile]] table (two brackets on each side)")
        tables = []
    if len(tables) > MAX_PROFILES:
        problems.append(f"the file holds more than {MAX_PROFILES} profiles: split it")
    for index, table in enumerate(tables):
        problems += [
            f"line {line_of(data, index, path)}: {path}: no field takes a bare date or such a number"
            for path in _not_json(table, "")
        ]
    if problems:
        raise ProfileRefused(problems)
    return tables


def _not_json(value: object, path: str) -> Iterator[str]:
    """The paths of values that JSON cannot write, or not in a bounded number of digits."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _not_json(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _not_json(inner, f"{path}.{index}")
    elif isinstance(value, datetime | date | time | float) or (
        isinstance(value, int) and abs(value) >= 2**63
    ):
        yield path


def explain(model: type[BaseModel], error: ValidationError) -> list[tuple[str, str]]:
    """(path, words) for each thing wrong: what pydantic found, said to an operator."""
    details = error.errors(include_url=False, include_input=False)
    # A default that waits for a field that is wrong itself says nothing new.
    return [(_path(d), _words(model, d)) for d in details if d["type"] != "default_factory_not_called"]


def _path(detail: ErrorDetails) -> str:
    return ".".join(str(part)[:_SHOWN] for part in detail["loc"])


_PLAIN_WORDS: Final = {
    "bool_type": "write true or false, without quotes",
    "int_type": "write a whole number, without quotes",
    "string_type": "write text in quotes",
    "tuple_type": 'write a list: ["...", "..."]',
    "model_type": "this is a section: write a table for it",
    "json_invalid": "this is not JSON",
}


def _words(model: type[BaseModel], detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in {"enum", "literal_error"}:
        return f"must be {context['expected']}"
    if kind in {"extra_forbidden", "missing"}:
        *parents, name = (str(part) for part in detail["loc"])
        known = _fields(model, parents)
        if kind == "missing":
            return "this field must be given"
        near = get_close_matches(name, known, n=1)
        return (
            f'unknown field; did you mean "{near[0]}"?'
            if near
            else f"unknown field; known are {', '.join(known)}"
        )
    return _PLAIN_WORDS.get(kind, detail["msg"])


def _fields(model: type[BaseModel], parents: list[str]) -> list[str]:
    """The field names of the section at this path, as far as the path can be followed."""
    for part in parents:
        field = model.model_fields.get(part)
        inner = _section(field.annotation) if field else None
        if inner is None and field is not None:
            return []
        model = inner or model  # an index into a list: the section stays
    return list(model.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        if (found := _section(part)) is not None:
            return found
    return None


_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?")
_ENTRY: Final = re.compile(r"\s*([A-Za-z0-9_.\"'-]+(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")


def line_of(data: bytes, index: int, path: str) -> int:
    """The line (from 1) where this field of the index-th profile is written, or the nearest line above it.

    A search for headers and `key =` in text that is known to be TOML: an entry inside an inline table or a
    missing field is found at what holds it.
    """
    wanted = path.split(".") if path else []
    best, depth = 1, -1
    profile, section = -1, [""]
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            keys = _keys(header[2])
            if keys[0] != "profile":
                continue
            profile += len(keys) == 1
            section = keys[1:]
            found = section
        elif entry := _ENTRY.match(line):
            found = section + _keys(entry[1])
        else:
            continue
        if profile == index and len(found) > depth and wanted[: len(found)] == found:
            best, depth = number, len(found)
    return best


def _keys(dotted: str) -> list[str]:
    return [key.strip().strip("\"'") for key in dotted.split(".")]
