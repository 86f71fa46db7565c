"""4.2.1.2: the subject key identifier is there and derived from the key (RFC 7093 2, method 1)."""

from collections.abc import Iterator
from hashlib import sha256

from ca import oids
from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Iterator[str]:
    extension = tbs.extensions.get(oids.SUBJECT_KEY_IDENTIFIER)
    if extension is None:
        yield "there is no subject key identifier"
    elif extension.value != b"\x04\x14" + sha256(tbs.public_key_bits).digest()[:20]:
        yield "the subject key identifier is not that of the key"
