"""What RFC 5280 (and the RFCs that define the key algorithms in it) demand."""

from typing import Final

from ca.lint.finding import Check
from ca.lint.rfc5280 import (
    authority_key_identifier,
    criticality,
    extended_key_usage,
    issuer_fields,
    key_usage,
    name_constraints,
    serial_number,
    subject,
    subject_alternative_name,
    subject_key_identifier,
    unique_extensions,
    validity,
)

RULES: Final[tuple[tuple[str, Check], ...]] = (
    ("rfc5280/serial_number", serial_number.check),
    ("rfc5280/issuer_fields", issuer_fields.check),
    ("rfc5280/validity", validity.check),
    ("rfc5280/subject", subject.check),
    ("rfc5280/unique_extensions", unique_extensions.check),
    ("rfc5280/criticality", criticality.check),
    ("rfc5280/subject_key_identifier", subject_key_identifier.check),
    ("rfc5280/authority_key_identifier", authority_key_identifier.check),
    ("rfc5280/key_usage", key_usage.check),
    ("rfc5280/extended_key_usage", extended_key_usage.check),
    ("rfc5280/subject_alternative_name", subject_alternative_name.check),
    ("rfc5280/name_constraints", name_constraints.check),
)
