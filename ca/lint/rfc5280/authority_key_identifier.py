"""4.2.1.1: the authority key identifier is there and equals the subject key identifier of the issuer."""

from collections.abc import Iterator

from ca import der, oids
from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, issuer: Issuer) -> Iterator[str]:
    extension = tbs.extensions.get(oids.AUTHORITY_KEY_IDENTIFIER)
    if extension is None:
        yield "there is no authority key identifier"
    elif extension.value != der.sequence(der.tlv(0x80, issuer.key_identifier)):
        yield "the authority key identifier is not the issuer's subject key identifier"
