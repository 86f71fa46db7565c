"""What pages point at is there: other pages, headings, files, make targets, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from servers.cli.main import app
from tests.docs.markdown import PAGES, ROOT, anchors, blocks, code_spans, links
from tests.docs.transcript import steps

by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
_PATH = re.compile(
    r"(?:servers|policy|ca|store|tests|docs|bench|conformance|tools|changes)/[\w./-]*|[\w-]+\.(?:md|toml)|requirements[\w-]*\.lock"
)
_OPERATORS_FILES = {"certctl.toml", "CHANGELOG.md"}
_TARGET = re.compile(r"(?<!-y )\bmake ([a-z][a-z-]*)")
_COMMAND = re.compile(r"(?<![\w/.-])certctl ((?:-{0,2}\w[\w.:/=-]* ?)*)")


def written_as_code(page: Path) -> Iterator[str]:
    """Code spans of a page, and the commands and comments of its blocks."""
    yield from code_spans(page)
    for block in blocks(page):
        if block.language == "console":
            yield from (step.command for step in steps(block.lines))
        elif block.language in ("", "text"):
            yield from block.lines


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


@by_name
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@by_name
def test_files_are_there(page: Path) -> None:
    for span in code_spans(page):
        name = span.partition("::")[0]
        if _PATH.fullmatch(name) and name not in _OPERATORS_FILES:
            places = [ROOT / name, ROOT / "docs" / name, ROOT / "conformance" / name]
            assert any(place.exists() for place in places), f"{page.name}: {span}"


@by_name
def test_tests_are_there(page: Path) -> None:
    for span in code_spans(page):
        name, _, inner = span.partition("::")
        if inner and name.startswith("tests/"):
            for part in inner.partition("[")[0].split("::"):
                defined = rf"^ *(?:async def|def|class) {part}\b"
                assert re.search(defined, (ROOT / name).read_text(), re.MULTILINE), f"{page.name}: {span}"


@by_name
def test_make_has_the_targets(page: Path) -> None:
    for text in written_as_code(page):
        for target in _TARGET.findall(text):
            assert target in targets(), f"{page.name}: make {target}"


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == targets()


@by_name
def test_certctl_has_the_commands(page: Path) -> None:
    for text in written_as_code(page):
        for command in _COMMAND.findall(text):
            words = shlex.split(command)
            if words and not words[0].startswith("-"):
                check_command(words, f"{page.name}: certctl {command}")


def check_command(words: list[str], where: str) -> None:
    """Every leading word has to be a command, until one is reached that takes arguments; then its options count."""
    words = [word for word in words if word != "--help"]
    chain, apps, _ = app.parse_commands(words)
    assert chain, where
    leaf: App = apps[-1]
    rest = words[len(chain) :]
    if leaf.default_command is None:
        assert not rest, where  # the name of a group alone
        return
    known = {name for argument in leaf.assemble_argument_collection() for name in argument.names}
    for word in rest:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"{where}: {word}"
