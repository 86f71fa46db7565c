"""The subject of a certificate as a profile rules it: fields taken from the request, fields fixed, the CN."""

import re
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final, Self

from cryptography.x509 import NameOID, ObjectIdentifier
from pydantic import model_validator

from policy.profile_sections import Section
from policy.profile_values import Line, Once


class CommonName(StrEnum):
    """Where the subject's CN comes from. It is always one of the certificate's identifiers, or absent."""

    OMIT = "omit"
    CSR = "csr"
    FIRST_NAME = "first-name"


class SubjectField(StrEnum):
    """The fields of a distinguished name that a profile can take or fix, in the order they are written."""

    COUNTRY = "country"
    STATE = "state"
    LOCALITY = "locality"
    STREET = "street"
    POSTAL_CODE = "postal_code"
    ORGANIZATION = "organization"
    ORGANIZATIONAL_UNIT = "organizational_unit"
    TITLE = "title"
    SURNAME = "surname"
    GIVEN_NAME = "given_name"
    SERIAL_NUMBER = "serial_number"


SUBJECT_FIELDS: Final[dict[SubjectField, tuple[ObjectIdentifier, int]]] = {
    SubjectField.COUNTRY: (NameOID.COUNTRY_NAME, 2),
    SubjectField.STATE: (NameOID.STATE_OR_PROVINCE_NAME, 128),
    SubjectField.LOCALITY: (NameOID.LOCALITY_NAME, 128),
    SubjectField.STREET: (NameOID.STREET_ADDRESS, 128),
    SubjectField.POSTAL_CODE: (NameOID.POSTAL_CODE, 40),
    SubjectField.ORGANIZATION: (NameOID.ORGANIZATION_NAME, 64),
    SubjectField.ORGANIZATIONAL_UNIT: (NameOID.ORGANIZATIONAL_UNIT_NAME, 64),
    SubjectField.TITLE: (NameOID.TITLE, 64),
    SubjectField.SURNAME: (NameOID.SURNAME, 128),
    SubjectField.GIVEN_NAME: (NameOID.GIVEN_NAME, 128),
    SubjectField.SERIAL_NUMBER: (NameOID.SERIAL_NUMBER, 64),
}
"""Each field's type and the most characters it may have (RFC 5280 appendix A.1, ours where that is wider)."""

_PRINTABLE_STRING: Final = re.compile(r"[A-Za-z0-9 '()+,./:=?-]+")

COMMON_NAME_MAX: Final = 64
"""RFC 5280 appendix A.1, ub-common-name."""


class SubjectText(ValueError):
    """A value that cannot stand in this field of a subject; the words say why."""


def check_subject_text(field: SubjectField, text: object) -> str:
    """The text itself. Raises SubjectText when it is empty, too long, unprintable or not of the field's form."""
    longest = SUBJECT_FIELDS[field][1]
    if not isinstance(text, str) or not text.strip():
        raise SubjectText(f"{field} is empty or not text")
    if len(text) > longest:
        raise SubjectText(f"{field} is longer than {longest} characters")
    if not text.isprintable() or "\ufffd" in text:
        raise SubjectText(f"{field} holds characters that cannot be printed")
    if field is SubjectField.COUNTRY and not (len(text) == 2 and text.isascii() and text.isupper()):
        raise SubjectText("country is two capital letters (ISO 3166)")
    if field is SubjectField.SERIAL_NUMBER and not _PRINTABLE_STRING.fullmatch(text):
        raise SubjectText("serial_number is letters, digits, spaces and '()+,-./:=?")
    return text


class FixedSubject(Section):
    """Fields that every certificate of the profile carries with this value, whatever the request says."""

    country: Line | None = None
    state: Line | None = None
    locality: Line | None = None
    street: Line | None = None
    postal_code: Line | None = None
    organization: Line | None = None
    organizational_unit: Line | None = None
    title: Line | None = None
    surname: Line | None = None
    given_name: Line | None = None
    serial_number: Line | None = None

    @model_validator(mode="after")
    def _fit_for_a_name(self) -> Self:
        for field, text in self.items():
            check_subject_text(field, text)
        return self

    def items(self) -> tuple[tuple[SubjectField, str], ...]:
        """The fields that are fixed, in the order of SubjectField."""
        values = ((field, getattr(self, field.value)) for field in SubjectField)
        return tuple((field, text) for field, text in values if text is not None)


class SubjectRules(Section):
    """Fields neither taken nor fixed are left out in silence: a request may carry them, a certificate never does."""

    from_csr: Annotated[tuple[SubjectField, ...], *Once] = ()
    fixed: FixedSubject = FixedSubject()
    common_name: CommonName = CommonName.OMIT

    @model_validator(mode="after")
    def _one_source_per_field(self) -> Self:
        both = [field.value for field, _ in self.fixed.items() if field in self.from_csr]
        if both:
            raise ValueError(f"both fixed and taken from the CSR: {', '.join(both)}")
        return self

    @cached_property
    def plain(self) -> bool:
        """Whether the subject has no field except perhaps the CN."""
        return not self.from_csr and not self.fixed.items()
