"""4.2.1.2: the subject key identifier is there and derived from the key (RFC 7093 2, method 1)."""

from collections.abc import Sequence
from hashlib import sha256

from ca import oids
from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    extension = tbs.extensions.get(oids.SUBJECT_KEY_IDENTIFIER)
    if extension is None:
        return ["there is no subject key identifier"]
    if extension.value != b"\x04\x14" + sha256(tbs.public_key_bits).digest()[:20]:
        return ["the subject key identifier is not that of the key"]
    return ()
