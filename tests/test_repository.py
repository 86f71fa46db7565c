"""What every file here keeps to: sizes, nothing unfinished, nothing of the machine it was written on, locks, fragments."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("servers", "policy", "ca", "store")
MOST_LINES = 600
COPIED = {"LICENSE"}
KINDS = {"feature", "bugfix", "doc", "removal", "misc"}

_UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
_MISSING = "NotImplementedError"
_HOMES = re.compile(r"(?<![\w.~/*-])/(?:root|Users|home/(?!me\b)\w+)/")
_INDEXES = re.compile(r"(?:py" r"pi|pythonhosted|npm" r"js|deb\.debian)\.(?:org|com)|/simp" r"le/")
_NOQA = re.compile(r"noqa\b(?!: [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)*(?:\s|$))", re.IGNORECASE)
_IGNORE = re.compile(r"type:\s*ignore\b(?!\[[a-z-]+(?:, ?[a-z-]+)*\])")


def tracked() -> list[Path]:
    """The files that are in the repository and on the disk."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        assert not (ROOT / ".git").exists(), listed.stderr.decode()
        pytest.skip("this is no git checkout")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def texts(*suffixes: str) -> Iterator[tuple[str, str]]:
    """(path, text) of the tracked files with these suffixes, or of all."""
    for path in tracked():
        name = str(path.relative_to(ROOT))
        if (not suffixes or path.suffix in suffixes) and name not in COPIED:
            yield name, path.read_text()


def test_no_file_is_too_long() -> None:
    # Tables of requirements and locks are as long as what they list.
    long = {
        name: len(text.splitlines())
        for name, text in texts(".py", ".md", ".sh", ".toml", ".mako", "")
        if not name.startswith("conformance/rfc") and len(text.splitlines()) > MOST_LINES
    }
    assert not long


def test_nothing_is_unfinished() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if _UNFINISHED.search(line) or (_MISSING in line and name.startswith(PACKAGES))
    ]
    assert not found


def is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether there is nothing in it but a docstring, `...` or `pass`."""
    return all(
        isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )


def declares_only(node: ast.AST) -> bool:
    """Whether bodies below are meant to be empty: a protocol's, an overload's."""
    words = [*getattr(node, "bases", ()), *getattr(node, "decorator_list", ())]
    return any(word in ast.unparse(expression) for expression in words for word in ("Protocol", "overload"))


def stubs(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if declares_only(node):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_stub(node):
            yield node.name
        yield from stubs(node)


def test_no_function_is_a_stub() -> None:
    found = [
        f"{name}: {function}"
        for name, text in texts(".py")
        if name.startswith(PACKAGES)
        for function in stubs(ast.parse(text))
    ]
    assert not found


def test_a_stub_would_be_found() -> None:
    planted = 'class A(Protocol):\n def f(self): ...\nclass B:\n def g(self):\n  """Later."""\n  ...\n'
    assert list(stubs(ast.parse(planted))) == ["g"]


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}
    found = [
        path
        for path in tracked()
        if path.suffix == ".py" and path.stem in drawers and path.parent != ROOT / "tests"
    ]
    assert not found


def test_nothing_tells_where_it_was_written() -> None:
    here = str(ROOT)
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if here in line or _HOMES.search(line) or _INDEXES.search(line)
    ]
    assert not found


def requirements(lock: str) -> list[str]:
    """The requirements of a lock, each with its hashes on one line."""
    joined = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize(
    "lock", ["requirements.lock", "requirements-dev.lock", *map(str, (ROOT / "conformance").glob("*/*.txt"))]
)
def test_locks_pin_by_hash_and_name_no_index(lock: str) -> None:
    found = requirements(lock)
    assert found
    for requirement in found:
        assert re.match(r"[a-z0-9._-]+(?:\[[a-z0-9,-]+\])?==\S+ ", requirement), requirement[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement[:80]
        assert "://" not in requirement, requirement[:80]


def test_what_a_server_installs_is_what_is_tested() -> None:
    def pins(lock: str) -> dict[str, str]:
        return dict(requirement.split()[0].split("==") for requirement in requirements(lock))

    tested = pins("requirements-dev.lock")
    assert {name: tested.get(name) for name in pins("requirements.lock")} == pins("requirements.lock")


def test_suppressions_name_their_rule() -> None:
    found = [
        f"{name}:{token.start[0]}: {token.string}"
        for name, text in texts(".py")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and (_NOQA.search(token.string) or _IGNORE.search(token.string))
    ]
    assert not found


@pytest.mark.parametrize(
    ("comment", "good"),
    [
        ("# noqa: S608", True),
        ("# noqa: S608 - why", True),
        ("# noqa: S608, E501", True),
        ("# noqa", False),
        ("# noqa S608", False),
        ("# type: ignore[arg-type]", True),
        ("# type: ignore[arg-type, misc]  # why", True),
        ("# type: ignore", False),
    ],
)
def test_what_counts_as_naming_a_rule(comment: str, *, good: bool) -> None:
    assert (not _NOQA.search(comment) and not _IGNORE.search(comment)) is good


def test_changelog_fragments() -> None:
    for path in sorted((ROOT / "changes").iterdir()):
        if path.name == "README.md":
            continue
        match = re.fullmatch(
            r"[1-9][0-9]*(?:\.[1-9])?\.([a-z]+)\.md|[1-9][0-9]*\.([a-z]+)\.[1-9]\.md", path.name
        )
        assert match, path.name
        assert (match[1] or match[2]) in KINDS, path.name
        lines = path.read_text().strip().splitlines()
        assert lines, path.name
        assert all(line.strip() for line in lines), f"{path.name}: one paragraph"
        assert lines[-1].endswith("."), f"{path.name}: a sentence"
