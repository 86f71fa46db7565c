"""conformance/rfc8555.md names tests that exist, and has a test or a reason in every row."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TABLE = ROOT / "conformance" / "rfc8555.md"
TEST = re.compile(r"`([\w/]+\.py)::([\w:]+)`")
# Without a test, a row says why in words that begin like this.
REASONS = ("not pinned", "not offered", "not done", "not ours")


def rows() -> list[tuple[int, list[str]]]:
    """The rows of all tables, with their line numbers: cells without the heads."""
    found = []
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if line.startswith("| ") and not line.startswith(("| ---", "| section ", "| kind ")):
            found.append((number, [cell.strip() for cell in line.strip("|").split("|")]))
    return found


@cache
def names_in(path: Path) -> frozenset[str]:
    """The functions of a module, and those of its classes as `Class::function`."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.update(
                f"{node.name}::{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            )
    return frozenset(found)


def place(file: str) -> Path:
    return ROOT / "tests" / (file if "/" in file else f"servers/acme/{file}")


def missing(text: str) -> list[str]:
    """The tests named in `text` that are not there."""
    return [
        f"{file}::{name}"
        for file, name in TEST.findall(text)
        if not place(file).is_file() or name not in names_in(place(file))
    ]


def test_there_is_a_table() -> None:
    assert len(rows()) > 100
    assert all(len(cells) == 3 and all(cells) for _, cells in rows())


def test_every_row_has_a_test_or_a_reason() -> None:
    without = [
        (number, cells[2])
        for number, cells in rows()
        if not TEST.search(cells[2]) and not cells[2].startswith(REASONS)
    ]
    assert without == []


def test_every_test_exists() -> None:
    assert [(number, gone) for number, cells in rows() for gone in missing(cells[2])] == []


def test_nothing_in_backticks_is_overlooked() -> None:
    """A name that the pattern does not match would never be looked for."""
    odd = [
        (number, text)
        for number, cells in rows()
        for text in re.findall(r"`([^`]*\.py[^`]*)`", cells[2])
        if not TEST.fullmatch(f"`{text}`")
    ]
    assert odd == []


@pytest.mark.parametrize(
    "text",
    [
        "`test_flow.py::test_that_is_not_there`",
        "`test_orders.py::TestDates::test_that_is_not_there`",
        "`test_orders.py::test_any_offset_names_the_same_moment`",
        "`no_such.py::test`",
        "`policy/no_such.py::test`",
    ],
)
def test_it_can_fail(text: str) -> None:
    assert len(missing(text)) == 1
