"""A common name repeats one of the alternative names, whatever its case: nothing is vouched for that was not judged."""

from collections.abc import Iterator
from functools import lru_cache

from ca import asn1
from ca.certificate import Issuer
from ca.distinguished_names import SubjectRefused, read_name
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Iterator[str]:
    if tbs.subject == b"\x30\x00":
        return
    common_name = _common_name(tbs.subject)
    if common_name is not None and common_name.lower() not in {name.value.lower() for name in tbs.names}:
        yield "the common name is none of the alternative names"


@lru_cache(maxsize=256)
def _common_name(subject: bytes) -> str | None:
    try:
        return read_name(subject, asn1.only(subject, asn1.SEQUENCE))[1]
    except (SubjectRefused, asn1.Malformed):  # rfc5280/subject objects to it
        return None
