"""Reading the pages: their fenced blocks, their tables, their links, their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"(`{3,}|~{3,})\s*(\S*)\s*")
_MARK = re.compile(r"<!--\s*(.*?)\s*-->\s*")
_HEADING = re.compile(r"(#{1,6}) (.+)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE_SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """What stands between two fences. `mark` is the text of an HTML comment on the line before."""

    page: Path
    line: int
    language: str
    mark: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [part for part in _parts(page) if isinstance(part, Block)]


def prose(page: Path) -> list[str]:
    """The lines of a page that are in no fenced block."""
    return [part for part in _parts(page) if isinstance(part, str)]


def headings(page: Path) -> list[str]:
    """The texts of the headings."""
    return [match[2].strip() for line in prose(page) if (match := _HEADING.fullmatch(line))]


def anchors(page: Path) -> set[str]:
    """What a link to a heading has behind its `#`."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings(page))
    return {heading.replace(" ", "-") for heading in plain}


def links(page: Path) -> list[str]:
    """The targets of all links."""
    return [target for line in prose(page) for target in _LINK.findall(_CODE_SPAN.sub("", line))]


def code_spans(page: Path) -> list[str]:
    """What stands in backticks, also over the end of a line."""
    return [" ".join(span.split()) for span in _CODE_SPAN.findall("\n".join(prose(page)))]


def rows(page: Path) -> list[tuple[str, list[str]]]:
    """The rows of all tables, without headings: (the heading of the page above it, the cells)."""
    found: list[tuple[str, list[str]]] = []
    above = ""
    inside = 0
    for line in prose(page):
        if match := _HEADING.fullmatch(line):
            above = match[2].strip()
        if not line.startswith("|"):
            inside = 0
            continue
        inside += 1
        if inside > 2:
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            found.append((above, [cell.strip().replace("\\|", "|") for cell in cells]))
    return found


def _parts(page: Path) -> Iterator[str | Block]:
    lines = iter(enumerate(page.read_text().splitlines(), 1))
    mark = ""
    for number, line in lines:
        if opening := _FENCE.fullmatch(line):
            inside = []
            for _, inner in lines:
                if inner.strip() == opening[1]:
                    break
                inside.append(inner)
            else:
                raise AssertionError(f"{page}:{number}: the block is not closed")
            yield Block(page, number, opening[2], mark, tuple(inside))
            mark = ""
            continue
        comment = _MARK.fullmatch(line)
        mark = comment[1] if comment else mark if not line.strip() else ""
        yield line
