"""One exchange of DNS messages with one resolver: UDP on a fresh socket, TCP when the answer was cut short.

Every exchange has its own socket, hence its own random port: with the random message id that leaves a forger
32 bits to guess (RFC 5452 4). The socket is connected, so that answers from elsewhere never arrive.
"""

import asyncio
import secrets
import socket
from collections.abc import Sequence
from typing import Final

from policy.validation.dns_wire import MalformedMessage, Reply, name_on_the_wire, question, read_reply

LATE: Final = "no answer in time"
_UNREACHABLE: Final = "no DNS server answers there"
_MOST_STRAYS: Final = 32  # datagrams that answer nothing we asked, before giving up on this socket


async def exchange(
    resolver: tuple[str, int],
    name: str,
    rrtypes: Sequence[int],
    *,
    until: float,
    most: int,
    edns: bool = True,
) -> dict[int, Reply | str]:
    """For each type a reply, or a few words about why there is none (`LATE` when asking again may help).

    All questions go out at once. ``until`` is in the running loop's time, ``most`` the bytes one answer may have.

    Raises:
        OSError: this machine has no socket to spare.
    """
    try:
        on_the_wire = name_on_the_wire(name)
    except MalformedMessage as error:
        return dict.fromkeys(rrtypes, str(error))
    asked = {t: question(secrets.randbits(16), on_the_wire, t, edns=edns) for t in rrtypes}
    answers = await _over_udp(resolver, asked, until)
    for rrtype, answer in answers.items():
        if isinstance(answer, Reply) and answer.truncated:
            answers[rrtype] = await _over_tcp(resolver, asked[rrtype], until, most)
    return answers


async def _over_udp(
    resolver: tuple[str, int], asked: dict[int, bytes], until: float
) -> dict[int, Reply | str]:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in resolver[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.connect(resolver)
            for message in asked.values():
                sock.send(message)
        except OSError:
            return dict.fromkeys(asked, _UNREACHABLE)
        waiter = _Waiter(sock, asked, loop.create_future())
        descriptor = sock.fileno()
        alarm = loop.call_at(until, waiter.finish)
        loop.add_reader(descriptor, waiter.readable)
        try:
            await waiter.done
        finally:
            alarm.cancel()
            loop.remove_reader(descriptor)
    return waiter.answers


class _Waiter:
    """Collects the answers that arrive on one socket until all are there."""

    def __init__(self, sock: socket.socket, asked: dict[int, bytes], done: asyncio.Future[None]) -> None:
        self._sock = sock
        self._open = {message[:2]: (rrtype, message) for rrtype, message in asked.items()}
        self._strays = 0
        self.done = done
        self.answers: dict[int, Reply | str] = dict.fromkeys(asked, LATE)

    def readable(self) -> None:
        try:
            while self._open and self._strays < _MOST_STRAYS:
                self._sort(self._sock.recv(4096))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # the other host said so by ICMP
            self.answers.update(dict.fromkeys([t for t, _ in self._open.values()], _UNREACHABLE))
        self.finish()

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _sort(self, wire: bytes) -> None:
        rrtype, message = self._open.get(wire[:2], (0, b""))
        if not message:
            self._strays += 1
            return
        try:
            self.answers[rrtype] = read_reply(wire, message)
        except MalformedMessage as error:
            self._strays += 1
            self.answers[rrtype] = f"its answer is broken: {error}"  # unless a better one still comes
        else:
            del self._open[wire[:2]]


async def _over_tcp(resolver: tuple[str, int], message: bytes, until: float, most: int) -> Reply | str:
    """RFC 7766: the same question with a length in front."""
    writer = None
    try:
        async with asyncio.timeout_at(until):
            reader, writer = await asyncio.open_connection(*resolver, limit=most)
            writer.write(len(message).to_bytes(2, "big") + message)
            length = int.from_bytes(await reader.readexactly(2), "big")
            if length > most:
                return f"its answer has {length} bytes, more than {most}; remove old records"
            return read_reply(await reader.readexactly(length), message)
    except TimeoutError:
        return "no answer in time over TCP"
    except asyncio.IncompleteReadError:
        return "it closed the TCP connection in the middle of its answer"
    except MalformedMessage as error:
        return f"its answer over TCP is broken: {error}"
    except OSError:
        return "its answer is too long for UDP and it does not talk TCP"
    finally:
        if writer is not None:
            writer.transport.abort()
