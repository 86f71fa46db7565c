"""4.1.2.6, 4.2.1.6: a certificate names its subject, and every alternative name is well formed."""

from collections.abc import Sequence
from typing import Final

from ca import oids
from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned

_IP: Final = 0x87


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    faults = []
    names = tbs.alternative_names
    if not names:
        if oids.SUBJECT_ALT_NAME in tbs.extensions:
            faults.append("the subjectAltName is empty")
        elif tbs.subject == b"\x30\x00":
            faults.append("there is neither a subject nor a subjectAltName")
    for tag, octets, found in names:
        # The octets are exactly those of the canonical identifier they stand for. Of an IP address there is one form.
        if found is None or (tag != _IP and found.value.encode("ascii") != octets):
            faults.append(f"{octets[:80].decode('latin-1')!a} is not a well-formed name of its kind")
    if len(set(names)) != len(names):
        faults.append("a name is there twice")
    return faults
