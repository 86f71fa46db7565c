"""How much one account, address or external account key may ask for."""

from dataclasses import dataclass
from datetime import timedelta

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
