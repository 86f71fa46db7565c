"""Private files: whole or not at all, and closed to everybody else."""

import os
import stat
from pathlib import Path

import pytest

from servers import files
from servers.files import FileRefused, make_private_directory, read_private, write_private


def test_a_private_file_is_its_owners_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_private(tmp_path / "a", b"secret")
        make_private_directory(tmp_path / "deep" / "folder")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deep" / "folder").stat().st_mode) == 0o700
    assert read_private(tmp_path / "a") == b"secret"


def test_a_directory_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    make_private_directory(tmp_path / "data")
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(tmp_path / "a", b"old")

    def broken(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(FileRefused, match="No space left"):
        write_private(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_what_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    write_private(tmp_path / "a", b"x")
    (tmp_path / "a").chmod(mode)
    with pytest.raises(FileRefused, match="chmod 600"):
        read_private(tmp_path / "a")


def test_what_is_no_file_or_too_large_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(FileRefused, match="not a regular file"):
        read_private(tmp_path / "pipe")
    write_private(tmp_path / "large", bytes(files.MAX_SECRET + 1))
    with pytest.raises(FileRefused, match="too large"):
        read_private(tmp_path / "large")
    with pytest.raises(FileRefused, match="No such file"):
        read_private(tmp_path / "gone")
    with pytest.raises(FileRefused, match="data directory"):
        make_private_directory(tmp_path / "large")
