"""Replay-Nonces without a row at issue (RFC 8555 section 6.5).

A nonce carries its own proof: 33 octets, 44 characters of base64url.

    octet  0       version, 1
           1..6    when it was minted: milliseconds since the epoch, big-endian
           7..16   random
          17..32   HMAC-SHA256 over all before, cut to 16 octets

Any process that holds the secret tells a nonce of ours from a forgery, also after a restart. That it has not been
used before is the ledger's to say, and only for as long as the nonce lives.
"""

import hmac
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from servers.acme import base64url
from servers.acme.refusals import BadNonce

CLOCK_SKEW: Final = timedelta(seconds=30)  # how far the clocks of two nodes may be apart
MIN_SECRET: Final = 32  # octets
_VERSION: Final = b"\x01"
_RANDOM: Final = 10
_TAG: Final = 16
_CLAIMS: Final = 1 + 6 + _RANDOM
_PURPOSE: Final = b"certctl acme replay-nonce 1"


@dataclass(frozen=True, slots=True)
class NonceClaims:
    """What a genuine nonce says.

    Attributes:
        minted_at: milliseconds since the epoch, on the minting node's clock.
        expires_at: milliseconds since the epoch; from here on `check` refuses it, so a ledger may forget it.
        random: 10 octets. With `minted_at` they tell this nonce from every other: see `identity`.
    """

    minted_at: int
    expires_at: int
    random: bytes

    @property
    def identity(self) -> bytes:
        """16 octets, unique to the nonce, that sort by the time of minting."""
        return self.minted_at.to_bytes(6, "big") + self.random


class NonceMint:
    """Makes nonces and knows its own."""

    def __init__(self, secret: bytes, lifetime: timedelta) -> None:
        """`secret` is the server's master secret; the key used here is derived from it and good for nothing else."""
        if len(secret) < MIN_SECRET:
            raise ValueError(f"the secret has at least {MIN_SECRET} octets")
        if lifetime <= timedelta(0):
            raise ValueError("a nonce has to live for some time")
        self._key = hmac.digest(secret, _PURPOSE, "sha256")
        self._lifetime = lifetime // timedelta(milliseconds=1)
        self._skew = CLOCK_SKEW // timedelta(milliseconds=1)

    def mint(self, now: datetime) -> str:
        """Return a nonce that is good until `now` plus the lifetime."""
        claims = _VERSION + _milliseconds(now).to_bytes(6, "big") + os.urandom(_RANDOM)
        return base64url.encode(claims + hmac.digest(self._key, claims, "sha256")[:_TAG])

    def check(self, nonce: str, now: datetime) -> NonceClaims:
        """Return what a nonce of ours says; whether it was used before is not looked at.

        Raises:
            BadNonce: malformed, forged, expired, or minted in the future by more than CLOCK_SKEW.
        """
        try:
            octets = base64url.decode(nonce)
        except base64url.NotBase64url:
            raise BadNonce("the nonce is malformed") from None
        if len(octets) != _CLAIMS + _TAG or octets[:1] != _VERSION:
            raise BadNonce("the nonce is not one of this server")
        claims = octets[:_CLAIMS]
        if not hmac.compare_digest(hmac.digest(self._key, claims, "sha256")[:_TAG], octets[_CLAIMS:]):
            raise BadNonce("the nonce is not one of this server")
        minted_at = int.from_bytes(claims[1:7], "big")
        expires_at = minted_at + self._lifetime
        at = _milliseconds(now)
        if at >= expires_at:
            raise BadNonce("the nonce has expired")
        if minted_at > at + self._skew:
            raise BadNonce("the nonce comes from the future; the clocks of the servers disagree")
        return NonceClaims(minted_at, expires_at, claims[7:])


class NonceLedger(Protocol):
    """Remembers which nonces were used."""

    async def spend(self, claims: NonceClaims) -> bool:
        """Return True the first time, False ever after until `claims.expires_at`."""


class Nonces:
    """A mint and a ledger: what a handler needs."""

    def __init__(self, mint: NonceMint, ledger: NonceLedger) -> None:
        self._mint = mint
        self._ledger = ledger

    def fresh(self, now: datetime) -> str:
        """Return the value of a Replay-Nonce header."""
        return self._mint.mint(now)

    async def spend(self, nonce: str, now: datetime) -> None:
        """Use up a nonce; raise BadNonce unless it is ours, in time and used for the first time."""
        if not await self._ledger.spend(self._mint.check(nonce, now)):
            raise BadNonce("the nonce was used before")


def _milliseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return int(moment.timestamp() * 1000)
