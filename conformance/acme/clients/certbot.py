"""certbot, from PyPI. It has no tls-alpn-01 and no key rollover."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from conformance.acme.client import HOOKS, Asked, Client, Command, version_of
from conformance.acme.programs import from_pypi


class Certbot(Client):
    """Listens itself for http-01."""

    name = "certbot"
    challenges = ("http-01", "dns-01")
    gives_up = True
    can = frozenset({"ip", "renew", "revoke", "revoke-by-key", "eab", "update", "deactivate"})

    @classmethod
    def version(cls) -> str:
        return version_of([from_pypi("certbot") / "certbot", "--version"])

    def issuing(self, asked: Asked) -> Command:
        if asked.challenge == "http-01":
            how: tuple[str, ...] = ("--standalone", "--http-01-address", "127.0.0.1")
            how += ("--http-01-port", str(self.stage.http01_port))
        else:
            dns = shlex.quote(str(HOOKS / "dns"))
            how = ("--manual", "--preferred-challenges", "dns")
            how += ("--manual-auth-hook", f'{dns} add _acme-challenge.$CERTBOT_DOMAIN "$CERTBOT_VALIDATION"')
            how += ("--manual-cleanup-hook", f"{dns} remove _acme-challenge.$CERTBOT_DOMAIN")
        words = [word for name in asked.names for word in (_option(name), name)]
        account = ("--agree-tos", "-m", "first@certbot.example")
        wait = () if asked.patience is None else ("--issuance-timeout", str(asked.patience))
        name = ("--cert-name", _lineage(asked.names), "--force-renewal")
        return self._run("certonly", *how, *words, *name, *account, *wait, directory=asked.directory)

    def chain(self, names: Sequence[str]) -> Path:
        return self._live(names) / "fullchain.pem"

    def renewing(self, names: Sequence[str]) -> Command:
        port = str(self.stage.http01_port)
        forced = ("--force-renewal", "--no-random-sleep-on-renew", "--http-01-port", port)
        return self._run("renew", "--cert-name", _lineage(names), *forced)

    def revoking(self, names: Sequence[str]) -> Command:
        return self._run(
            "revoke", "--cert-name", _lineage(names), "--reason", "superseded", "--no-delete-after-revoke"
        )

    def revoking_by_key(self, names: Sequence[str]) -> Command:
        files: tuple[str, ...] = ("--cert-path", str(self._live(names) / "cert.pem"))
        files += ("--key-path", str(self._live(names) / "privkey.pem"))
        return self._run("revoke", *files, "--reason", "keycompromise", "--no-delete-after-revoke")

    def updating(self, mail: str) -> Command:
        return self._run("update_account", "-m", mail)

    def deactivating(self) -> Command:
        return self._run("unregister")

    def binding(self, names: Sequence[str]) -> Sequence[Command]:
        key = self.stage.external_account_key()
        bound = ("--eab-kid", key.kid, "--eab-hmac-key", key.hmac)
        issuing = self.issuing(self.asked(names))
        return [Command(issuing.arguments + bound, issuing.environment)]

    def _live(self, names: Sequence[str]) -> Path:
        return self.folder / "config" / "live" / _lineage(names)

    def _run(self, verb: str, *arguments: str, directory: str | None = None) -> Command:
        certbot = str(from_pypi("certbot") / "certbot")
        places = ("--config-dir", "config", "--work-dir", "work", "--logs-dir", "logs")
        server = ("-n", "--server", directory or self.stage.directory())
        trust = {"REQUESTS_CA_BUNDLE": str(self.stage.root), "DNS_MANAGEMENT": self.stage.management}
        return Command((certbot, verb, *places, *server, *arguments), trust)


def _lineage(names: Sequence[str]) -> str:
    # It takes a name that looks like an address for a mistake.
    return names[0] if _option(names[0]) == "-d" else names[0].replace(".", "-")


def _option(name: str) -> str:
    return "--ip-address" if name.replace(".", "").isdigit() else "-d"
