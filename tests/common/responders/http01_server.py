"""An http-01 responder: key authorizations by token, or whole scripted replies by path."""

import asyncio
from typing import NamedTuple

from tests.common.responders.tcp_server import Handler, TCPResponder

WELL_KNOWN = "/.well-known/acme-challenge/"


class Request(NamedTuple):
    """One request that arrived: path with query, and headers by lower-case name."""

    path: str
    headers: dict[str, str]


class HTTP01Responder(TCPResponder):
    """``tokens`` maps a token to its key authorization; ``scripts`` maps a path to bytes or a coroutine.

    Bytes are written as they stand and the connection is closed; a coroutine gets (reader, writer) after the
    request was read and may do anything.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, **options: object) -> None:
        super().__init__(None, host, port, **options)  # type: ignore[arg-type]  # tls only
        self.tokens: dict[str, str] = {}
        self.scripts: dict[str, bytes | Handler] = {}
        self.requests: list[Request] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        path = lines[0].split(" ")[1]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        self.requests.append(Request(path, headers))
        script = self.scripts.get(path)
        if callable(script):
            await script(reader, writer)
        elif script is not None:
            writer.write(script)
        elif path.startswith(WELL_KNOWN) and path.removeprefix(WELL_KNOWN) in self.tokens:
            writer.write(reply(self.tokens[path.removeprefix(WELL_KNOWN)].encode()))
        else:
            writer.write(reply(b"nothing here", status="404 Not Found"))


def reply(body: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    """A plain HTTP/1.1 reply with a Content-Length."""
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return reply(b"", status=status, Location=location)
