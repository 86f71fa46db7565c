"""The arrows of the architecture hold, and each rule bites: a planted violation is found."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("servers", "policy", "ca", "store")
LINT = Path(sys.executable).with_name("lint-imports")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages that a test may spoil."""
    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_house_is_in_order(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("store/jobs.py", "policy.jobs", "servers -> policy -> store"),
        ("store/jobs.py", "ca.csr", "servers -> policy -> store"),
        ("ca/csr/__init__.py", "store.jobs", "servers -> policy -> store"),
        ("ca/csr/__init__.py", "policy.rules", "servers -> policy -> store"),
        ("policy/enrollment.py", "servers.acme.routes", "servers -> policy -> store"),
        ("policy/enrollment.py", "ca.signer", "the CA key"),
        ("servers/acme/orders.py", "ca.signer", "the CA key"),
        ("servers/acme/orders.py", "ca.hierarchy", "the CA key"),
    ],
)
def test_a_planted_violation_is_found(copy: Path, module: str, imported: str, contract: str) -> None:
    path = copy / module
    clean = path.read_text()
    path.write_text(f"{clean}\nimport {imported}\n")
    try:
        result = lint_imports(copy)
    finally:
        path.write_text(clean)
    assert result.returncode != 0
    broken = [line for line in result.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(contract in line for line in broken), result.stdout


def test_a_front_end_has_no_signer_in_its_process() -> None:
    """Linters do not see importlib; a fresh interpreter does."""
    program = (
        "import sys, servers.acme.routes\n"
        "found = {'ca.signer', 'ca.hierarchy', 'policy.worker'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_nobody_imports_by_name() -> None:
    """Importlib and __import__ would go round the rules above."""
    allowed = {ROOT / "store/migrations"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if any(folder in path.parents for folder in allowed):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                module = node.module if isinstance(node, ast.ImportFrom) else None
                called = node.id if isinstance(node, ast.Name) else None
                assert "importlib" not in {*names, module}, path
                assert called not in {"__import__", "exec", "eval"}, path
