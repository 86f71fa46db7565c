"""Which addresses the checks may connect to.

This is a private PKI, so private and loopback ranges are allowed. What can never be a place where somebody
proves control over a name is denied by default: link-local (cloud metadata lives at 169.254.169.254),
multicast, unspecified and broadcast addresses.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERYWHERE: Final[tuple[IPNetwork, ...]] = (
    ipaddress.ip_network("0.0.0.0/0"),
    ipaddress.ip_network("::/0"),
)
DENIED_BY_DEFAULT: Final[tuple[IPNetwork, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fe80::/10",
        "ff00::/8",
    )
)

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """Networks a profile's checks may reach: inside one of ``allowed`` and outside all of ``denied``."""

    allowed: tuple[IPNetwork, ...] = EVERYWHERE
    denied: tuple[IPNetwork, ...] = DENIED_BY_DEFAULT

    def permits(self, address: IPAddress) -> bool:
        """Whether a connection to this address may be made.

        An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4) must pass for both, so that a rule
        for IPv4 cannot be walked round in the other family.
        """
        if not any(address in network for network in self.allowed):
            return False
        if any(address in network for network in self.denied):
            return False
        inner = _carried(address)
        return inner is None or not any(inner in network for network in self.denied)


def _carried(address: IPAddress) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
