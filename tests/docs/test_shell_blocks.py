"""Every shell block of README.md and docs/ is carried out, and has to print what the page says.

A page is one person at one terminal: its blocks share a shell, from the first to the last. Comments before a block say
what a person sees for themselves:

    <!-- own terminal -->   the command goes on running in a terminal of its own until the page ends
    <!-- in a while -->     what it prints takes some seconds to come true: it is asked again
    <!-- not-run: ... -->   not carried out, for one of the reasons below
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from conformance.acme.programs import Missing, from_pypi
from tests.docs.markdown import PAGES, ROOT, Block, blocks
from tests.docs.terminal import Shell, Window
from tests.docs.transcript import Reader, Step, steps

LANGUAGE = "console"
OTHER_LANGUAGES = {"", "text", "toml", "ini", "python", "json", "mermaid", "{toctree}"}
NOT_RUN = {
    "installs Debian packages",
    "needs the network",
    "needs systemd",
    "needs a PostgreSQL server",
    "takes minutes",
}
OWN_TERMINAL = "own terminal"
IN_A_WHILE = "in a while"
HOME = "/home/me/certctl"
"""The folder in which the reader of a page works."""
SECONDS = 60.0

RUNNABLE = [page for page in PAGES if any(block.language == LANGUAGE for block in blocks(page))]


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(closing(socket.socket())) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@pytest.fixture(scope="session")
def certbot() -> Path:
    """The folder with a certbot."""
    try:
        return from_pypi("certbot")
    except Missing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"THE PAGES ARE NOT TESTED: {error}")


class Desk:
    """Where a page is followed: a checkout's front door, ports that are free, the page's terminals."""

    def __init__(self, page: Path, folder: Path, certbot: Path) -> None:
        self.page = page
        self.folder = folder
        self._make_checkout()
        https, http, http01, tlsalpn01 = free_ports(4)
        self.reader = Reader(
            {
                "8443": str(https),
                "8080": str(http),
                "5002": str(http01),
                "5001": str(tlsalpn01),
                HOME: str(folder),
            }
        )
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("CERTCTL_", "MAKE"))}
        self.environment = ours | {
            "HOME": str(folder),
            "PATH": f"{folder}/.venv/bin:{certbot}:{os.environ['PATH']}",
            "CERTCTL_SERVER__HTTPS": f"127.0.0.1:{https}",
            "CERTCTL_SERVER__HTTP": f"127.0.0.1:{http}",
            "CERTCTL_ACME__HTTP01_PORT": str(http01),
            "CERTCTL_ACME__TLSALPN01_PORT": str(tlsalpn01),
        }
        self.shell = Shell(folder, self.environment)
        self.windows: list[Window] = []

    def _make_checkout(self) -> None:
        for name in ("Makefile", "pyproject.toml", "requirements-dev.lock", "requirements.lock"):
            (self.folder / name).symlink_to(ROOT / name)
        environment = self.folder / ".venv"
        environment.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (environment / name).symlink_to(Path(sys.prefix) / name)
        (environment / "ok").touch()  # it is there already: `make env` has nothing to do

    def follow(self, block: Block) -> None:
        """Carry out one block."""
        for step in steps(block.lines):
            if block.mark == OWN_TERMINAL:
                self._leave_running(step, block)
            else:
                self._run(step, block)

    def _run(self, step: Step, block: Block) -> None:
        until = time.monotonic() + (SECONDS / 2 if block.mark == IN_A_WHILE else 0)
        while True:
            code, printed = self.shell.run(self.reader.command(step.command), SECONDS)
            good = code == 0 and self.reader.matches(step.expected, printed)
            if good:
                return
            if time.monotonic() >= until:
                pytest.fail(self._told(step, block, f"{printed}(exit code {code})"))
            time.sleep(0.5)

    def _leave_running(self, step: Step, block: Block) -> None:
        window = Window(self.reader.command(step.command), self.folder, self.environment)
        self.windows.append(window)
        until = time.monotonic() + SECONDS
        while not self.reader.matches(step.expected, window.shown):
            if window.ended or time.monotonic() > until:
                pytest.fail(self._told(step, block, window.shown))
            time.sleep(0.1)

    def _told(self, step: Step, block: Block, printed: str) -> str:
        expected = "\n".join(step.expected)
        return f"{block.place}: $ {step.command}\nthe page says\n{expected}\nthis was printed\n{printed}"

    def close(self) -> None:
        for window in reversed(self.windows):
            window.close()
        self.shell.close()


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path, certbot: Path) -> Iterator[Desk]:
    folder = tmp_path / "certctl"
    folder.mkdir()
    made = Desk(request.param, folder, certbot)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.client
@pytest.mark.parametrize("desk", RUNNABLE, ids=lambda page: page.name, indirect=True)
def test_the_page_says_what_happens(desk: Desk) -> None:
    for block in blocks(desk.page):
        if block.language == LANGUAGE and not block.mark.startswith("not-run"):
            desk.follow(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_evades_the_test(page: Path) -> None:
    for block in blocks(page):
        assert block.language in OTHER_LANGUAGES | {LANGUAGE}, f"{block.place}: write shell blocks as console"
        assert "$ " not in {line[:2] for line in block.lines} or block.language == LANGUAGE, block.place
        if block.mark.startswith("not-run"):
            reason = block.mark.removeprefix("not-run:").strip()
            assert reason in NOT_RUN, f"{block.place}: {reason!r} is no reason that is known"
        elif block.language == LANGUAGE:
            assert block.mark in ("", OWN_TERMINAL, IN_A_WHILE), f"{block.place}: {block.mark!r}"
            assert steps(block.lines)
        else:
            assert not block.mark, f"{block.place}: a mark before what is not carried out anyway"


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_blocks_that_are_not_run_are_shell_all_the_same(page: Path) -> None:
    for block in blocks(page):
        if block.language == LANGUAGE:
            script = "\n".join(step.command for step in steps(block.lines))
            bash = shutil.which("bash")
            assert bash is not None
            done = subprocess.run([bash, "-n"], input=script, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.place}: {done.stderr}"
