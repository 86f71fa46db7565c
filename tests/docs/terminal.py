"""The terminals in which a page's commands run: one shell for the page, and one for each server that it leaves running."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from pathlib import Path

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Shell:
    """A bash that remembers its folder, variables and background jobs from one command to the next."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._aside = folder.with_name(f"{folder.name}-aside")
        self._aside.mkdir()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, command: str, seconds: float) -> tuple[int, str]:
        """Exit code and output of a command; TimeoutError when it takes longer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        script, output = self._aside / "command", self._aside / "output"
        script.write_text(f"{command}\n")
        line = f". '{script}' </dev/null >'{output}' 2>&1; echo \"ended $?\"\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        said = b""
        until = time.monotonic() + seconds
        while not said.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise TimeoutError(f"not within {seconds:g} seconds: {command}\n{output.read_text()}")
            piece = os.read(self._process.stdout.fileno(), 4096)
            if not piece:
                raise TimeoutError(f"the shell has ended: {command}")
            said += piece
        return int(said.split()[-1]), output.read_text()

    def close(self) -> None:
        """End the shell and whatever it left running."""
        end_group(self._process)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class Window:
    """A terminal of its own in which one command goes on running."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def shown(self) -> str:
        """Everything that it has printed, as a person reads it."""
        return _COLOURS.sub("", self._shown.decode(errors="replace")).replace("\r", "")

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        """End it."""
        end_group(self._process)
        self._reader.join(10)
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 4096)
            except OSError:  # the other end is closed
                return
            if not piece:
                return
            self._shown += piece


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask a process and its children to end; make sure after a while."""
    for number, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        if not _group_lives(process.pid, patience):
            break
    process.wait(1)


def _group_lives(group: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    return True
