"""One GET over one fresh connection, plain or TLS: `ReplyReader` on an asyncio protocol.

aiohttp's client was measured beside it (bench/validation.py): several times the CPU for sessions, connectors and
header objects that one GET of ninety bytes does not need, and no bound on the time between two bytes.
"""

import asyncio
import socket
import ssl
from functools import lru_cache
from typing import Final

from policy.validation.addresses import Check
from policy.validation.http_reply import BadReply, ReplyReader
from policy.validation.problems import Problem, ValidationFailed, connection_failed
from policy.validation.records import authority

USER_AGENT: Final = "certctl"


class _Exchange(asyncio.Protocol):
    """Sends the request, feeds the reader, and hangs up as soon as the reply is whole."""

    def __init__(self, request: bytes, reader: ReplyReader, done: asyncio.Future[None]) -> None:
        self._request = request
        self._reader = reader
        self._done = done
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._done.done():
            return
        try:
            if self._reader.feed(data):
                self._finish(None)
        except BadReply as error:
            self._finish(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done.done():
            return
        if exc is not None and not self._reader.status:
            self._finish(exc)
            return
        try:
            self._reader.end()
        except BadReply as error:
            self._finish(error)
        else:
            self._finish(None)

    def _finish(self, error: Exception | None) -> None:
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)


@lru_cache(maxsize=1)
def _unverified_tls() -> ssl.SSLContext:
    """TLS for redirect targets, whose certificates are not verified.

    Whoever asks for a first certificate has none worth trusting yet (RFC 8555 8.3 starts on plain HTTP for that
    reason), and what proves control is the body, not the channel.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def get(
    check: Check, sock: socket.socket, where: str, *, tls: bool, host: str, port: int, path: str
) -> ReplyReader:
    """The reply to ``GET path`` over a connected socket, which is closed afterwards whatever happens.

    Raises:
        ValidationFailed: ``connection`` or ``tls``; the words name ``where``.
    """
    loop = asyncio.get_running_loop()
    shown_host = authority(host, port, 443 if tls else 80)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {shown_host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n"
        "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
    reader = ReplyReader(max_head=check.settings.max_head, max_body=check.settings.max_body)
    done: asyncio.Future[None] = loop.create_future()
    transport: asyncio.BaseTransport | None = None
    try:
        async with asyncio.timeout_at(check.deadline):
            transport, _ = await loop.create_connection(
                lambda: _Exchange(request, reader, done),
                sock=sock,
                ssl=_unverified_tls() if tls else None,
                server_hostname=host if tls else None,
            )
            await done
    except TimeoutError:
        if not reader.status or reader.status == 200:
            raise ValidationFailed(
                Problem.CONNECTION,
                f"{where} did not send its whole reply within {check.settings.timeout:g} s",
            ) from None
    except BadReply as error:
        raise ValidationFailed(Problem.CONNECTION, f"{where} gave no usable HTTP reply: {error}") from None
    except ssl.SSLError as error:
        raise ValidationFailed(Problem.TLS, f"{where}: no TLS: {tls_words(error)}") from None
    except OSError as error:
        raise connection_failed(error, where) from None
    finally:
        if transport is not None:
            transport.abort()  # type: ignore[attr-defined]  # every stream transport has it
        else:
            sock.close()
        if done.done() and not done.cancelled():
            done.exception()  # seen, even when the timeout came first
    return reader


def tls_words(error: ssl.SSLError) -> str:
    """OpenSSL's reason, without file names and line numbers of the library."""
    reason = (error.reason or "the handshake failed").replace("_", " ").lower()
    return reason[:80]
