"""Replay-Nonces without a row at issue (RFC 8555 section 6.5).

A nonce carries its own proof: 33 octets, 44 characters of base64url.

    octet  0       version, 2
           1..6    when it was minted: milliseconds since the epoch, big-endian
           7..16   random
          17..32   keyed BLAKE2b over all before (RFC 7693), 16 octets long

BLAKE2 with a key is a MAC by itself, and costs an eighth of an HMAC by OpenSSL 3. Nobody without the key can make a
nonce or guess the next one: the last 16 octets see to that alone. The random ones keep nonces of one millisecond
apart, on every process and after every restart; should two ever be alike, the second is refused as used, never
accepted twice.

Any process that holds the secret tells a nonce of ours from a forgery, also after a restart. That it has not been
used before is the ledger's to say, and only for as long as the nonce lives.
"""

import hmac
import os
from datetime import timedelta
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from servers.acme import base64url
from servers.acme.refusals import BadNonce
from store.clock import Millis

CLOCK_SKEW: Final = timedelta(seconds=30)  # how far the clocks of two nodes may be apart
MIN_SECRET: Final = 32  # octets
_VERSION: Final = b"\x02"
_RANDOM: Final = 10
_DRAWN_AT_ONCE: Final = 64
_TAG: Final = 16
_CLAIMS: Final = 1 + 6 + _RANDOM
_PURPOSE: Final = b"certctl acme replay-nonce 2"


class NonceClaims(NamedTuple):
    """What a genuine nonce says.

    Attributes:
        identity: 16 octets, unique to the nonce, that sort by the time of minting: that time, and the random ones.
        minted_at: milliseconds since the epoch, on the minting node's clock.
        expires_at: milliseconds since the epoch; from here on `check` refuses it, so a ledger may forget it.
    """

    identity: bytes
    minted_at: int
    expires_at: int


class NonceMint:
    """Makes nonces and knows its own."""

    def __init__(self, secret: bytes, lifetime: timedelta) -> None:
        """`secret` is the server's master secret; the key used here is derived from it and good for nothing else."""
        if len(secret) < MIN_SECRET:
            raise ValueError(f"the secret has at least {MIN_SECRET} octets")
        if lifetime <= timedelta(0):
            raise ValueError("a nonce has to live for some time")
        # It has the key in it already; each nonce goes into a copy.
        self._keyed = blake2b(key=hmac.digest(secret, _PURPOSE, "sha256"), digest_size=_TAG)
        self._lifetime = lifetime // timedelta(milliseconds=1)
        self._skew = CLOCK_SKEW // timedelta(milliseconds=1)
        self._drawn: list[bytes] = []

    def mint(self, now: Millis) -> str:
        """Return a nonce that is good until `now` plus the lifetime."""
        if not self._drawn:
            # One call for many nonces: the system is asked at the price of a MAC.
            drawn = os.urandom(_RANDOM * _DRAWN_AT_ONCE)
            self._drawn = [drawn[i : i + _RANDOM] for i in range(0, len(drawn), _RANDOM)]
        claims = _VERSION + now.to_bytes(6, "big") + self._drawn.pop()
        return base64url.encode(claims + self._tag(claims))

    def check(self, nonce: str, now: Millis) -> NonceClaims:
        """Return what a nonce of ours says; whether it was used before is not looked at.

        Raises:
            BadNonce: malformed, forged, expired, or minted in the future by more than CLOCK_SKEW.
        """
        try:
            octets = base64url.decode(nonce)
        except base64url.NotBase64url:
            raise BadNonce("the nonce is malformed") from None
        if len(octets) != _CLAIMS + _TAG or not octets.startswith(_VERSION):
            raise BadNonce("the nonce is not one of this server")
        if not hmac.compare_digest(self._tag(octets[:_CLAIMS]), octets[_CLAIMS:]):
            raise BadNonce("the nonce is not one of this server")
        minted_at = int.from_bytes(octets[1:7], "big")
        expires_at = minted_at + self._lifetime
        if now >= expires_at:
            raise BadNonce("the nonce has expired")
        if minted_at > now + self._skew:
            raise BadNonce("the nonce comes from the future; the clocks of the servers disagree")
        return NonceClaims(octets[1:_CLAIMS], minted_at, expires_at)

    def _tag(self, claims: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(claims)
        return mac.digest()


class NonceLedger(Protocol):
    """Remembers which nonces were used."""

    async def spend(self, claims: NonceClaims) -> bool:
        """Return True the first time, False ever after until `claims.expires_at`."""


class Nonces:
    """A mint and a ledger: what a handler needs."""

    def __init__(self, mint: NonceMint, ledger: NonceLedger) -> None:
        self._mint = mint
        self._ledger = ledger

    def fresh(self, now: Millis) -> str:
        """Return the value of a Replay-Nonce header."""
        return self._mint.mint(now)

    async def spend(self, nonce: str, now: Millis) -> None:
        """Use up a nonce; raise BadNonce unless it is ours, in time and used for the first time."""
        if not await self._ledger.spend(self._mint.check(nonce, now)):
            raise BadNonce("the nonce was used before")
