"""A TLS handshake over a connected socket, with its failures in words."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from policy.validation.addresses import Check
from policy.validation.problems import Problem, ValidationFailed, connection_failed

P = TypeVar("P", bound=asyncio.Protocol)


async def handshake(
    check: Check, sock: socket.socket, where: str, context: ssl.SSLContext, sni: str, make: Callable[[], P]
) -> tuple[asyncio.BaseTransport, P]:
    """The transport and protocol after the handshake. The socket is theirs from now on.

    Raises:
        ValidationFailed: ``tls``, in words that begin with ``where``.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(check.deadline):
            # From here on the loop closes the socket. Closing it here too could hit the next one of that number.
            return await loop.create_connection(make, sock=sock, ssl=context, server_hostname=sni)
    except TimeoutError:
        words = f"did not finish the TLS handshake for {sni} within {check.settings.timeout:g} s"
    except ssl.SSLError as error:
        words = f"refused the TLS handshake for {sni}: {tls_words(error)}"
    except ConnectionError:
        words = f"hung up during the TLS handshake for {sni}"
    except OSError as error:
        raise connection_failed(error, where) from None
    raise ValidationFailed(Problem.TLS, f"{where} {words}")


def tls_words(error: ssl.SSLError) -> str:
    """OpenSSL's reason, without file names and line numbers of the library."""
    return (error.reason or "it failed").replace("_", " ").lower()[:80]
