"""Addresses to listen on and to ask, as operators write them."""

from ipaddress import ip_address
from typing import Final, NamedTuple

_DNS_PORT: Final = 53


class Address(NamedTuple):
    """An IP address and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int | None = None) -> Address:
    """`127.0.0.1:8443` or `[::1]:8443`; `localhost` stands for 127.0.0.1. Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if default_port is not None and (not colon or (":" in host and not host.endswith("]"))):
        host, port = text.strip(), str(default_port)
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        written = str(ip_address(host))
    except ValueError:
        raise ValueError(f'{text!r}: write an IP address and a port, as in "127.0.0.1:8443"') from None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r}: a port lies between 1 and 65535")
    return Address(written, int(port))


def parse_resolver(text: str) -> tuple[str, int]:
    """Like `parse_address`, port 53 being understood."""
    host, port = parse_address(text, _DNS_PORT)
    return host, port
