"""Which addresses the checks may connect to.

This is a private PKI, so private and loopback ranges are allowed. What can never be a place where somebody
proves control over a name is denied by default: link-local (cloud metadata lives at 169.254.169.254),
multicast, unspecified and broadcast addresses.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
_Masks = dict[int, tuple[tuple[int, int], ...]]  # by IP version: (network, mask) as numbers

EVERYWHERE: Final[tuple[IPNetwork, ...]] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
DENIED_BY_DEFAULT: Final[tuple[IPNetwork, ...]] = (
    ip_network("0.0.0.0/8"),
    ip_network("169.254.0.0/16"),
    ip_network("224.0.0.0/4"),
    ip_network("255.255.255.255/32"),
    ip_network("::/128"),
    ip_network("fe80::/10"),
    ip_network("ff00::/8"),
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """Networks a profile's checks may reach: inside one of ``allowed`` and outside all of ``denied``."""

    allowed: tuple[IPNetwork, ...] = EVERYWHERE
    denied: tuple[IPNetwork, ...] = DENIED_BY_DEFAULT
    _allowed: _Masks = field(init=False, repr=False, compare=False)
    _denied: _Masks = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_allowed", _masks(self.allowed))
        object.__setattr__(self, "_denied", _masks(self.denied))

    def permits(self, address: IPAddress) -> bool:
        """Whether a connection to this address may be made.

        An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4) is refused as well where a denied
        network holds the inner one, so that a rule for IPv4 cannot be walked round in the other family.
        """
        if not _within(address, self._allowed) or _within(address, self._denied):
            return False
        inner = _carried(address) if isinstance(address, IPv6Address) else None
        return inner is None or not _within(inner, self._denied)


def _masks(networks: tuple[IPNetwork, ...]) -> _Masks:
    return {
        version: tuple((int(n.network_address), int(n.netmask)) for n in networks if n.version == version)
        for version in (4, 6)
    }


def _within(address: IPAddress, masks: _Masks) -> bool:
    number = int(address)
    return any(number & mask == network for network, mask in masks[address.version])


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
