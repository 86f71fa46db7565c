"""Each way in which an edit of a gated profile loosens it, and each in which it does not."""

from typing import Any, Final

import pytest
from pydantic import create_model

from policy import loosening
from policy.loosening import DIRECTIONS, fields_of, loosens
from policy.profile_sections import ValidityRules
from policy.profiles import Profile
from tests.policy.examples import Section, merged, profile

GATE: Section = {"requires_approval": True}
REASON: Final = "Only our own machines reach this network."

# (what both have, tighter or equal, looser, the field, words of the refusal)
EDITS: list[tuple[Section, Section, Section, str, str]] = [
    ({}, {"name": "web"}, {"name": "other"}, "name", "was web, becomes other"),
    ({}, {"issuer": "issuing"}, {"issuer": "second"}, "issuer", "was issuing, becomes second"),
    (
        {},
        {"key_usage": ["digitalSignature"]},
        {"key_usage": ["digitalSignature", "keyAgreement"]},
        "key_usage",
        "adds",
    ),
    (
        {"extended_key_usage": ["serverAuth", "clientAuth"]},
        {"extended_key_usage": ["clientAuth"]},
        {"extended_key_usage": ["serverAuth", "clientAuth", "codeSigning"]},
        "extended_key_usage",
        "adds codeSigning",
    ),
    ({}, {}, {"extended_key_usage": []}, "extended_key_usage", "no longer limited to any purpose"),
    (
        {"extended_key_usage": []},
        {"extended_key_usage": ["serverAuth"]},
        {"issuer": "second"},
        "issuer",
        "second",
    ),
    ({}, {"must_staple": "always"}, {"must_staple": "never"}, "must_staple", "was allowed, becomes never"),
    ({"must_staple": "always"}, {}, {"must_staple": "allowed"}, "must_staple", "was always, becomes allowed"),
    ({}, {}, {"requires_approval": False}, "requires_approval", "was true, becomes false"),
    (
        {"keys": {"algorithms": ["p256", "p384"]}},
        {"keys": {"algorithms": ["p384"]}},
        {"keys": {"algorithms": ["p256", "p384", "rsa"]}},
        "keys.algorithms",
        "adds rsa",
    ),
    (
        {"keys": {"rsa_min_bits": 3072}},
        {"keys": {"rsa_min_bits": 4096}},
        {"keys": {"rsa_min_bits": 2048}},
        "keys.rsa_min_bits",
        "was 3072, becomes 2048",
    ),
    (
        {},
        {"keys": {"rsa_max_bits": 3072}},
        {"keys": {"rsa_max_bits": 8192}},
        "keys.rsa_max_bits",
        "becomes 8192",
    ),
    (
        {"keys": {"allow_reuse": False}},
        {},
        {"keys": {"allow_reuse": True}},
        "keys.allow_reuse",
        "was false, becomes true",
    ),
    (
        {"validity": {"default": "30d"}},
        {"validity": {"default": "29d"}},
        {"validity": {"default": "31d"}},
        "validity.default",
        "was 30d, becomes 31d",
    ),
    (
        {},
        {"validity": {"max": "90d"}},
        {"validity": {"max": "2161h"}},
        "validity.max",
        "was 90d, becomes 2161h",
    ),
    (
        {},
        {"validity": {"backdate": "0s"}},
        {"validity": {"backdate": "61m"}},
        "validity.backdate",
        "becomes 61m",
    ),
    (
        {"identifiers": {"dns": {"suffixes": None, "any": True}}},
        {"identifiers": {"dns": {"suffixes": ["a.example"], "exact": ["host"], "any": False}}},
        {"identifiers": {"dns": {"wildcards": True}}},
        "identifiers.dns.wildcards",
        "was false, becomes true",
    ),
    (
        {},
        {},
        {"identifiers": {"dns": {"suffixes": None, "any": True}}},
        "identifiers.dns.any",
        "becomes true",
    ),
    (
        {"identifiers": {"dns": {"exact": ["c.example"]}}},
        {"identifiers": {"dns": {"suffixes": ["b.a.example"]}}},
        {"identifiers": {"dns": {"suffixes": ["a.example", "c.example"]}}},
        "identifiers.dns.suffixes",
        "adds c.example and every name below it",
    ),
    (
        {},
        {"identifiers": {"dns": {"suffixes": ["b.a.example", "c.a.example"]}}},
        {"identifiers": {"dns": {"suffixes": ["xa.example"]}}},
        "identifiers.dns.suffixes",
        "adds xa.example",
    ),
    (
        {},
        {"identifiers": {"dns": {"exact": ["b.a.example"]}}},
        {"identifiers": {"dns": {"exact": ["b.a.example", "c.example"]}}},
        "identifiers.dns.exact",
        "adds c.example",
    ),
    (
        {"identifiers": {"ip": {"networks": ["10.0.0.0/9", "10.128.0.0/9"]}}},
        {"identifiers": {"ip": {"networks": ["10.0.0.0/8"]}}},
        {"identifiers": {"ip": {"networks": ["10.0.0.0/8", "::/0"]}}},
        "identifiers.ip.networks",
        "adds ::/0",
    ),
    (
        {"identifiers": {"email": {"domains": ["a.example", "b.example"]}}},
        {"identifiers": {"email": {"domains": ["a.example"], "addresses": ["x@b.example"]}}},
        {"identifiers": {"email": {"domains": ["a.example", "b.example", "c.example"]}}},
        "identifiers.email.domains",
        "adds c.example",
    ),
    (
        {"identifiers": {"email": {"addresses": ["x@b.example"]}}},
        {"identifiers": {"email": {"addresses": []}}},
        {"identifiers": {"email": {"addresses": ["X@b.example"]}}},
        "identifiers.email.addresses",
        "adds X@b.example",
    ),
    (
        {"identifiers": {"uri": {"prefixes": ["https://a.example/"]}}},
        {"identifiers": {"uri": {"prefixes": ["https://a.example/dev/"]}}},
        {"identifiers": {"uri": {"prefixes": ["https:"]}}},
        "identifiers.uri.prefixes",
        "adds URIs below https:",
    ),
    (
        {"identifiers": {"uri": {"spiffe": [{"trust_domain": "p", "paths": ["/a/**", "/b/*"]}]}}},
        {"identifiers": {"uri": {"spiffe": [{"trust_domain": "p", "paths": ["/a/x/**", "/a/*/y", "/b/c"]}]}}},
        {"identifiers": {"uri": {"spiffe": [{"trust_domain": "p", "paths": ["/a/**", "/b/**"]}]}}},
        "identifiers.uri.spiffe",
        "adds spiffe://p/b/**",
    ),
    (
        {"identifiers": {"uri": {"spiffe": [{"trust_domain": "p", "paths": ["/**"]}]}}},
        {},
        {"identifiers": {"uri": {"spiffe": [{"trust_domain": "q", "paths": ["/a"]}]}}},
        "identifiers.uri.spiffe",
        "adds spiffe://q/a",
    ),
    (
        {},
        {"identifiers": {"max_names": 99}},
        {"identifiers": {"max_names": 101}},
        "identifiers.max_names",
        "becomes",
    ),
    (
        {"subject": {"from_csr": ["organization", "locality"]}},
        {"subject": {"from_csr": ["locality"]}},
        {"subject": {"from_csr": ["locality", "title"]}},
        "subject.from_csr",
        "adds title",
    ),
    (
        {"subject": {"common_name": "first-name"}},
        {"subject": {"common_name": "omit"}},
        {"subject": {"common_name": "csr"}},
        "subject.common_name",
        "was first-name, becomes csr",
    ),
    (
        {"approval": {"approvers": 2}},
        {"approval": {"approvers": 3}},
        {"approval": {"approvers": 1}},
        "approval.approvers",
        "was 2, becomes 1",
    ),
    (
        {},
        {"approval": {"role": "approver"}},
        {"approval": {"role": "help-desk"}},
        "approval.role",
        "other people decide",
    ),
    ({}, {}, {"approval": {"group": "team"}}, "approval.group", "was nothing, becomes team"),
    (
        {},
        {"approval": {"expires": "1d"}},
        {"approval": {"expires": "8d"}},
        "approval.expires",
        "was 7d, becomes 8d",
    ),
    (
        {},
        {"approval": {"reuse_window": "0s"}},
        {"approval": {"reuse_window": "169h"}},
        "approval.reuse_window",
        "was 7d, becomes 169h",
    ),
    (
        {"approval": {"covers": "key"}},
        {},
        {"approval": {"covers": "names"}},
        "approval.covers",
        "was key, becomes names",
    ),
    ({}, {"approval": {"covers": "key"}}, {"approval": {"expires": "8d"}}, "approval.expires", "becomes 8d"),
    (
        {"acme": {"enabled": False}},
        {},
        {"acme": {"enabled": True}},
        "acme.enabled",
        "was false, becomes true",
    ),
    (
        {},
        {"acme": {"enabled": False}},
        {"acme": {"caa": False, "order_lifetime": "8d"}},
        "acme.order_lifetime",
        "8d",
    ),
    (
        {"acme": {"external_account_required": True}},
        {},
        {"acme": {"mode": "trusted"}},
        "acme.mode",
        "was challenge, becomes trusted",
    ),
    (
        {"acme": {"mode": "trusted", "external_account_required": True}},
        {"acme": {"mode": "challenge"}},
        {"acme": {"external_account_required": False, "trusted_without_external_account": REASON}},
        "acme.external_account_required",
        "was true, becomes false",
    ),
    (
        {"acme": {"mode": "trusted", "trusted_without_external_account": REASON}},
        {"acme": {"external_account_required": True, "trusted_without_external_account": None}},
        {"acme": {"trusted_without_external_account": "Nobody will ever notice, I hope."}},
        "acme.trusted_without_external_account",
        "becomes Nobody",
    ),
    (
        {"acme": {"challenges": ["http-01", "dns-01"]}},
        {"acme": {"challenges": ["dns-01"]}},
        {"acme": {"challenges": ["dns-01", "tls-alpn-01"]}},
        "acme.challenges",
        "adds tls-alpn-01",
    ),
    (
        {"acme": {"allowed_networks": ["10.0.0.0/8"]}},
        {"acme": {"allowed_networks": ["10.1.0.0/16", "10.2.0.0/16"]}},
        {"acme": {"allowed_networks": ["10.0.0.0/7"]}},
        "acme.allowed_networks",
        "adds 10.0.0.0/7",
    ),
    (
        {"acme": {"denied_networks": ["10.0.0.0/8", "fe80::/10"]}},
        {"acme": {"denied_networks": ["10.0.0.0/7", "fe80::/10", "192.0.2.0/24"]}},
        {"acme": {"denied_networks": ["10.0.0.0/9", "fe80::/10"]}},
        "acme.denied_networks",
        "no longer holds all of 10.0.0.0/8",
    ),
    (
        {"acme": {"authorization_reuse": "1d"}},
        {"acme": {"authorization_reuse": "0s"}},
        {"acme": {"authorization_reuse": "2d"}},
        "acme.authorization_reuse",
        "was 1d, becomes 2d",
    ),
    (
        {},
        {"acme": {"order_lifetime": "1h"}},
        {"acme": {"order_lifetime": "8d"}},
        "acme.order_lifetime",
        "becomes 8d",
    ),
    ({"acme": {"caa": True}}, {}, {"acme": {"caa": False}}, "acme.caa", "was true, becomes false"),
    ({}, {"acme": {"caa": True}}, {"issuer": "second"}, "issuer", "becomes second"),
]
for _field in dict(fields_of(profile().subject.fixed)):
    _path, _value = f"subject.fixed.{_field}", "DE" if _field == "country" else "A"
    _other = "FR" if _field == "country" else "B"
    _had: Section = {"subject": {"fixed": {_field: _value}}}
    EDITS.append(
        (_had, {}, {"subject": {"fixed": {_field: _other}}}, _path, f"was {_value}, becomes {_other}")
    )
    EDITS.append((_had, {}, {"subject": {"fixed": {_field: None}}}, _path, f"was {_value}, becomes nothing"))
    EDITS.append(({}, {}, _had, _path, f"was nothing, becomes {_value}"))


def gated(section: Section) -> Profile:
    return profile(**merged(GATE, section))


@pytest.mark.parametrize(
    ("had", "tighter", "looser", "field", "words"), EDITS, ids=[edit[3] for edit in EDITS]
)
def test_an_edit_is_loosening_exactly_in_one_direction(
    had: Section, tighter: Section, looser: Section, field: str, words: str
) -> None:
    old = gated(had)
    assert loosens(old, gated(merged(had, tighter))) == ()
    found = loosens(old, gated(merged(had, looser)))
    assert any(said.startswith(f"{field}: ") and words in said for said in found), found


def test_every_field_has_a_direction_and_an_example_of_loosening() -> None:
    def paths(section: type[Any], prefix: str = "") -> set[str]:
        found = set()
        for name, field in section.model_fields.items():
            inner = _section_of(field.annotation)
            found |= {f"{prefix}{name}"} if inner is None else paths(inner, f"{prefix}{name}.")
        return found

    every = paths(Profile)
    assert every == set(DIRECTIONS)
    assert every - {edit[3] for edit in EDITS} == {"description"}  # says nothing to any code


def _section_of(annotation: Any) -> type[Any] | None:
    """The model behind a section's annotation; lists of models are values."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    if getattr(annotation, "__origin__", None) is tuple:
        return None
    return next((each for each in candidates if hasattr(each, "model_fields")), None)


def test_a_field_without_a_direction_counts_as_loosening() -> None:
    later = create_model("Later", __base__=Profile, tomorrow=(int, 0))
    old = later.model_validate_json(gated({}).model_dump_json())
    new = later.model_validate(old.model_dump() | {"tomorrow": 1}, strict=False)
    assert loosens(old, new) == ("tomorrow: changes, and nobody has written down which way is tighter",)
    assert loosens(old, old) == ()


def test_a_field_without_a_direction_in_a_section_counts_as_loosening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(loosening.DIRECTIONS, "validity.max")
    tighter = gated({"validity": {"max": "80d", "default": "80d"}})
    (words,) = loosens(gated({"validity": {"default": "80d"}}), tighter)
    assert words.startswith("validity.max: changes, and nobody")
    assert "max" in ValidityRules.model_fields


def test_a_deletion_and_a_loss_of_approval_loosen() -> None:
    assert loosens(gated({}), None) == ("profile web is deleted, and with it the approvals it asks for",)
    assert loosens(gated({}), profile()) == ("requires_approval: was true, becomes false",)


def test_what_has_no_gate_cannot_lose_it() -> None:
    anything = profile(identifiers={"dns": {"any": True, "suffixes": None}})
    assert loosens(None, anything) == ()
    assert loosens(None, gated({})) == ()
    assert loosens(profile(), anything) == ()
    assert loosens(profile(), None) == ()
    assert loosens(profile(), gated({})) == ()
    assert loosens(gated({}), gated({"description": "new words"})) == ()


def test_every_way_is_said_not_just_the_first() -> None:
    new = gated({"validity": {"max": "91d"}, "keys": {"rsa_max_bits": 8192}, "approval": {"expires": "30d"}})
    assert loosens(gated({}), new) == (
        "approval.expires: was 7d, becomes 30d",
        "keys.rsa_max_bits: was 4096, becomes 8192",
        "validity.max: was 90d, becomes 91d",
    )
