"""What this authority demands of itself beyond the RFCs."""

from typing import Final

from ca.lint.finding import Check
from ca.lint.house import (
    common_name,
    known_extensions,
    public_key,
    purposes,
    serial_entropy,
    subscriber,
    within_issuer,
)

RULES: Final[tuple[tuple[str, Check], ...]] = (
    ("house/serial_entropy", serial_entropy.check),
    ("house/within_issuer", within_issuer.check),
    ("house/subscriber", subscriber.check),
    ("house/known_extensions", known_extensions.check),
    ("house/common_name", common_name.check),
    ("house/purposes", purposes.check),
    ("house/public_key", public_key.check),
)
