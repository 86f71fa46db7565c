"""What all clients have in common: the command lines differ, the story does not."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Final

from conformance.acme.judge import Issued
from conformance.acme.programs import HERE, on_path
from conformance.acme.stage import Stage, client_environment, is_free

PATIENCE: Final = 120.0
WELL_KNOWN: Final = ".well-known/acme-challenge"
HOOKS: Final = HERE / "hooks"


class ClientFailed(Exception):
    """A client ended with an error, or not at all; the message ends with the last it said."""

    def __init__(self, command: Sequence[str], how: str, said: str) -> None:
        last = "\n".join(said.strip().splitlines()[-12:])
        super().__init__(f"{Path(command[0]).name} {how}: {last}")
        self.said: Final = said


@dataclass(frozen=True)
class Asked:
    """What a client is to get, how, and where; `patience` in seconds is for those that can be told so."""

    names: tuple[str, ...]
    challenge: str
    directory: str
    patience: int | None = None


@dataclass(frozen=True)
class Command:
    """One run of a client."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stdout: Path | None = None
    """Where what it prints belongs; None when it is talk."""


@dataclass
class Running:
    """A client at work, or done."""

    command: Command
    process: subprocess.Popen[str]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = PATIENCE) -> str:
        """What it said, once it has ended well. Raises ClientFailed."""
        code = self.code(seconds)
        if code != 0:
            raise ClientFailed(self.command.arguments, f"ended with {code}", self.said)
        return self.said

    def code(self, seconds: float = PATIENCE) -> int:
        """The code with which it ends. Raises ClientFailed when it does not."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise ClientFailed(self.command.arguments, f"did not end in {seconds:.0f} s", self.said) from None

    def stop(self) -> None:
        """As Ctrl-C does; harder if it has to be."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(5)


class Client:
    """One client program with one account. Subclasses write command lines; the order of calls is the scenarios'."""

    name: ClassVar[str]
    challenges: ClassVar[tuple[str, ...]]
    can: ClassVar[frozenset[str]] = frozenset()
    """Which scenarios beyond the challenges: see `scenarios.SCENARIOS`."""
    webroot: ClassVar[bool] = False
    """Whether it writes http-01 answers to files, which somebody else has to serve."""
    waits: ClassVar[bool] = True
    """Whether it runs until its certificate is there, so that a person can decide meanwhile."""
    gives_up: ClassVar[bool] = False
    """Whether it can be told for how long to wait. Others wait until they are stopped."""
    tells_why: ClassVar[bool] = True
    """Whether it prints the problem document of an order that became invalid."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage: Final = stage
        self.folder: Final = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.registered: set[str] = set()
        self._runs = 0

    @property
    def label(self) -> str:
        """Its name, as part of host names."""
        return self.name.replace("_", "-")

    @classmethod
    def version(cls) -> str:
        """As the program says it. Raises Missing."""
        raise NotImplementedError

    def another(self, name: str) -> "Client":
        """The same program with nothing remembered: no account, no certificates."""
        return type(self)(self.stage, self.folder / name)

    # What subclasses write.

    def issuing(self, asked: Asked) -> Command:
        """Get a certificate, with a new key."""
        raise NotImplementedError

    def chain(self, names: Sequence[str]) -> Path:
        """Where the chain is that `issuing` got."""
        raise NotImplementedError

    def renewing(self, names: Sequence[str]) -> Command:
        """Get it again, by http-01, although it is not due."""
        return self.issuing(self.asked(names))

    def revoking(self, names: Sequence[str]) -> Command:
        """Revoke it, as its account."""
        raise NotImplementedError

    def revoking_by_key(self, names: Sequence[str]) -> Command:
        """Revoke it with its own key, which is compromised."""
        raise NotImplementedError

    def updating(self, mail: str) -> Command:
        """Give the account another contact."""
        raise NotImplementedError

    def rolling_over(self) -> Command:
        """Give the account another key."""
        raise NotImplementedError

    def deactivating(self) -> Command:
        """End the account."""
        raise NotImplementedError

    def registering(self, directory: str) -> Command | None:
        """Make the account, if `issuing` does not."""
        del directory
        return None

    def binding(self, names: Sequence[str]) -> Sequence[Command]:
        """Register with an external account key, and get a certificate."""
        raise NotImplementedError

    # What they all do.

    def asked(self, names: Sequence[str], challenge: str = "http-01") -> Asked:
        """These names, under the default profile."""
        return Asked(tuple(names), challenge, self.stage.directory())

    def obtain(self, names: Sequence[str], challenge: str) -> Issued:
        """A certificate for these names, got by this challenge. Raises ClientFailed."""
        with self.listening(challenge):
            self.run(self.issuing(self.asked(names, challenge)))
        return Issued(self.chain(names), tuple(names))

    def renew(self, names: Sequence[str]) -> Issued:
        """The certificate anew. Raises ClientFailed."""
        with self.listening("http-01"):
            self.run(self.renewing(names))
        return Issued(self.chain(names), tuple(names))

    def bind(self, names: Sequence[str]) -> Issued:
        """A certificate under an external account key. Raises ClientFailed."""
        with self.listening("http-01"):
            for command in self.binding(names):
                self.run(command)
        return Issued(self.chain(names), tuple(names))

    def register(self, directory: str) -> None:
        """Make the account, once, if getting a certificate does not. Raises ClientFailed."""
        registering = None if directory in self.registered else self.registering(directory)
        if registering is not None:
            self.run(registering)
        self.registered.add(directory)

    def run(self, command: Command) -> str:
        """Run it to its end. Raises ClientFailed."""
        return self.start(command).wait()

    def start(self, command: Command) -> Running:
        """Run it in the background."""
        self._runs += 1
        log = self.folder / f"{self._runs:02}.log"
        environment = client_environment() | dict(command.environment)
        with log.open("w") as said, (command.stdout or Path(os.devnull)).open("w") as printed:
            process = subprocess.Popen(
                command.arguments,
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=printed if command.stdout else said,
                stderr=said,
                start_new_session=True,
                text=True,
            )
        return Running(command, process, log)

    @property
    def www(self) -> Path:
        """What is served at the http-01 port."""
        folder = self.stage.folder / "www"
        (folder / WELL_KNOWN).mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def listening(self, challenge: str) -> Iterator[None]:
        """What has to listen while the client tries this challenge, if it does not do so itself."""
        if challenge == "http-01" and self.webroot:
            with serve_files(self.www, self.stage.http01_port):
                yield
        else:
            yield


@contextmanager
def serve_files(folder: Path, port: int) -> Iterator[None]:
    """A web server over a folder, on loopback."""
    await_free(port)
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def await_free(port: int, seconds: float = 10.0) -> None:
    """Wait until the one who listened there before has gone."""
    until = time.monotonic() + seconds
    while not is_free(port) and time.monotonic() < until:
        time.sleep(0.05)


def version_of(command: Sequence[str | Path]) -> str:
    """The first line that holds a digit, of what a program says about itself."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return next((line.strip() for line in lines if any(letter.isdigit() for letter in line)), "?")


def debian_version(program: str) -> str:
    """For programs that do not know it themselves. Raises Missing."""
    on_path(program)
    return version_of(["dpkg-query", "-W", "-f", "${Package} ${Version}", program])


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
