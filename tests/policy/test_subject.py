"""The subject is built from the profile: what is taken, what is fixed, where the CN comes from."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from policy.identifier_rules import in_order
from policy.profile_subject import SUBJECT_FIELDS, FixedSubject, SubjectField
from policy.subject import SubjectNotAllowed, subject_of
from tests.policy.examples import csr, names, profile

VALUES = {
    field: "DE" if field is SubjectField.COUNTRY else f"a {field.value.replace('_', ' ')}"
    for field in SubjectField
}
LONG = ".".join(["a" * 60, "a.example"])


def subject(
    section: dict[str, Any],
    *wanted: str,
    common_name: str | None = None,
    asked: Sequence[tuple[x509.ObjectIdentifier, str]] = (),
) -> bytes:
    """The DER subject for a request with these attributes, set past the parser, which has bounds of its own."""
    identifiers = names(*wanted)
    name = x509.Name([x509.NameAttribute(oid, text) for oid, text in asked])
    request = replace(csr(identifiers, common_name=common_name), subject=name)
    return subject_of(profile(subject=section).subject, request, in_order(identifiers))


def expected(*attributes: tuple[x509.ObjectIdentifier, str]) -> bytes:
    """The same Name by cryptography's builder, which judges our bytes."""
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in attributes]).public_bytes()


def test_a_profile_without_subject_rules_gives_an_empty_subject() -> None:
    asked = [(NameOID.ORGANIZATION_NAME, "Smuggled"), (NameOID.COUNTRY_NAME, "DE")]
    assert subject({}, "a.example", asked=asked, common_name="a.example") == expected()


@pytest.mark.parametrize("field", SubjectField)
def test_a_field_is_taken_from_the_csr_only_if_the_profile_takes_it(field: SubjectField) -> None:
    asked = [(oid, VALUES[each]) for each, (oid, _) in SUBJECT_FIELDS.items()]
    taken = subject({"from_csr": [field.value]}, "a.example", asked=asked)
    assert taken == expected((SUBJECT_FIELDS[field][0], VALUES[field]))


@pytest.mark.parametrize("field", SubjectField)
def test_a_fixed_field_stands_whatever_the_csr_says(field: SubjectField) -> None:
    asked = [(SUBJECT_FIELDS[field][0], "FR" if field is SubjectField.COUNTRY else "Other")]
    fixed = {"fixed": {field.value: VALUES[field]}}
    right = expected((SUBJECT_FIELDS[field][0], VALUES[field]))
    assert subject(fixed, "a.example", asked=asked) == subject(fixed, "a.example") == right


def test_every_field_that_can_be_taken_can_be_fixed() -> None:
    assert list(FixedSubject.model_fields) == [field.value for field in SubjectField] == list(SUBJECT_FIELDS)


def test_fields_come_in_one_order_then_the_common_name() -> None:
    asked = [
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Two"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "One"),
        (NameOID.LOCALITY_NAME, "Münster"),
    ]
    section = {
        "from_csr": ["organizational_unit", "locality", "title"],
        "fixed": {"organization": "A" * 64, "country": "DE"},
        "common_name": "first-name",
    }
    assert subject(section, "a.example", asked=asked) == expected(
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.LOCALITY_NAME, "Münster"),
        (NameOID.ORGANIZATION_NAME, "A" * 64),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Two"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "One"),
        (NameOID.COMMON_NAME, "a.example"),
    )


def test_a_long_value_has_a_long_encoding() -> None:
    assert subject({"fixed": {"state": "ü" * 128}}, "a.example") == expected(
        (NameOID.STATE_OR_PROVINCE_NAME, "ü" * 128)
    )


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("organization", "A" * 65, "organization is longer than 64 characters"),
        ("postal_code", "1" * 41, "postal_code is longer than 40 characters"),
        ("organization", "  ", "organization is empty"),
        ("country", "de", "country is two capital letters"),
    ],
)
def test_a_taken_value_that_does_not_fit_is_refused(field: str, text: str, words: str) -> None:
    oid = SUBJECT_FIELDS[SubjectField(field)][0]
    with pytest.raises(SubjectNotAllowed, match=words) as caught:
        subject({"from_csr": [field]}, "a.example", asked=[(oid, text)])
    assert len(caught.value.problems) == 1
    assert subject({}, "a.example", asked=[(oid, text)]) == expected()


def test_a_field_is_not_repeated_without_end() -> None:
    asked = [(NameOID.ORGANIZATIONAL_UNIT_NAME, f"unit {number}") for number in range(9)]
    section = {"from_csr": ["organizational_unit"]}
    assert subject(section, "a.example", asked=asked[:8])
    with pytest.raises(SubjectNotAllowed, match="more than 8 times"):
        subject(section, "a.example", asked=asked)


@pytest.mark.parametrize(
    ("rule", "wanted", "asked", "written"),
    [
        ("omit", ["a.example"], "a.example", None),
        ("csr", ["a.example"], None, None),
        ("csr", ["b.a.example", "a.example"], "B.a.example", "b.a.example"),
        ("csr", ["ip:2001:db8::1"], "2001:DB8:0::1", "2001:db8::1"),
        ("first-name", ["b.a.example", "a.example"], None, "a.example"),
        ("first-name", ["b.a.example", "a.example"], "b.a.example", "a.example"),
        ("first-name", ["a.example", "*.a.example"], None, "a.example"),
        ("first-name", ["*.a.example"], None, "*.a.example"),
        ("first-name", ["ip:10.0.0.1"], None, None),
        ("first-name", ["ip:10.0.0.1", "a.example"], None, "a.example"),
        ("first-name", ["email:x@a.example", "uri:urn:x:1"], None, "x@a.example"),
        ("first-name", ["uri:urn:x:1"], None, None),
        ("first-name", [LONG], None, None),
        ("first-name", [LONG, "b.example"], None, "b.example"),
    ],
)
def test_the_common_name_is_an_authorized_name_or_absent(
    rule: str, wanted: list[str], asked: str | None, written: str | None
) -> None:
    der = subject({"common_name": rule}, *wanted, common_name=asked)
    assert der == (expected() if written is None else expected((NameOID.COMMON_NAME, written)))


def test_a_common_name_from_the_csr_that_was_not_authorized_is_refused() -> None:
    with pytest.raises(SubjectNotAllowed, match="is not one of the names"):
        subject({"common_name": "csr"}, "a.example", common_name="Jo from Accounting")
    assert subject({"common_name": "first-name"}, "a.example", common_name="Jo from Accounting") == expected(
        (NameOID.COMMON_NAME, "a.example")
    )
