"""4.2.1.1: the authority key identifier is there and equals the subject key identifier of the issuer."""

from collections.abc import Sequence
from functools import lru_cache

from ca import der, oids
from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, issuer: Issuer) -> Sequence[str]:
    extension = tbs.extensions.get(oids.AUTHORITY_KEY_IDENTIFIER)
    if extension is None:
        return ["there is no authority key identifier"]
    if extension.value != _expected(issuer.key_identifier):
        return ["the authority key identifier is not the issuer's subject key identifier"]
    return ()


@lru_cache(maxsize=64)
def _expected(key_identifier: bytes) -> bytes:
    return der.sequence(der.tlv(0x80, key_identifier))
