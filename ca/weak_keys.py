"""Public keys that somebody other than their owner can break, found by arithmetic on the public half alone.

RSA: a modulus with a small factor; primes so close together that Fermat's method finds them; the structure that
Infineon's library left in its primes (ROCA, CVE-2017-15361); an exponent that makes the key useless or odd; a size
out of bounds. Curves: cryptography refuses points off their curve when it loads them; what is left is an Ed25519 key of
small order, whose signatures anybody can make. All of it together is cheaper than one RSA signature.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from ca.keys.algorithms import KeyAlgorithm, describe

RSA_MIN_BITS: Final = 2048
RSA_MAX_BITS: Final = 8192
MAX_EXPONENT_BITS: Final = 64

FERMAT_ROUNDS: Final = 100

SMALL_PRIME_LIMIT: Final = 1 << 13
"""Of the odd numbers that a broken generator might hand out, 12.4 % have no prime factor below this; looking up to
2**16 would leave 10.1 % at seven times the price (Mertens' third theorem)."""


def check_key(public_key: object) -> list[str]:
    """Why the key is weak, each reason in words; empty when nothing is known against it. Never raises."""
    try:
        algorithm = describe(public_key).algorithm
    except ValueError as unsupported:
        return [str(unsupported)]
    if algorithm is KeyAlgorithm.RSA and isinstance(public_key, rsa.RSAPublicKey):
        numbers = public_key.public_numbers()
        return list(_rsa_faults(numbers.n, numbers.e))
    if (
        algorithm is KeyAlgorithm.ED25519
        and isinstance(public_key, ed25519.Ed25519PublicKey)
        and _has_small_order(public_key.public_bytes_raw())
    ):
        return ["the Ed25519 key has small order: anybody can sign with it"]
    return []


def _rsa_faults(modulus: int, exponent: int) -> Iterator[str]:
    bits = modulus.bit_length()
    if not RSA_MIN_BITS <= bits <= RSA_MAX_BITS:
        yield f"the RSA key has {bits} bits; {RSA_MIN_BITS} to {RSA_MAX_BITS} are accepted"
    elif bits % 8:
        yield f"the RSA key has {bits} bits, which are not whole octets"
    if exponent % 2 == 0:
        yield "the RSA exponent is even: that is no RSA key"
    elif exponent < 3:
        yield "the RSA exponent is 1: nothing would be encrypted or signed"
    elif exponent.bit_length() > MAX_EXPONENT_BITS:
        yield f"the RSA exponent has more than {MAX_EXPONENT_BITS} bits"
    if bits > RSA_MAX_BITS:
        return  # the arithmetic below is bounded by the size
    if modulus % 2 == 0 or math.gcd(modulus, _small_primes_product()) != 1:
        yield f"the RSA modulus has a prime factor below {SMALL_PRIME_LIMIT}"
    elif has_close_primes(modulus):
        yield "the two primes of the RSA modulus are so close together that it can be factored at once (Fermat)"
    if has_roca_structure(modulus):
        yield "the RSA modulus was made by a library whose keys can be factored (ROCA, CVE-2017-15361)"


# --- close primes ---

# Residues that squares have. Together they let 1 candidate in 70 through to the exact root.
_SQUARES_256: Final = frozenset(root * root % 256 for root in range(256))
_ODD: Final = 63 * 65
_SQUARES_ODD: Final = frozenset(root * root % _ODD for root in range(_ODD))


def has_close_primes(modulus: int, rounds: int = FERMAT_ROUNDS) -> bool:
    """Whether Fermat's method factors the odd `modulus` within `rounds` steps.

    It looks for a with a*a - n a square, from the root of n upwards. (a+1)**2 - n is (a*a - n) + 2a + 1, so a step
    costs one addition of long numbers, and most are decided by their residues.
    """
    root = math.isqrt(modulus)
    if root * root == modulus:
        return True
    root += 1
    rest = root * root - modulus
    step = 2 * root + 1
    for _ in range(rounds):
        if rest & 0xFF in _SQUARES_256 and rest % _ODD in _SQUARES_ODD and math.isqrt(rest) ** 2 == rest:
            return True
        rest += step
        step += 2
    return False


# --- small factors ---


@lru_cache(maxsize=1)
def _small_primes_product() -> int:
    return math.prod(_primes_below(SMALL_PRIME_LIMIT)[1:])


def _primes_below(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\x00\x00"
    for number in range(2, math.isqrt(limit) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(limit) if sieve[number]]


# --- ROCA ---
#
# The library made every prime as k*M + (65537**a mod M), M being a product of the first primes (Nemec et al., "The
# Return of Coppersmith's Attack", 2017, section 2). So the modulus, being such a prime times such a prime, is a power
# of 65537 modulo M, and modulo every prime that divides M. The smallest M, of 512-bit keys, is the product of the
# primes up to 167 and divides all the others. For an honest modulus each prime agrees by chance with
# the share of residues that 65537 generates; all of them together do so once in some 10**8 keys (a test computes it).

_ROCA_PRIMES: Final = tuple(prime for prime in _primes_below(168) if prime > 2)
_ROCA_M: Final = math.prod(_ROCA_PRIMES)


def _powers_of_65537(prime: int) -> frozenset[int]:
    powers, value = set(), 1
    while value not in powers:
        powers.add(value)
        value = value * 65537 % prime
    return frozenset(powers)


_ROCA_RESIDUES: Final = sorted(
    (
        (prime, residues)
        for prime in _ROCA_PRIMES
        if len(residues := _powers_of_65537(prime)) < prime - 1  # the others say nothing
    ),
    key=lambda pair: len(pair[1]) / (pair[0] - 1),  # what tells most comes first
)


def has_roca_structure(modulus: int) -> bool:
    """Whether the modulus is a power of 65537 modulo every prime that Infineon's generator used."""
    rest = modulus % _ROCA_M
    return all(rest % prime in residues for prime, residues in _ROCA_RESIDUES)


# --- Ed25519 ---


@lru_cache(maxsize=1)
def _small_order_encodings() -> frozenset[bytes]:
    """All encodings of the eight points whose order divides 8, non-canonical ones included (RFC 8032 5.1.3).

    On the curve -x^2 + y^2 = 1 + d x^2 y^2 these have y = 1, -1, 0, and the four roots y of order-8 points, which
    satisfy d y^4 + 2 y^2 - 1 = 0 (doubling such a point must give one with y = 0).
    """
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    ordinates = {1, p - 1, 0}
    # d y^4 + 2 y^2 - 1 = 0: y^2 = (-1 +- sqrt(1 + d)) / d
    for discriminant_root in _square_roots(1 + d, p):
        for y in _square_roots((discriminant_root - 1) * pow(d, -1, p), p):
            ordinates.add(y)
    encodings = {y + add for y in ordinates for add in (0, p) if y + add < 2**255}
    return frozenset((y | sign << 255).to_bytes(32, "little") for y in encodings for sign in (0, 1))


def _square_roots(value: int, p: int) -> list[int]:
    """The square roots of `value` modulo a prime p = 5 mod 8."""
    value %= p
    root = pow(value, (p + 3) // 8, p)
    for candidate in (root, root * pow(2, (p - 1) // 4, p) % p):
        if candidate * candidate % p == value:
            return [candidate, p - candidate]
    return []


def _has_small_order(encoded: bytes) -> bool:
    return encoded in _small_order_encodings()
