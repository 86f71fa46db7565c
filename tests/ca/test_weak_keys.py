"""Keys that are really weak, made here the way the flawed software made them."""

import math
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from ca import weak_keys
from ca.keys import KeyAlgorithm
from ca.weak_keys import check_key
from tests.ca.factories import key

CHANCE = random.Random(20261125)


def is_prime(number: int) -> bool:
    """Miller-Rabin with fixed bases: enough for numbers that nobody chose to deceive it."""
    if any(number % small == 0 for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13):
        value = pow(base, odd, number)
        if value in (1, number - 1):
            continue
        for _ in range(twos - 1):
            value = value * value % number
            if value == number - 1:
                break
        else:
            return False
    return True


def next_prime(number: int) -> int:
    number |= 1
    while not is_prime(number):
        number += 2
    return number


def prime(bits: int) -> int:
    """A prime whose two top bits are set, so that two of them make a modulus of twice as many bits."""
    return next_prime(CHANCE.getrandbits(bits - 2) | 3 << (bits - 2))


def rsa_key(modulus: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


P, Q = prime(1024), prime(1024)


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_good_keys(algorithm: KeyAlgorithm) -> None:
    assert check_key(key(algorithm, "good").public_key) == []


@pytest.mark.parametrize("exponent", [3, 17, 65537, 2**64 - 1])
def test_good_exponents(exponent: int) -> None:
    assert check_key(rsa_key(P * Q, exponent)) == []


class AnyNumbers(rsa.RSAPublicKey):
    """cryptography does not load all of the numbers below; a token's driver might."""

    def __init__(self, modulus: int, exponent: int) -> None:
        self.numbers = rsa.RSAPublicNumbers(exponent, modulus)

    @property
    def key_size(self) -> int:
        return self.numbers.n.bit_length()

    def public_numbers(self) -> rsa.RSAPublicNumbers:
        return self.numbers

    encrypt = public_bytes = verify = recover_data_from_signature = __copy__ = __deepcopy__ = None  # type: ignore[assignment]
    __eq__ = object.__eq__
    __hash__ = object.__hash__


@pytest.mark.parametrize(
    ("exponent", "words"),
    [(65536, "even"), (2, "even"), (0, "even"), (1, "is 1"), (2**64 + 1, "more than 64 bits")],
)
def test_exponents(exponent: int, words: str) -> None:
    reasons = check_key(AnyNumbers(P * Q, exponent))
    assert len(reasons) == 1
    assert words in reasons[0]


@pytest.mark.parametrize(
    ("half", "words"), [(512, "1024 bits"), (1020, "2040 bits"), (1026, "not whole octets")]
)
def test_sizes(half: int, words: str) -> None:
    reasons = check_key(AnyNumbers(prime(half) * prime(half), 65537))
    assert len(reasons) == 1
    assert words in reasons[0]


def test_a_huge_modulus_costs_nothing() -> None:
    assert check_key(AnyNumbers((1 << 200_000) + 1, 65537)) == [
        "the RSA key has 200001 bits; 2048 to 8192 are accepted"
    ]


@pytest.mark.parametrize("factor", [2, 3, 5, 751, 7919, 8191])
def test_small_factors(factor: int) -> None:
    other = next_prime(3 * 2**2046 // (factor * P))
    reasons = check_key(AnyNumbers(factor * P * other, 65537))
    assert len(reasons) == 1
    assert "prime factor below 8192" in reasons[0]


@pytest.mark.parametrize("bits", [1, 10, 400, 500])
def test_close_primes(bits: int) -> None:
    twin = next_prime(P + 2**bits)
    reasons = check_key(rsa_key(P * twin))
    assert len(reasons) == 1
    assert "Fermat" in reasons[0]


def test_a_square_has_the_closest_primes_of_all() -> None:
    assert weak_keys.has_close_primes(P * P)


def test_fermat_finds_what_its_rounds_reach_and_no_more() -> None:
    """Every step moves (p + q) / 2 by one: with small numbers the count can be made by hand."""
    for steps in range(1, 12):
        half, middle = 2 * steps + 200, 10_007
        p, q = middle - half, middle + half
        needed = middle - math.isqrt(p * q)
        assert weak_keys.has_close_primes(p * q, rounds=needed)
        assert not weak_keys.has_close_primes(p * q, rounds=needed - 1) or any(
            math.isqrt(a * a - p * q) ** 2 == a * a - p * q for a in range(math.isqrt(p * q) + 1, middle)
        )


def roca_prime(bits: int, primorial: int) -> int:
    """k*M + (65537**a mod M) with chance in k and a: how the flawed library made its primes."""
    while True:
        residue = pow(65537, CHANCE.getrandbits(250), primorial)
        factor = CHANCE.randrange((3 << (bits - 2)) // primorial + 1, (1 << bits) // primorial)
        candidate = factor * primorial + residue
        if is_prime(candidate):
            return candidate


def test_roca() -> None:
    # For 2048-bit keys the library used the first 126 primes, up to 701.
    primorial = math.prod(weak_keys._primes_below(702))
    modulus = roca_prime(1024, primorial) * roca_prime(1024, primorial)
    reasons = (
        check_key(rsa_key(modulus)) if modulus.bit_length() == 2048 else check_key(AnyNumbers(modulus, 65537))
    )
    assert any("ROCA" in reason for reason in reasons)


def test_roca_with_one_flawed_prime_is_not_roca() -> None:
    primorial = math.prod(weak_keys._primes_below(702))
    assert not weak_keys.has_roca_structure(roca_prime(1024, primorial) * Q)


def test_roca_hardly_ever_accuses_an_honest_key() -> None:
    chance = math.prod(len(residues) / (p - 1) for p, residues in weak_keys._ROCA_RESIDUES)
    assert chance < 1e-8


def test_the_share_of_keys_that_small_factors_find() -> None:
    """The figures that chose SMALL_PRIME_LIMIT."""
    left = [math.prod(1 - 1 / p for p in weak_keys._primes_below(limit)[1:]) for limit in (1 << 13, 1 << 16)]
    assert [round(100 * share, 1) for share in left] == [12.4, 10.1]


def test_ed25519_keys_of_small_order() -> None:
    encodings = weak_keys._small_order_encodings()
    assert len(encodings) == 14
    for encoded in encodings:
        weak = ed25519.Ed25519PublicKey.from_public_bytes(encoded)
        assert "small order" in check_key(weak)[0]


def test_anybody_signs_with_an_ed25519_key_of_small_order() -> None:
    """Why they are refused: with A the neutral point, R = [S]B fits every message; S = 0 gives R = A."""
    neutral = (1).to_bytes(32, "little")
    ed25519.Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), b"whatever this says")


@pytest.mark.parametrize(
    "public_key",
    [
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ec.generate_private_key(ec.SECP224R1()).public_key(),
        dsa.generate_private_key(1024).public_key(),
        object(),
    ],
)
def test_kinds_that_are_not_supported(public_key: object) -> None:
    assert "not supported" in check_key(public_key)[0]
