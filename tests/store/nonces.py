"""Nonces as a ledger sees them."""

import os
from dataclasses import dataclass

from store.clock import now

LIFETIME = 3_600_000


@dataclass(frozen=True, slots=True)
class SpentNonce:
    """A nonce by its identity."""

    identity: bytes
    lifetime: int = LIFETIME

    @property
    def minted_at(self) -> int:
        """Milliseconds since the epoch."""
        return int.from_bytes(self.identity[:6], "big")

    @property
    def expires_at(self) -> int:
        """Milliseconds since the epoch."""
        return self.minted_at + self.lifetime


def mint(at: int | None = None, lifetime: int = LIFETIME) -> SpentNonce:
    """A fresh nonce, of this very moment unless `at` is given."""
    return SpentNonce((now() if at is None else at).to_bytes(6, "big") + os.urandom(10), lifetime)
