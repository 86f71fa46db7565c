"""dehydrated: bash, curl and openssl. It reads JSON with sed, so it minds the shape of answers."""

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_server, socket

from conformance.acme.client import HOOKS, WELL_KNOWN, Asked, Client, Command, await_free, version_of
from conformance.acme.programs import on_path


class Dehydrated(Client):
    """Writes answers to files; for tls-alpn-01, certificates that somebody else presents."""

    name = "dehydrated"
    challenges = ("http-01", "dns-01", "tls-alpn-01")
    can = frozenset({"renew", "revoke", "eab", "update", "deactivate"})
    webroot = True
    tells_why = False  # "Order in status invalid", and no more

    @classmethod
    def version(cls) -> str:
        return version_of([on_path("dehydrated"), "--version"])

    def registering(self, directory: str) -> Command:
        """It has an account for each directory."""
        return self._run("--register", "--accept-terms", directory=directory)

    def issuing(self, asked: Asked) -> Command:
        words = [word for name in asked.names for word in ("-d", name)]
        how = ("-c", "-x", "--alias", asked.names[0], "-t", asked.challenge, "-k", str(HOOKS / "dehydrated"))
        return self._run(*how, *words, directory=asked.directory)

    def chain(self, names: Sequence[str]) -> Path:
        return self.folder / "certs" / names[0] / "fullchain.pem"

    def revoking(self, names: Sequence[str]) -> Command:
        return self._run("--revoke", str(self.folder / "certs" / names[0] / "cert.pem"))

    def updating(self, mail: str) -> Command:
        return self._run("--account", mail=mail)

    def deactivating(self) -> Command:
        return self._run("--deactivate")

    def binding(self, names: Sequence[str]) -> Sequence[Command]:
        key = self.stage.external_account_key()
        bound = f"EAB_KID={key.kid}\nEAB_HMAC_KEY={key.hmac}\n"
        issuing = self.issuing(self.asked(names))
        return [self._run("--register", "--accept-terms", more=bound), issuing]

    def _run(
        self,
        *arguments: str,
        directory: str | None = None,
        mail: str = "first@dehydrated.example",
        more: str = "",
    ) -> Command:
        directory = directory or self.stage.directory()
        config = self.folder / f"config-{len(list(self.folder.glob('config-*'))):02}"
        config.write_text(
            f'CA="{directory}"\nBASEDIR="{self.folder}"\nWELLKNOWN="{self.www / WELL_KNOWN}"\n'
            f'ALPNCERTDIR="{self.folder / "alpn"}"\nCONTACT_EMAIL={mail}\nACCOUNT_KEYSIZE=2048\n'
            f"CURL_OPTS=\"--cacert {self.stage.root} --noproxy '*'\"\n{more}"
        )
        (self.folder / "alpn").mkdir(exist_ok=True)
        environment = {"DNS_MANAGEMENT": self.stage.management}
        return Command((str(on_path("dehydrated")), "-f", str(config), *arguments), environment)

    @contextmanager
    def listening(self, challenge: str) -> Iterator[None]:
        """For tls-alpn-01 present the certificates that it writes, each to whoever asks for its name."""
        if challenge != "tls-alpn-01":
            with super().listening(challenge):
                yield
            return
        await_free(self.stage.tlsalpn01_port)
        with create_server(("127.0.0.1", self.stage.tlsalpn01_port)) as listener:
            thread = threading.Thread(target=_present, args=(listener, self.folder / "alpn"))
            thread.start()
            try:
                yield
            finally:
                listener.shutdown(2)
                thread.join()


def _present(listener: socket, folder: Path) -> None:
    def choose(session: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["acme-tls/1"])
        context.load_cert_chain(folder / f"{name}.crt.pem", folder / f"{name}.key.pem")
        session.context = context

    greeting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    greeting.set_alpn_protocols(["acme-tls/1"])
    greeting.sni_callback = choose
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with suppress(OSError), connection, greeting.wrap_socket(connection, server_side=True):
            pass
