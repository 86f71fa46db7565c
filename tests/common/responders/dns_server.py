"""A real DNS server on loopback, UDP and TCP on one port, that answers from a `Zone`."""

import asyncio
from types import TracebackType
from typing import Self

from tests.common.responders.zone import Zone


class DNSResponder:
    """``async with DNSResponder() as dns:`` then ``dns.zone`` and ``dns.address``."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, zone: Zone | None = None) -> None:
        self.zone = zone or Zone()
        self._bind = (host, port)
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.address: tuple[str, int] = self._bind

    @property
    def port(self) -> int:
        return self.address[1]

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        host, port = self._bind
        for _ in range(20):  # an ephemeral port must be free for both
            self._tcp = await asyncio.start_server(self._serve_tcp, host, port)
            bound = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(host, bound)
                )
            except OSError:
                self._tcp.close()
                if port:
                    raise
                continue
            self.address = (host, bound)
            return self
        raise RuntimeError("no port free for both UDP and TCP")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._udp is not None
        assert self._tcp is not None
        self._udp.close()
        self._tcp.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._tcp.wait_closed()

    def datagram(self, data: bytes, sender: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer_datagram(data, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_datagram(self, data: bytes, sender: tuple[str, int]) -> None:
        reply = await self.zone.answer(data, "udp")
        if reply is not None and self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(reply, sender)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                reply = await self.zone.answer(await reader.readexactly(length), "tcp")
                if reply is not None:
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, owner: DNSResponder) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._owner.datagram(data, addr)
