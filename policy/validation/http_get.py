"""One GET over one fresh connection, plain or TLS: `ReplyReader` on an asyncio protocol.

aiohttp's client costs half as much again (bench/validation.py), and its bounds are not ours: one time limit for
everything, so many bytes of headers, so many of a body, and a reply that may stop in the middle.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, cast

from policy.validation.addresses import Check
from policy.validation.dial import dial, dial_protocol
from policy.validation.http_reply import BadReply, ReplyReader
from policy.validation.networks import IPAddress
from policy.validation.problems import Problem, ValidationFailed, connection_failed
from policy.validation.records import authority
from policy.validation.tls import handshake, tls_words

USER_AGENT: Final = "certctl"


class _Exchange(asyncio.Protocol):
    """Sends the request, feeds the reader, and says when the reply is whole or broken."""

    def __init__(self, request: bytes, reader: ReplyReader) -> None:
        self._request = request
        self.reader = reader
        self.failure: Exception | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.WriteTransport", transport).write(self._request)  # uvloop's have another base class

    def data_received(self, data: bytes) -> None:
        if not self.done.done():
            try:
                if self.reader.feed(data):
                    self._finish(None)
            except BadReply as error:
                self._finish(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            if exc is not None and not self.reader.status:
                self._finish(exc)
                return
            try:
                self.reader.end()
            except BadReply as error:
                self._finish(error)
            else:
                self._finish(None)

    def too_late(self) -> None:
        if not self.done.done():
            self._finish(TimeoutError())

    def _finish(self, failure: Exception | None) -> None:
        """The failure is kept beside the future, which nobody may be left to look at."""
        self.failure = failure
        self.done.set_result(None)


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
    check: Check, addresses: Sequence[IPAddress], *, tls: bool, host: str, port: int, path: str, url: str
) -> tuple[ReplyReader, str]:
    """The reply to ``GET path`` from the first address that accepts, and that address with its port.

    Raises:
        ValidationFailed: ``connection`` or ``tls``; the words name the address.
    """
    loop = asyncio.get_running_loop()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {authority(host, port, 443 if tls else 80)}\r\n"
        f"User-Agent: {USER_AGENT}\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ).encode("ascii")

    def make() -> _Exchange:
        return _Exchange(
            request, ReplyReader(max_head=check.settings.max_head, max_body=check.settings.max_body)
        )

    if tls:
        (transport, exchange), where = await _over_tls(check, addresses, port, host, url, make)
    else:
        (transport, exchange), where = await dial_protocol(check, addresses, port, url, make)
    alarm = loop.call_at(check.deadline, exchange.too_late)
    try:
        await exchange.done
        if exchange.failure is not None:
            raise exchange.failure
    except TimeoutError:
        if exchange.reader.status in (0, 200):
            raise ValidationFailed(
                Problem.CONNECTION,
                f"{where} did not send its whole reply within {check.settings.timeout:g} s",
            ) from None
    except BadReply as error:
        raise ValidationFailed(Problem.CONNECTION, f"{where} gave no usable HTTP reply: {error}") from None
    except ssl.SSLError as error:
        raise ValidationFailed(Problem.TLS, f"{where}: TLS broke off: {tls_words(error)}") from None
    except OSError as error:
        raise connection_failed(error, where) from None
    finally:
        alarm.cancel()
        cast("asyncio.WriteTransport", transport).abort()
    return exchange.reader, where


async def _over_tls(
    check: Check,
    addresses: Sequence[IPAddress],
    port: int,
    host: str,
    url: str,
    make: Callable[[], _Exchange],
) -> tuple[tuple[asyncio.BaseTransport, _Exchange], str]:
    sock, where = await dial(check, addresses, port, url)
    return await handshake(check, sock, where, _unverified_tls(), host, make), where
