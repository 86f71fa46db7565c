"""acme-tiny: the smallest. One account key, one request, http-01; what it gets goes to standard output."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from conformance.acme.client import WELL_KNOWN, Asked, Client, Command, debian_version
from conformance.acme.programs import on_path


class AcmeTiny(Client):
    """Writes answers to files. The keys and the request are made by openssl, as its manual says."""

    name = "acme-tiny"
    challenges = ("http-01",)
    can = frozenset({"renew", "update"})
    webroot = True
    _mail = "first@acme-tiny.example"
    _last: tuple[str, ...] = ()

    @classmethod
    def version(cls) -> str:
        return debian_version("acme-tiny")

    def issuing(self, asked: Asked) -> Command:
        account, key, request = (self.folder / name for name in ("account.key", "key.pem", "request.pem"))
        if not account.exists():
            _openssl("genrsa", "-out", str(account), "2048")
        alternative = "subjectAltName=" + ",".join(f"DNS:{name}" for name in asked.names)
        new = ("-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request))
        _openssl("req", "-new", *new, "-subj", "/", "-addext", alternative)
        self._last = asked.names
        files = (
            "--account-key",
            str(account),
            "--csr",
            str(request),
            "--acme-dir",
            str(self.www / WELL_KNOWN),
        )
        # Its own look at the answer would have to resolve the name: not here.
        server = ("--directory-url", asked.directory, "--disable-check", "--contact", f"mailto:{self._mail}")
        trust = {"SSL_CERT_FILE": str(self.stage.root)}
        return Command((str(on_path("acme-tiny")), *files, *server), trust, stdout=self.chain(asked.names))

    def chain(self, names: Sequence[str]) -> Path:
        return self.folder / f"{names[0]}.pem"

    def updating(self, mail: str) -> Command:
        self._mail = mail
        return self.renewing(self._last)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
