"""The server's side of TLS: 1.2 and 1.3, forward secrecy only, and a certificate that can change while it serves."""

import asyncio
import ssl
from pathlib import Path
from typing import Final

import structlog

from servers.files import FileRefused, read_private

log = structlog.get_logger()
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # TLS 1.2; what 1.3 has is all good
_LOOK_EVERY: Final = 2.0


class TlsRefused(Exception):
    """The certificate and key of the server cannot be used; the message names the file."""


class ReloadingContext:
    """A context for listeners whose certificate follows a file.

    Each new certificate gets a context of its own, handed to a connection in its handshake: connections under way
    keep what they have, and no handshake ever sees a certificate without its key.
    """

    def __init__(self, path: Path, passphrase: bytes) -> None:
        """Raises TlsRefused, FileRefused."""
        self._path = path
        self._passphrase = passphrase
        self._seen = _mark(path)
        self._current = self.listening = self._load()
        self.listening.sni_callback = self._choose
        self.reloads = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow the file until `stopping` is set."""
        while not stopping.is_set():
            try:
                async with asyncio.timeout(_LOOK_EVERY):
                    await stopping.wait()
            except TimeoutError:
                await self.look()

    async def look(self) -> bool:
        """Take a new certificate if the file has one; whether it had."""
        mark = _mark(self._path)
        if mark is None or mark == self._seen:
            return False
        self._seen = mark
        try:
            # In a thread: opening the key takes a tenth of a second on purpose.
            self._current = await asyncio.to_thread(self._load)
        except (TlsRefused, FileRefused) as error:
            log.error("tls.not_reloaded", error=str(error))
            return False
        self.reloads += 1
        log.info("tls.reloaded", file=str(self._path))
        return True

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        if self._current is not self.listening:
            connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        read_private(self._path)  # refuses a file that others can read
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._path, password=self._passphrase)
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or error.strerror or "unreadable"
            raise TlsRefused(
                f"{self._path}: the passphrase does not open it, or it is damaged ({reason})"
            ) from None
        return context


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ino
