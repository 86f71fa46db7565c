"""Apache httpd with mod_md, as Debian has them: a web server that gets its own certificates."""

import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from conformance.acme.client import HOOKS, Asked, Client, ClientFailed, Command, await_free, version_of
from conformance.acme.judge import Issued
from conformance.acme.programs import on_path
from conformance.acme.stage import Stage

_SECONDS = 40.0
_MODULES = ("mpm_event", "authz_core", "ssl", "socache_shmcb", "md")


class ModMD(Client):
    """Runs until its certificate is there; each time with a store of its own."""

    name = "mod_md"
    challenges = ("http-01", "dns-01", "tls-alpn-01")
    waits = False
    can = frozenset({"eab"})

    def __init__(self, stage: Stage, folder: Path) -> None:
        super().__init__(stage, folder)
        # Its store belongs to another user, who must be able to get there.
        self._home = Path(tempfile.mkdtemp(prefix="certctl-mod_md-"))
        weakref.finalize(self, shutil.rmtree, self._home, ignore_errors=True)
        self._home.chmod(0o711)
        shutil.copy(stage.root, self._home / "root.pem")
        (self._home / "root.pem").chmod(0o644)

    @classmethod
    def version(cls) -> str:
        on_path("apache2", "apache2-bin libapache2-mod-md")
        if not (_libraries() / "mod_md.so").exists():
            on_path("mod_md.so", "libapache2-mod-md")
        return version_of([on_path("apache2"), "-v"]).removeprefix("Server version: ")

    def issuing(self, asked: Asked) -> Command:
        return self._serving(asked.names, asked.challenge, asked.directory, "")

    def binding(self, names: Sequence[str]) -> Sequence[Command]:
        key = self.stage.external_account_key()
        bound = f"MDExternalAccountBinding {key.kid} {key.hmac}\n"
        return [self._serving(names, "http-01", self.stage.directory(), bound)]

    def chain(self, names: Sequence[str]) -> Path:
        return self.folder / f"{names[0]}.pem"

    def obtain(self, names: Sequence[str], challenge: str) -> Issued:
        self._serve_until(self.issuing(self.asked(names, challenge)), names)
        return Issued(self.chain(names), tuple(names))

    def bind(self, names: Sequence[str]) -> Issued:
        (command,) = self.binding(names)
        self._serve_until(command, names)
        return Issued(self.chain(names), tuple(names))

    def _serve_until(self, command: Command, names: Sequence[str]) -> None:
        for port in (self.stage.http01_port, self.stage.tlsalpn01_port):
            await_free(port)
        home = Path(command.environment["HOME"])
        found = home / "md" / "staging" / names[0] / "pubcert.pem"
        running = self.start(command)
        until = time.monotonic() + _SECONDS
        try:
            while not (found.exists() and found.stat().st_size):
                if running.process.poll() is not None or time.monotonic() > until:
                    said = (home / "error.log").read_text() if (home / "error.log").exists() else running.said
                    raise ClientFailed(command.arguments, "got no certificate", said)
                time.sleep(0.1)
            shutil.copy(found, self.chain(names))
        finally:
            running.process.terminate()
            running.code()
            shutil.rmtree(home, ignore_errors=True)

    def _serving(self, names: Sequence[str], challenge: str, directory: str, more: str) -> Command:
        home = Path(tempfile.mkdtemp(dir=self._home))
        home.chmod(0o711)
        store = home / "md"
        store.mkdir()
        if os.geteuid() == 0:
            more += "User www-data\nGroup www-data\n"
            for folder in (home, store):
                shutil.chown(folder, "www-data", "www-data")
        if challenge == "dns-01":
            shutil.copytree(HOOKS, home / "hooks")
            hook = home / "hooks" / "here"
            hook.write_text(
                f'#!/bin/sh\nDNS_MANAGEMENT={self.stage.management} exec "${{0%/*}}/mod_md" "$@"\n'
            )
            hook.chmod(0o755)
            more += f"MDChallengeDns01 {hook}\n"
        http, https = self.stage.http01_port, self.stage.tlsalpn01_port
        loaded = "".join(f"LoadModule {name}_module {_libraries()}/mod_{name}.so\n" for name in _MODULES)
        (home / "httpd.conf").write_text(
            f"ServerRoot {home}\nPidFile {home}/pid\nMutex file:{home} default\nErrorLog {home}/error.log\n"
            f"LogLevel warn md:info\n{loaded}Listen 127.0.0.1:{http} http\nListen 127.0.0.1:{https} https\n"
            f"ServerName {names[0]}\nServerAdmin first@mod-md.example\nProtocols http/1.1 acme-tls/1\n"
            f"MDStoreDir {store}\nMDCertificateAuthority {directory}\nMDCertificateAgreement accepted\n"
            f"MDCACertificateFile {self._home}/root.pem\nMDPortMap http:{http} https:{https}\nMDRetryDelay 2s\n"
            f"MDCAChallenges {challenge}\n{more}MDomain {' '.join(names)}\n"
            f"<VirtualHost *:{https}>\nServerName {names[0]}\nSSLEngine on\n</VirtualHost>\n"
        )
        command = (str(on_path("apache2")), "-f", str(home / "httpd.conf"), "-DFOREGROUND")
        return Command(command, {"HOME": str(home)})


def _libraries() -> Path:
    return Path("/usr/lib/apache2/modules")
