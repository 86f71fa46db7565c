"""How much one account, address or external account key may ask for."""

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from policy.rate_limits import Limit

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AcmeLimits:
    """The limits that hold for every profile; liberal enough for a cluster behind one address."""

    orders_per_account: Limit = Limit(1000, _HOUR)
    orders_per_address: Limit = Limit(10_000, _HOUR)
    orders_per_external_account: Limit = Limit(10_000, _HOUR)
    accounts_per_address: Limit = Limit(500, _HOUR)
    failed_validations: Limit = Limit(60, _HOUR)
    """Per account and name."""


@lru_cache(maxsize=4096)
def bucket_of_address(source: str) -> str:
    """Whose bucket a request from `source` is taken from: one host has a whole IPv6 network of this size."""
    try:
        address = ip_address(source)
    except ValueError:
        return source  # a Unix socket has no address
    if not isinstance(address, IPv6Address):
        return source
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False))


def bucket_of_name(account_id: str, name: str) -> str:
    """Whose bucket failed validations of `name` are taken from: a wildcard is proved at its base name."""
    return f"{account_id}:{name.removeprefix('*.')}"
