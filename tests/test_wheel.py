"""The wheel: all of the four packages, what their migrations need, the licence; and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_repository import PACKAGES, ROOT, tracked


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    (made,) = folder.iterdir()
    assert made.name.startswith("certctl-")
    assert made.name.endswith("-py3-none-any.whl")
    return zipfile.ZipFile(made)


def folder(wheel: zipfile.ZipFile) -> str:
    """The name of the folder with what the wheel says about itself."""
    (found,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    return found


def test_everything_that_is_imported_is_in_it(wheel: zipfile.ZipFile) -> None:
    files = [path.relative_to(ROOT) for path in tracked()]
    wanted = {str(path) for path in files if path.parts[0] in PACKAGES}
    assert "store/migrations/script.py.mako" in wanted
    assert any(name.startswith("store/migrations/versions/v0001") for name in wanted)
    assert wanted <= set(wheel.namelist())


def test_nothing_else_is_in_it(wheel: zipfile.ZipFile) -> None:
    allowed = {*PACKAGES, folder(wheel)}
    assert {name for name in wheel.namelist() if Path(name).parts[0] not in allowed} == set()
    assert {Path(name).suffix for name in wheel.namelist() if not name.startswith(folder(wheel))} == {
        ".py",
        ".mako",
    }


def test_what_it_says_about_itself(wheel: zipfile.ZipFile) -> None:
    about = folder(wheel)
    assert (ROOT / "LICENSE").read_bytes() == wheel.read(f"{about}/licenses/LICENSE")
    entry = wheel.read(f"{about}/entry_points.txt").decode()
    assert "certctl = servers.cli.main:main" in entry
    metadata = wheel.read(f"{about}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Provides-Extra: postgres" in metadata
