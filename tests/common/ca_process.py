"""certctl as its users meet it: a command in a process of its own, at a directory of its own."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest import mock

from cryptography import x509

from servers.cli import main

CERTCTL = str(Path(sys.executable).with_name("certctl"))
PATIENCE = 60.0


def environment(**more: str) -> dict[str, str]:
    """This process's environment without any certctl setting, and with `more`."""
    return {key: value for key, value in os.environ.items() if not key.startswith("CERTCTL_")} | more


def certctl(
    *arguments: str | Path, stdin: str | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    return subprocess.run(
        [CERTCTL, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment(**(env or {})),
    )


def certctl_here(
    *arguments: str | Path, stdin: str | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same in this process: most of a command's time is the start of an interpreter."""
    words = [*map(str, arguments)]
    streams = [
        io.TextIOWrapper(io.BytesIO((stdin or "").encode())),
        *(io.TextIOWrapper(io.BytesIO()) for _ in "oe"),
    ]
    with (
        mock.patch.dict(os.environ, environment(**(env or {})), clear=True),
        mock.patch.multiple(sys, stdin=streams[0], stdout=streams[1], stderr=streams[2]),
    ):
        code = main.run(words)
        for stream in streams[1:]:
            stream.flush()
    texts = [stream.buffer.getvalue().decode() for stream in streams[1:]]
    return subprocess.CompletedProcess(words, code, *texts)


@dataclass
class Directory:
    """A CA's data directory, and commands at it: in this process, unless `starts` says that each starts its own."""

    path: Path
    starts: bool = False

    @property
    def root(self) -> Path:
        return self.path / "root.pem"

    def run(
        self, *arguments: str | Path, token: Path | None = None, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """A command at this directory, by the admin unless another `token` is given."""
        who = () if token is None else ("--token-file", token)
        run = certctl if self.starts else certctl_here
        return run(*arguments, "--data", self.path, *who, **more)

    def ok(self, *arguments: str | Path, token: Path | None = None, **more: Any) -> Any:
        """What a command answers with --json; it has to succeed."""
        done = self.run(*arguments, "--json", token=token, **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, code: int, *arguments: str | Path, token: Path | None = None, **more: Any) -> str:
        """The one line with which a command is refused, with this exit code."""
        done = self.run(*arguments, token=token, **more)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("certctl: ")
        return lines[0].removeprefix("certctl: ")

    def person(self, name: str, *roles: str) -> Path:
        """A person with roles; the file that holds their token."""
        path = self.path.parent / f"{name}.token"
        given = [word for role in roles for word in ("--role", role)]
        self.ok("principal", "create", name, *given, "--out", path)
        return path


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass
class Served:
    """A server process. Use it as a context: on the way out it has to end well."""

    directory: Directory
    arguments: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    https: int = field(default_factory=free_port)
    http: int = field(default_factory=free_port)
    greeting: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False, repr=False)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"

    @property
    def log(self) -> Path:
        return self.directory.path.parent / "server.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.process.poll() is None:
            code = self.stop()
            assert kind is not None or code == 0, self.log.read_text()

    def start(self) -> None:
        """Start, and wait until it says where it is."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(CERTCTL, "serve", "--json", "--data", str(self.directory.path)),
                    *("--https", f"127.0.0.1:{self.https}", "--http", f"127.0.0.1:{self.http}"),
                    *self.arguments,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(**self.env),
            )
        assert self.process.stdout is not None
        text = b""
        while not text.endswith(b"}\n"):
            line = self.process.stdout.readline()
            assert line, f"the server ended with {self.process.wait()}: {self.log.read_text()}"
            text += line
        self.greeting = json.loads(text)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def context(self) -> ssl.SSLContext:
        """A client's context that trusts DIR/root.pem and nothing else."""
        context = ssl.create_default_context(cafile=str(self.directory.root))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    def get(
        self, path: str, *, plain: bool = False, method: str = "GET"
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of one request."""
        base = f"http://localhost:{self.http}" if plain else self.url
        request = urllib.request.Request(base + path, method=method)
        context = None if plain else self.context()
        try:
            with urllib.request.urlopen(request, context=context, timeout=PATIENCE) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)

    def peer_serial(self) -> int:
        """The serial of the certificate that a new connection is shown."""
        with (
            socket.create_connection(("127.0.0.1", self.https), PATIENCE) as raw,
            self.context().wrap_socket(raw, server_hostname="localhost") as wrapped,
        ):
            der = wrapped.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log about `event`."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


def wait_until(what: str, condition: Any, seconds: float = 30.0) -> None:
    """Return as soon as `condition` holds; fail saying `what` did not come true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds:g} seconds: {what}"
        time.sleep(0.05)
