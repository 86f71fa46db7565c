"""lego, as Debian has it. It has no account update and no key rollover."""

from collections.abc import Sequence
from pathlib import Path

from conformance.acme.client import HOOKS, Asked, Client, Command, debian_version
from conformance.acme.programs import on_path


class Lego(Client):
    """Listens itself for http-01 and tls-alpn-01."""

    name = "lego"
    challenges = ("http-01", "dns-01", "tls-alpn-01")
    gives_up = True
    can = frozenset({"renew", "revoke", "eab"})

    @classmethod
    def version(cls) -> str:
        return debian_version("lego")

    def issuing(self, asked: Asked) -> Command:
        stage = self.stage
        how = {
            "http-01": ("--http", "--http.port", f"127.0.0.1:{stage.http01_port}"),
            "tls-alpn-01": ("--tls", "--tls.port", f"127.0.0.1:{stage.tlsalpn01_port}"),
            "dns-01": ("--dns", "exec", "--dns.disable-cp", "--dns.resolvers", f"127.0.0.1:{stage.dns_port}"),
        }[asked.challenge]
        wait = () if asked.patience is None else ("--cert.timeout", str(asked.patience))
        return self._run(asked.names, *how, *wait, verb=("run",), directory=asked.directory)

    def chain(self, names: Sequence[str]) -> Path:
        return self._certificates / f"{names[0]}.crt"

    def renewing(self, names: Sequence[str]) -> Command:
        how = ("--http", "--http.port", f"127.0.0.1:{self.stage.http01_port}")
        return self._run(names, *how, verb=("renew", "--days", "9999", "--no-random-sleep"))

    def revoking(self, names: Sequence[str]) -> Command:
        return self._run(names[:1], verb=("revoke", "--reason", "4", "--keep"))

    def binding(self, names: Sequence[str]) -> Sequence[Command]:
        key = self.stage.external_account_key()
        how: tuple[str, ...] = ("--eab", "--kid", key.kid, "--hmac", key.hmac)
        how += ("--http", "--http.port", f"127.0.0.1:{self.stage.http01_port}")
        return [self._run(names, *how, verb=("run",))]

    @property
    def _certificates(self) -> Path:
        return self.folder / "lego" / "certificates"

    def _run(
        self, names: Sequence[str], *how: str, verb: tuple[str, ...], directory: str | None = None
    ) -> Command:
        account = ("-a", "-m", "first@lego.example", "--path", "lego")
        server = ("--server", directory or self.stage.directory())
        asked = [word for name in names for word in ("-d", name)]
        environment = {
            "LEGO_CA_CERTIFICATES": str(self.stage.root),
            "DNS_MANAGEMENT": self.stage.management,
            "EXEC_PATH": str(HOOKS / "lego"),
            # What it would sleep between two names, and between two looks at the DNS: a minute otherwise.
            "EXEC_SEQUENCE_INTERVAL": "1",
            "EXEC_POLLING_INTERVAL": "1",
            "EXEC_PROPAGATION_TIMEOUT": "10",
        }
        return Command((str(on_path("lego")), *server, *account, *asked, *how, *verb), environment)
