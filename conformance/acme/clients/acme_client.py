"""acme-client, from npm: a library, driven by acme_client.js beside this file."""

from collections.abc import Sequence
from pathlib import Path

from conformance.acme.client import Asked, Client, Command, version_of
from conformance.acme.programs import from_npm, on_path

_DRIVER = Path(__file__).with_name("acme_client.js")


class AcmeClient(Client):
    """Listens itself, in the driver."""

    name = "acme-client"
    challenges = ("http-01", "dns-01", "tls-alpn-01")
    gives_up = True
    can = frozenset({"renew", "revoke", "eab", "update", "rollover", "deactivate"})

    @classmethod
    def version(cls) -> str:
        package = from_npm() / "acme-client" / "package.json"
        return version_of([on_path("node", "nodejs"), "-p", f"'acme-client ' + require('{package}').version"])

    def issuing(self, asked: Asked) -> Command:
        made = self._run(
            "issue", asked.challenge, str(self.chain(asked.names)), *asked.names, directory=asked.directory
        )
        return Command(made.arguments, {**made.environment, "PATIENCE": str(asked.patience or 120)})

    def chain(self, names: Sequence[str]) -> Path:
        return self.folder / f"{names[0]}.pem"

    def revoking(self, names: Sequence[str]) -> Command:
        return self._run("revoke", str(self.chain(names)))

    def updating(self, mail: str) -> Command:
        return self._run("update", mail)

    def rolling_over(self) -> Command:
        return self._run("rollover")

    def deactivating(self) -> Command:
        return self._run("deactivate")

    def binding(self, names: Sequence[str]) -> Sequence[Command]:
        key = self.stage.external_account_key()
        issuing = self.issuing(self.asked(names))
        return [Command(issuing.arguments, {**issuing.environment, "KID": key.kid, "HMAC": key.hmac})]

    def _run(self, *arguments: str, directory: str | None = None) -> Command:
        environment = {
            "NODE_PATH": str(from_npm()),
            "NODE_EXTRA_CA_CERTS": str(self.stage.root),
            "DIRECTORY": directory or self.stage.directory(),
            "HTTP01_PORT": str(self.stage.http01_port),
            "TLSALPN01_PORT": str(self.stage.tlsalpn01_port),
            "DNS_MANAGEMENT": self.stage.management,
        }
        return Command((str(on_path("node", "nodejs")), str(_DRIVER), *arguments), environment)
