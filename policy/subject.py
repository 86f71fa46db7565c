"""The subject of a certificate: built field by field from the profile, never copied whole from a request."""

from functools import lru_cache
from typing import Final

from cryptography import x509

from ca import der, oids
from ca.csr import CertificateRequest
from ca.names import Identifier, IdentifierType, NameRefused, parse_identifier
from policy.profile_subject import (
    COMMON_NAME_MAX,
    SUBJECT_FIELDS,
    CommonName,
    SubjectField,
    SubjectRules,
    SubjectText,
    check_subject_text,
)


class SubjectNotAllowed(ValueError):
    """The request's subject cannot be used as the profile says; `problems` has a sentence for each thing wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems: Final = tuple(problems)


_FIT_FOR_A_COMMON_NAME: Final = (IdentifierType.DNS, IdentifierType.EMAIL)
_MOST_VALUES: Final = 8
"""Of one field, such as several organizational units."""


def subject_of(rules: SubjectRules, csr: CertificateRequest, identifiers: tuple[Identifier, ...]) -> bytes:
    """The DER Name: the fields in the order of SubjectField, then the CN. Raises SubjectNotAllowed.

    Fields of the request that the profile neither takes nor fixes are left out in silence, as RFC 8555 7.4
    lets a CA do: clients fill in C, ST and O from habit.
    """
    problems: list[str] = []
    body = b"" if rules.plain else b"".join(_fields(rules, csr, problems))
    name = _common_name(rules, csr, identifiers, problems)
    if problems:
        raise SubjectNotAllowed(problems)
    if name is not None:
        body += _cn(name)
    return der.sequence(body)


def _fields(rules: SubjectRules, csr: CertificateRequest, problems: list[str]) -> list[bytes]:
    fixed = dict(rules.fixed.items())
    encoded = []
    for field in SubjectField:
        if field in fixed:
            encoded.append(_rdn(field, fixed[field]))
        elif field in rules.from_csr:
            attributes = csr.subject.get_attributes_for_oid(SUBJECT_FIELDS[field][0])
            if len(attributes) > _MOST_VALUES:
                problems.append(f"subject of the CSR: {field} is given more than {_MOST_VALUES} times")
                continue
            for attribute in attributes:
                try:
                    encoded.append(_rdn(field, check_subject_text(field, attribute.value)))
                except SubjectText as error:
                    problems.append(f"subject of the CSR: {error}")
    return encoded


def _common_name(
    rules: SubjectRules, csr: CertificateRequest, identifiers: tuple[Identifier, ...], problems: list[str]
) -> str | None:
    if rules.common_name is CommonName.OMIT:
        return None
    if rules.common_name is CommonName.FIRST_NAME:
        # No address: certbot takes every common name for a DNS name, and gives up on a certificate that it has got.
        for type_, value in identifiers:
            if type_ in _FIT_FOR_A_COMMON_NAME and len(value) <= COMMON_NAME_MAX:
                return value
        return None
    if csr.common_name is None:
        return None
    for name in identifiers:
        if name.value.casefold() == csr.common_name.casefold() or _same_address(name.value, csr.common_name):
            return name.value if len(name.value) <= COMMON_NAME_MAX else None
    problems.append("the common name of the CSR is not one of the names that were authorized")
    return None


def _same_address(address: str, text: str) -> bool:
    try:
        return parse_identifier("ip", text).value == address
    except NameRefused:
        return False


@lru_cache(maxsize=1024)
def _rdn(field: SubjectField, text: str) -> bytes:
    attribute = x509.NameAttribute(SUBJECT_FIELDS[field][0], text)
    name = x509.Name([attribute]).public_bytes()
    header = 2 if name[1] < 0x80 else 2 + (name[1] & 0x7F)
    return name[header:]


_COMMON_NAME: Final = oids.encoded(oids.COMMON_NAME)


@lru_cache(maxsize=1024)  # each is judged twice
def _cn(name: str) -> bytes:
    """One RelativeDistinguishedName, written out because every certificate pays for it."""
    return der.tlv(0x31, der.sequence(_COMMON_NAME, der.tlv(0x0C, name.encode())))
