"""The stage: a server and a DNS responder, each a process of its own, on loopback and at ports that any user may use."""

import json
import os
import random
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_CERTCTL: Final = (sys.executable, "-m", "servers.cli")
_START_SECONDS: Final = 60.0


class StageBroken(Exception):
    """Something of ours, not of the client's, did not do what it should; the message holds what it said."""


@dataclass
class ExternalAccountKey:
    """What `certctl account eab create` hands over."""

    kid: str
    hmac: str = field(repr=False)


@dataclass
class Server:
    """A `certctl serve` process, which can be stopped, killed and started again on the same data."""

    data: Path
    https_port: int
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises StageBroken."""
        log = (self.data.parent / "server.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                said = (self.data.parent / "server.log").read_text()[-3000:]
                raise StageBroken(f"the server did not start:\n{said}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: what the power cut leaves is what is there."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and see that it ends well."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise StageBroken("the server did not end within a minute after SIGTERM") from None
        if code != 0:
            raise StageBroken(f"the server ended with {code} after SIGTERM")

    def _answers(self) -> bool:
        trust = ssl.create_default_context(cafile=self.data / "root.pem")
        url = f"https://localhost:{self.https_port}/healthz"
        try:
            with urllib.request.urlopen(url, context=trust, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@dataclass
class Stage:
    """What clients have to know, and what the judge looks at."""

    folder: Path
    key_algorithm: str
    https_port: int
    http01_port: int
    tlsalpn01_port: int
    dns_port: int
    management: str
    environment: Mapping[str, str] = field(repr=False)
    server: Server = field(init=False, repr=False)
    _eab: dict[str, ExternalAccountKey] = field(default_factory=dict, repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "ca"

    @property
    def root(self) -> Path:
        """What clients trust."""
        return self.data / "root.pem"

    def directory(self, profile: str = "default") -> str:
        """The directory URL of a profile."""
        return f"https://localhost:{self.https_port}/acme/{profile}/directory"

    def certctl(self, *arguments: str) -> Any:
        """What a `certctl` command answers. Raises StageBroken when it fails."""
        command = [*_CERTCTL, *arguments, "--data", str(self.data), "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode != 0:
            raise StageBroken(f"certctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def apply(self, profiles: str) -> None:
        """Put profiles, written as TOML, in force."""
        file = self.folder / "profiles.toml"
        file.write_text(profiles)
        self.certctl("apply", "-f", str(file))

    def external_account_key(self, profile: str = "default") -> ExternalAccountKey:
        """A key with which every client may register."""
        if profile not in self._eab:
            made = self.certctl("account", "eab", "create", "--profile", profile, "--reusable")
            self._eab[profile] = ExternalAccountKey(made["kid"], made["hmac_key"])
        return self._eab[profile]

    def token(self, name: str) -> Path:
        """The token of a principal who approves; made when it is asked for first."""
        file = self.folder / f"{name}.token"
        if not file.exists():
            self.certctl("principal", "create", name, "--role", "approver", "--out", str(file))
        return file

    def rows(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        """What a query finds in the server's database, read by another process as any operator could."""
        with closing(sqlite3.connect(f"file:{self.data / 'certctl.db'}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()


@contextmanager
def running_stage(
    folder: Path,
    key_algorithm: str = "p256",
    *,
    settings: Mapping[str, str] | None = None,
    prelude: str = "",
) -> Iterator[Stage]:
    """A new CA with keys of `key_algorithm`, served. `settings` are CERTCTL_* variables.

    `prelude` is Python that the server's process runs first: a test may shorten what nobody waits for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    https, http, http01, alpn = (free_port() for _ in range(4))
    with ExitStack() as stack:
        dns_port, management = stack.enter_context(_responders(folder))
        environment = {
            **client_environment(),
            "CERTCTL_SERVER__HTTPS": f"127.0.0.1:{https}",
            "CERTCTL_SERVER__HTTP": f"127.0.0.1:{http}",
            "CERTCTL_ACME__HTTP01_PORT": str(http01),
            "CERTCTL_ACME__TLSALPN01_PORT": str(alpn),
            "CERTCTL_ACME__RESOLVERS": f"127.0.0.1:{dns_port}",
            **(settings or {}),
        }
        url = f"http://127.0.0.1:{management}"
        stage = Stage(folder, key_algorithm, https, http01, alpn, dns_port, url, environment)
        stage.certctl("init", "--key-algorithm", key_algorithm)
        command = [*_CERTCTL, "serve", "--data", str(stage.data)]
        if prelude:
            program = f"import sys\n{prelude}\nfrom servers.cli.main import run\nsys.exit(run(sys.argv[1:]))"
            command = [sys.executable, "-c", program, "serve", "--data", str(stage.data)]
        stage.server = Server(stage.data, https, command, environment)
        stage.server.start()
        try:
            yield stage
        finally:
            stage.server.stop()


@contextmanager
def _responders(folder: Path) -> Iterator[tuple[int, int]]:
    dns, management = free_port(), free_port()
    command = [sys.executable, "-m", "tests.common.responders"]
    command += ["--dns", f"127.0.0.1:{dns}", "--management", f"127.0.0.1:{management}"]
    with (folder / "responders.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
        )
    with process:
        assert process.stdout is not None
        try:
            if not process.stdout.readline().startswith(b"dns "):
                said = (folder / "responders.log").read_text()[-3000:]
                raise StageBroken(f"the DNS responder did not start:\n{said}")
            yield dns, management
        finally:
            process.terminate()


def client_environment() -> dict[str, str]:
    """The environment without proxies (everything is on loopback) and without settings of another certctl."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("CERTCTL_", "PYTEST_", "COV_"))
    }


def free_port() -> int:
    """A port that nobody listens on, from below those that the kernel hands out for outgoing connections."""
    chance = random.SystemRandom()
    for _ in range(200):
        port = chance.randrange(10_000, 32_000)
        if is_free(port):
            return port
    raise StageBroken("no free port")


def is_free(port: int) -> bool:
    """Whether TCP and UDP at 127.0.0.1 are."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
