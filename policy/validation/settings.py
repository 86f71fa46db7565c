"""How the outbound checks may behave: ports, resolvers and every bound. Constructors refuse nonsense at start."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_RESOLVERS: Final = 8


@dataclass(frozen=True, slots=True)
class ValidationSettings:
    """Bounds of one validation; times in seconds, sizes in bytes.

    ``resolvers`` are (IP address, port) pairs. When empty, the system's own rules hold: ``hosts_file`` first,
    then ``localhost`` and the machine's own name (both loopback), then the name servers in ``resolv_conf``,
    without search domains. When given, DNS alone decides and neither file is read.

    Raises:
        ValueError: a port, an address or a bound makes no sense.
    """

    http01_port: int = 80
    tlsalpn01_port: int = 443
    resolvers: tuple[tuple[str, int], ...] = ()
    timeout: float = 10.0  # a whole validation, name lookup and redirects included
    connect_timeout: float = 3.0  # one address; leaves time for the second one
    dns_timeout: float = 2.0  # one question to one resolver
    max_redirects: int = 5
    max_head: int = 16 * 1024  # status line and headers, or all bytes of a chunked reply
    max_body: int = 512  # a key authorization has about 90
    max_dns_reply: int = 16 * 1024  # some hundred TXT values
    max_concurrent: int = 100
    hosts_file: Path = Path("/etc/hosts")
    resolv_conf: Path = Path("/etc/resolv.conf")

    def __post_init__(self) -> None:
        for name in ("http01_port", "tlsalpn01_port"):
            _check_port(name, getattr(self, name))
        if len(self.resolvers) > MOST_RESOLVERS:
            raise ValueError(f"at most {MOST_RESOLVERS} resolvers, {len(self.resolvers)} given")
        for host, port in self.resolvers:
            try:
                ipaddress.ip_address(host)
            except ValueError:
                raise ValueError(f"resolver {host!r}: give an IP address, not a name") from None
            _check_port(f"resolver {host}", port)
        for name in ("timeout", "connect_timeout", "dns_timeout"):
            if not 0 < getattr(self, name) <= 300:
                raise ValueError(f"{name} must be over 0 and at most 300 seconds")
        if not 0 <= self.max_redirects <= 20:
            raise ValueError("max_redirects must be between 0 and 20")
        for name, least, most in (
            ("max_head", 1024, 1 << 20),
            ("max_body", 256, 1 << 16),
            ("max_dns_reply", 512, 65535),
            ("max_concurrent", 1, 100_000),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be between {least} and {most}")


def _check_port(name: str, port: int) -> None:
    if not 0 < port < 65536:
        raise ValueError(f"{name}: port {port} is not between 1 and 65535")
