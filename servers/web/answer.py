"""An answer that is whole before its first octet is sent: one head, one body, one write.

aiohttp's own Response can stream, compress and chunk, and costs several times as much; protocols whose answers are
small and finished (ACME, OCSP) send these instead. It has the few members that aiohttp asks of an answer
(`prepare`, `write_eof`, `keep_alive`), so both kinds leave by the same way.
"""

from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion11

SERVER: Final = "certctl"
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: {SERVER}\r\nDate: "
    for status in HTTPStatus
}
_WITHOUT_BODY: Final = (204, 304)


class Answer:
    """Status, headers in the order in which they were added, and body."""

    __slots__ = ("_closes", "_writer", "body", "headers", "keep_alive", "route", "status")

    def __init__(
        self, body: bytes = b"", status: int = 200, headers: list[tuple[str, str]] | None = None
    ) -> None:
        self.status = status
        self.body = body
        self.headers = [] if headers is None else headers
        self.route = ""
        """The template of the path that was asked for, for the metrics; empty for none of ours."""
        self.keep_alive = True
        self._closes = False
        self._writer: AbstractStreamWriter | None = None

    def add(self, name: str, value: str) -> None:
        """One more header; `name` is written as it should be sent."""
        self.headers.append((name, value))

    def force_close(self) -> None:
        """Let this be the last answer of its connection."""
        self._closes = True

    def head(self, date: str, connection: str = "") -> bytes:
        """The head as it is sent. ValueError if a header holds what could end its line."""
        lines = "".join([f"\r\n{name}: {value}" for name, value in self.headers])
        if not lines.replace("\r\n", "", len(self.headers)).isprintable():
            raise ValueError("a header holds a control character")
        length = "" if self.status in _WITHOUT_BODY else f"\r\nContent-Length: {len(self.body)}"
        return f"{_STATUS_LINES[self.status]}{date}{length}{lines}{connection}\r\n\r\n".encode()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send everything. ConnectionResetError if nobody is there any more."""
        self.keep_alive = request.keep_alive and not self._closes
        connection = ""
        if not self.keep_alive:
            connection = "\r\nConnection: close"
        elif request.version < HttpVersion11:
            connection = "\r\nConnection: keep-alive"
        head = self.head(rfc822_formatted_time(), connection)
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        silent = request.method == "HEAD" or self.status in _WITHOUT_BODY
        transport.write(head if silent else head + self.body)
        self._writer = request.writer

    async def write_eof(self) -> None:
        """Wait until a slow client has taken enough of it; without `prepare` there is nothing to wait for."""
        if self._writer is not None:
            await self._writer.drain()
