"""A CA directory of its own for every test that asks for one; made once per process, then copied."""

import shutil
from pathlib import Path

import pytest

from tests.common.ca_process import Directory, Served, certctl


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `certctl init` makes, and the first start adds: the server's own certificate."""
    path = tmp_path_factory.mktemp("ca") / "data"
    done = certctl("init", "--data", path)
    assert done.returncode == 0, done.stderr
    with Served(Directory(path)):
        pass
    return path


@pytest.fixture
def directory(template: Path, tmp_path: Path) -> Directory:
    """A fresh CA."""
    shutil.copytree(template, tmp_path / "data")
    return Directory(tmp_path / "data")


@pytest.fixture
def started(directory: Directory) -> Directory:
    """A fresh CA at which every command is a process of its own."""
    directory.starts = True
    return directory
