"""One exchange of DNS messages with one resolver: UDP on a fresh socket, TCP when the answer was cut short.

Every exchange has its own socket, hence its own random port: with the random message id that leaves a forger
32 bits to guess (RFC 5452 4). The socket is connected, so that answers from elsewhere never arrive.
"""

import asyncio
import errno
import secrets
import socket
from collections.abc import Sequence

from policy.validation.dns_wire import MalformedMessage, Reply, question, read_reply

_MOST_STRAYS = 32  # datagrams that answer nothing we asked, before giving up on this socket


class NoAnswer(Exception):
    """The resolver gave no usable answer; the text is a few words for the person who reads the error."""


async def exchange(
    resolver: tuple[str, int],
    name: str,
    rrtypes: Sequence[int],
    *,
    until: float,
    most: int,
    edns: bool = True,
) -> dict[int, Reply]:
    """Answers to one question per type, asked at once; types left unanswered are missing.

    ``until`` is in the running loop's time, ``most`` the size that one answer may have, in bytes.

    Raises:
        NoAnswer: no answer at all.
        MalformedMessage: the name cannot be asked for.
        OSError: this machine has no socket to spare, or no route.
    """
    asked = {rrtype: question(secrets.randbits(16), name, rrtype, edns=edns) for rrtype in rrtypes}
    answered = await _over_udp(resolver, asked, until)
    for rrtype, reply in answered.items():
        if reply.truncated:
            answered[rrtype] = await _over_tcp(resolver, asked[rrtype], until, most)
    return answered


async def _over_udp(resolver: tuple[str, int], asked: dict[int, bytes], until: float) -> dict[int, Reply]:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in resolver[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        sock.connect(resolver)
        waiter = _Waiter(sock, dict(asked), loop.create_future())
        for message in asked.values():
            sock.send(message)
        alarm = loop.call_at(until, waiter.give_up)
        loop.add_reader(sock.fileno(), waiter.readable)
        try:
            await waiter.done
        finally:
            alarm.cancel()
            loop.remove_reader(sock.fileno())
    if not waiter.answered:
        raise NoAnswer(waiter.trouble)
    return waiter.answered


class _Waiter:
    """Collects the answers that arrive on one socket until all are there."""

    def __init__(
        self, sock: socket.socket, open_questions: dict[int, bytes], done: asyncio.Future[None]
    ) -> None:
        self._sock = sock
        self._open = open_questions
        self._strays = 0
        self.done = done
        self.answered: dict[int, Reply] = {}
        self.trouble = "no answer in time"

    def readable(self) -> None:
        try:
            while self._open:
                self._sort(self._sock.recv(65535))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            refused = error.errno == errno.ECONNREFUSED
            self.trouble = "no DNS server listens there" if refused else "cannot be reached"
            self._finish()

    def give_up(self) -> None:
        self._finish()

    def _sort(self, wire: bytes) -> None:
        for rrtype, message in self._open.items():
            if wire[:2] == message[:2]:
                try:
                    self.answered[rrtype] = read_reply(wire, message)
                except MalformedMessage as error:
                    self.trouble = f"its answer is broken: {error}"
                    break
                del self._open[rrtype]
                if not self._open:
                    self._finish()
                return
        self._strays += 1
        if self._strays > _MOST_STRAYS:
            self._open.clear()
            self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def _over_tcp(resolver: tuple[str, int], message: bytes, until: float, most: int) -> Reply:
    """RFC 7766: the same question with a length in front."""
    writer = None
    try:
        async with asyncio.timeout_at(until):
            reader, writer = await asyncio.open_connection(*resolver, limit=most)
            writer.write(len(message).to_bytes(2, "big") + message)
            length = int.from_bytes(await reader.readexactly(2), "big")
            if length > most:
                raise NoAnswer(f"its answer has {length} bytes, more than {most}; remove old records")
            return read_reply(await reader.readexactly(length), message)
    except TimeoutError:
        raise NoAnswer("no answer in time over TCP") from None
    except asyncio.IncompleteReadError:
        raise NoAnswer("it closed the TCP connection in the middle of its answer") from None
    except MalformedMessage as error:
        raise NoAnswer(f"its answer over TCP is broken: {error}") from None
    except OSError:
        raise NoAnswer("its answer is too long for UDP and it does not talk TCP") from None
    finally:
        if writer is not None:
            writer.transport.abort()
