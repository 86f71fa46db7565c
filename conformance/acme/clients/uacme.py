"""uacme: C, libcurl and GnuTLS; with key rollover, and ualpn beside it for tls-alpn-01."""

import os
import shlex
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conformance.acme.client import (
    HOOKS,
    WELL_KNOWN,
    Asked,
    Client,
    ClientFailed,
    Command,
    await_free,
    version_of,
)
from conformance.acme.programs import on_path

_PROBE = "probe.uacme.test"


class Uacme(Client):
    """Trusts what the system trusts and nothing else: it runs where /etc/ssl/certs is a folder of ours."""

    name = "uacme"
    challenges = ("http-01", "dns-01", "tls-alpn-01")
    can = frozenset({"renew", "revoke", "eab", "update", "rollover", "deactivate"})
    webroot = True
    _socket = ""

    @classmethod
    def version(cls) -> str:
        return version_of([on_path("uacme"), "-V"])

    def registering(self, directory: str) -> Command | None:
        """It has one account for all directories."""
        return None if self.registered else self._run("new", "first@uacme.example", directory=directory)

    def issuing(self, asked: Asked) -> Command:
        return self._run("-f", "issue", *asked.names, challenge=asked.challenge, directory=asked.directory)

    def chain(self, names: Sequence[str]) -> Path:
        return self.folder / names[0] / "cert.pem"

    def revoking(self, names: Sequence[str]) -> Command:
        return self._run("revoke", str(self.chain(names)))

    def updating(self, mail: str) -> Command:
        return self._run("update", mail)

    def rolling_over(self) -> Command:
        return self._run("-t", "EC", "newkey")

    def deactivating(self) -> Command:
        return self._run("deactivate")

    def binding(self, names: Sequence[str]) -> Sequence[Command]:
        key = self.stage.external_account_key()
        issuing = self.issuing(self.asked(names))
        return [self._run("-e", f"{key.kid}:{key.hmac}", "new", "bound@uacme.example"), issuing]

    def _run(self, *arguments: str, challenge: str = "http-01", directory: str | None = None) -> Command:
        server = directory or self.stage.directory()
        uacme = (str(on_path("uacme")), "-v", "-y", "-a", server, "-c", str(self.folder))
        words = shlex.join([*uacme, "-h", str(HOOKS / "uacme"), *arguments])
        trust = self.folder / "trust"
        trust.mkdir(exist_ok=True)
        (trust / "ca-certificates.crt").write_bytes(self.stage.root.read_bytes())
        # In a mount namespace of its own, so that nothing changes for anybody else.
        program = f"mount --bind {shlex.quote(str(trust))} /etc/ssl/certs && exec {words}"
        kind = "-m" if os.geteuid() == 0 else "-rm"
        environment = {
            "CHALLENGE": challenge,
            "WELL_KNOWN": str(self.www / WELL_KNOWN),
            "DNS_MANAGEMENT": self.stage.management,
            "UALPN_SOCKET": self._socket,
        }
        return Command((str(on_path("unshare", "util-linux")), kind, "sh", "-c", program), environment)

    @contextmanager
    def listening(self, challenge: str) -> Iterator[None]:
        """For tls-alpn-01 run ualpn, which takes what to present over a socket."""
        if challenge != "tls-alpn-01":
            with super().listening(challenge):
                yield
            return
        await_free(self.stage.tlsalpn01_port)
        with tempfile.TemporaryDirectory() as folder:  # the path of a socket must be short
            self._socket = f"{folder}/socket"
            command = [str(on_path("ualpn", "uacme")), "-v", "-b", f"127.0.0.1@{self.stage.tlsalpn01_port}"]
            command += ["-s", self._socket, "-c", "127.0.0.1@9"]
            with (self.folder / "ualpn.log").open("w") as log:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                until = time.monotonic() + 10
                while not _presents(self._socket, self.stage.tlsalpn01_port):
                    if process.poll() is not None or time.monotonic() > until:
                        raise ClientFailed(command, "did not start", (self.folder / "ualpn.log").read_text())
                    time.sleep(0.02)
                yield
            finally:
                process.terminate()
                process.wait()


def _presents(path: str, port: int) -> bool:
    """Whether ualpn does what it is told: its socket is there before its worker is, which hangs up until then."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["acme-tls/1"])
    try:
        _tell(path, f"auth {_PROBE} {'A' * 43}")
        with (
            socket.create_connection(("127.0.0.1", port), 1) as connection,
            context.wrap_socket(connection, server_hostname=_PROBE),
        ):
            _tell(path, f"unauth {_PROBE}")
            return True
    except OSError:
        return False


def _tell(path: str, command: str) -> None:
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(1)
        control.connect(path)
        control.sendall(command.encode() + b"\n")
        control.recv(100)
