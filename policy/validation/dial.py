"""TCP to an address that was checked, never to a name: between the check and the connection nothing is looked up."""

import asyncio
import socket
from collections.abc import Sequence

from policy.validation.addresses import Check
from policy.validation.networks import IPAddress
from policy.validation.problems import Problem, ValidationFailed, connection_failed
from policy.validation.records import authority


async def dial(
    check: Check, addresses: Sequence[IPAddress], port: int, purpose: str
) -> tuple[socket.socket, str]:
    """A connected, non-blocking socket and "address:port", from the first address that accepts.

    The caller closes the socket. Each attempt, good or bad, is on the trail under ``purpose``.

    Raises:
        ValidationFailed: ``connection``, with what happened at each address.
    """
    failures = []
    for address in addresses:
        where = authority(str(address), port)
        try:
            sock = await _one(check, address, port)
        except TimeoutError:
            failure = ValidationFailed(
                Problem.CONNECTION, f"{where}: no answer to the attempt to connect; is a firewall in between?"
            )
        except OSError as error:
            failure = connection_failed(error, where)
        else:
            check.trail.connected(str(address), port, purpose, "connected")
            return sock, where
        check.trail.connected(str(address), port, purpose, failure.detail.removeprefix(f"{where}: "))
        failures.append(failure)
    detail = "; ".join(dict.fromkeys(failure.detail for failure in failures))
    raise ValidationFailed(failures[-1].problem, f"cannot connect for {purpose}: {detail}")


async def _one(check: Check, address: IPAddress, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        async with asyncio.timeout_at(min(check.deadline, loop.time() + check.settings.connect_timeout)):
            await loop.sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock
