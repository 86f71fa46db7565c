"""4.1.2.6, 4.2.1.6: a certificate names its subject, and every alternative name is well formed."""

from collections.abc import Iterator

from ca import oids
from ca.certificate import Issuer
from ca.lint.tbs import GeneralName, ToBeSigned, identifier
from ca.names import IdentifierType


def check(tbs: ToBeSigned, _issuer: Issuer) -> Iterator[str]:
    names = tbs.alternative_names
    if not names:
        if oids.SUBJECT_ALT_NAME in tbs.extensions:
            yield "the subjectAltName is empty"
        elif tbs.subject == b"\x30\x00":
            yield "there is neither a subject nor a subjectAltName"
    for name in names:
        if not _is_canonical(name):
            yield f"{name.octets[:80].decode('latin-1')!a} is not a well-formed name of its kind"
    if len(set(names)) != len(names):
        yield "a name is there twice"


def _is_canonical(name: GeneralName) -> bool:
    """Whether the octets are exactly those of the canonical identifier they stand for."""
    found = identifier(name)
    if found is None:
        return False
    return found.type is IdentifierType.IP or found.value.encode("ascii") == name.octets
