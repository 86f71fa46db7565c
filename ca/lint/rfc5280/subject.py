"""4.1.2.6, appendix A: a subject is a distinguished name whose attributes keep to their character sets and lengths."""

from collections.abc import Iterator
from functools import lru_cache

from ca import asn1
from ca.certificate import Issuer
from ca.distinguished_names import SubjectRefused, read_name
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Iterator[str]:
    if tbs.subject != b"\x30\x00":
        yield from _faults(tbs.subject)


@lru_cache(maxsize=256)
def _faults(subject: bytes) -> tuple[str, ...]:
    try:
        read_name(subject, asn1.only(subject, asn1.SEQUENCE))
    except (SubjectRefused, asn1.Malformed) as fault:
        return (str(fault),)
    return ()
