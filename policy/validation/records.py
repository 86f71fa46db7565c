"""What a check looked up and connected to: values for the audit log, and the trail that collects them."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ca.names import Identifier

MOST_ANSWERS: Final = 16  # kept per lookup; a record is for people, not an archive
MOST_LOOKUPS: Final = 64


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question and what came of it. ``resolver`` is "address:port" or the path of a hosts file."""

    name: str
    rrtype: str
    resolver: str
    outcome: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """One attempt to connect. ``purpose`` is the URL or the TLS server name; ``outcome`` a few words."""

    address: str
    port: int
    purpose: str
    outcome: str


@dataclass(frozen=True, slots=True)
class ValidationRecord:
    """What one validation did, in order. Holds no key authorization."""

    method: str
    identifier: Identifier
    lookups: tuple[Lookup, ...]
    connections: tuple[Connection, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, ready for the audit log."""
        return asdict(self) | {
            "identifier": {"type": str(self.identifier.type), "value": self.identifier.value}
        }


@dataclass(slots=True)
class Trail:
    """Collects lookups and connections while a check runs."""

    lookups: list[Lookup] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)

    def looked_up(
        self, name: str, rrtype: str, resolver: str, outcome: str, answers: tuple[str, ...] = ()
    ) -> None:
        if len(self.lookups) < MOST_LOOKUPS:
            self.lookups.append(Lookup(name, rrtype, resolver, outcome, answers[:MOST_ANSWERS]))

    def connected(self, address: str, port: int, purpose: str, outcome: str) -> None:
        self.connections.append(Connection(address, port, purpose, outcome))


def authority(host: str, port: int, default_port: int | None = None) -> str:
    """``host:port`` as in a URL: IPv6 in brackets, the port left out when it is the default (RFC 3986 3.2)."""
    text = f"[{host}]" if ":" in host else host
    return text if port == default_port else f"{text}:{port}"
