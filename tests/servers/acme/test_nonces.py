"""Replay-Nonces (RFC 8555 section 6.5)."""

import hashlib
import hmac
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.acme import base64url
from servers.acme.nonces import CLOCK_SKEW, NonceClaims, NonceMint, Nonces
from servers.acme.refusals import BadNonce
from store.clock import Millis, after

SECRET = bytes(range(32))
NOW = Millis(1_795_608_000_000)
LIFETIME = timedelta(hours=1)


class Ledger:
    """The rule of a ledger in its simplest form; the real one is tested with the store."""

    def __init__(self) -> None:
        self.spent: set[bytes] = set()

    async def spend(self, claims: NonceClaims) -> bool:
        before = len(self.spent)
        self.spent.add(claims.identity)
        return len(self.spent) > before


@pytest.fixture
def mint() -> NonceMint:
    return NonceMint(SECRET, LIFETIME)


def test_what_is_minted_is_good_and_says_when(mint: NonceMint) -> None:
    claims = mint.check(mint.mint(NOW), NOW)
    assert claims.minted_at == NOW
    assert claims.expires_at == claims.minted_at + 3_600_000
    assert claims.identity[:6] == NOW.to_bytes(6, "big")
    assert len(claims.identity) == 16


def test_it_is_base64url_without_padding(mint: NonceMint) -> None:
    nonce = mint.mint(NOW)
    assert len(nonce) == 44
    assert base64url.encode(base64url.decode(nonce)) == nonce


def test_no_two_are_alike(mint: NonceMint) -> None:
    other = NonceMint(SECRET, LIFETIME)
    nonces = [one.mint(NOW) for _ in range(1000) for one in (mint, other)]
    assert len({mint.check(nonce, NOW).identity for nonce in nonces}) == 2000


def test_its_proof_is_keyed_blake2(mint: NonceMint) -> None:
    octets = base64url.decode(mint.mint(NOW))
    key = hmac.digest(SECRET, b"certctl acme replay-nonce 2", "sha256")
    assert octets[17:] == hashlib.blake2b(octets[:17], key=key, digest_size=16).digest()


def test_another_process_with_the_secret_knows_it(mint: NonceMint) -> None:
    NonceMint(SECRET, LIFETIME).check(mint.mint(NOW), NOW)


def test_another_secret_does_not(mint: NonceMint) -> None:
    with pytest.raises(BadNonce, match="not one of this server"):
        NonceMint(SECRET[::-1], LIFETIME).check(mint.mint(NOW), NOW)


def test_it_lives_as_long_as_said(mint: NonceMint) -> None:
    nonce = mint.mint(NOW)
    end = after(NOW, LIFETIME)
    mint.check(nonce, Millis(end - 1))
    with pytest.raises(BadNonce, match="expired"):
        mint.check(nonce, end)


def test_clocks_may_differ_a_little(mint: NonceMint) -> None:
    nonce = mint.mint(after(NOW, CLOCK_SKEW))
    mint.check(nonce, NOW)
    with pytest.raises(BadNonce, match="future"):
        mint.check(nonce, Millis(NOW - 1))


@pytest.mark.parametrize(
    "nonce", ["", "A", "AA", "AAAA", "A" * 44, "AQ" + "A" * 42, "=" * 44, "é" * 44, "A" * 4400]
)
def test_what_was_never_ours(mint: NonceMint, nonce: str) -> None:
    with pytest.raises(BadNonce):
        mint.check(nonce, NOW)


def test_every_bit_counts(mint: NonceMint) -> None:
    octets = bytearray(base64url.decode(mint.mint(NOW)))
    for bit in range(8 * len(octets)):
        octets[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadNonce):
            mint.check(base64url.encode(bytes(octets)), NOW)
        octets[bit // 8] ^= 1 << bit % 8


@given(st.text() | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", max_size=60))
def test_any_text_is_refused_and_nothing_else_escapes(text: str) -> None:
    with pytest.raises(BadNonce):
        NonceMint(SECRET, LIFETIME).check(text, NOW)


async def test_once_only(mint: NonceMint) -> None:
    nonces = Nonces(mint, Ledger())
    nonce = nonces.fresh(NOW)
    await nonces.spend(nonce, NOW)
    with pytest.raises(BadNonce, match="before"):
        await nonces.spend(nonce, NOW)
    await nonces.spend(nonces.fresh(NOW), NOW)


async def test_a_refused_nonce_does_not_reach_the_ledger(mint: NonceMint) -> None:
    ledger = Ledger()
    with pytest.raises(BadNonce):
        await Nonces(mint, ledger).spend("A" * 44, NOW)
    assert not ledger.spent


def test_identities_sort_by_time(mint: NonceMint) -> None:
    early, late = (mint.check(mint.mint(at), at).identity for at in (NOW, Millis(NOW + 1)))
    assert early < late


@pytest.mark.parametrize(
    ("secret", "lifetime"), [(b"", LIFETIME), (bytes(31), LIFETIME), (SECRET, timedelta(0))]
)
def test_bad_settings_stop_the_start(secret: bytes, lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match=r"secret|live"):
        NonceMint(secret, lifetime)


def test_the_secret_shows_nowhere(mint: NonceMint) -> None:
    assert SECRET.hex() not in repr(mint) + repr(vars(mint))
