"""Every test that a page or a conformance table names is there, under that name."""

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT

NAMED = re.compile(r"tests/[\w/]+\.py::\w+(?:::\w+)?")
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "conformance").glob("*.md")])


@lru_cache
def names_in(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    missing = []
    for reference in NAMED.findall(page.read_text()):
        file, _, name = reference.partition("::")
        if not (ROOT / file).is_file() or name not in names_in(ROOT / file):
            missing.append(reference)
    assert not missing


def test_the_auditors_page_names_tests() -> None:
    page = (ROOT / "docs" / "approval-workflow.md").read_text()
    assert len(set(NAMED.findall(page))) > 15
