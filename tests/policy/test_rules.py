"""What evaluate makes of requests: each rule by itself, all reasons together, and what a plan says."""

import itertools
import math
import time
from dataclasses import fields, replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ca.certificate import CertificateContent
from ca.keys import KeyAlgorithm
from policy.profiles import DEFAULT, GATED, Profile
from policy.reasons import ReasonCode
from policy.rules import (
    CertificatePlan,
    Facts,
    IssuanceRequest,
    Permitted,
    Refused,
    evaluate,
)
from tests.policy.examples import GOOD, NOW, asks, codes, csr, key, names, permitted, profile, refused


def test_a_plan_says_what_the_profile_says_about_the_names_and_the_key() -> None:
    request = asks("b.a.example", "a.example", common_name="a.example")
    plan = permitted(profile(), request)
    assert [name.value for name in plan.identifiers] == ["a.example", "b.a.example"]
    assert plan.spki == request.csr.spki
    assert plan.subject == b"0\x00"
    assert plan.key_usage == ("digitalSignature",)
    assert plan.extended_key_usage == ("serverAuth",)
    assert plan.must_staple is False


def test_a_plan_and_a_serial_are_the_content_to_be_signed() -> None:
    planned = {field.name: field.type for field in fields(CertificatePlan)}
    assert planned | {"serial": int} == {field.name: field.type for field in fields(CertificateContent)}


def test_the_same_arguments_get_the_same_decision() -> None:
    request = asks("a.example", "b.a.example", "c.a.example")
    assert evaluate(GATED, request, GOOD, NOW) == evaluate(GATED, request, GOOD, NOW)
    bad = IssuanceRequest(request.csr, names("z.example", "y.example"))
    assert evaluate(profile(), bad, GOOD, NOW) == evaluate(profile(), bad, GOOD, NOW)


@pytest.mark.parametrize("made", [DEFAULT, GATED], ids=lambda p: p.name)
def test_a_gated_profile_permits_only_with_approval(made: Profile) -> None:
    decision = evaluate(made, asks("a.example", "*.a.example", "ip:10.0.0.1"), GOOD, NOW)
    assert isinstance(decision, Permitted)
    assert decision.needs_approval is (made.name == "gated")


def test_every_reason_is_reported_not_just_the_first() -> None:
    asked = csr(
        names("a.example", "z.example"),
        algorithm=KeyAlgorithm.P384,
        extensions=[x509.BasicConstraints(ca=True, path_length=None), x509.OCSPNoCheck()],
    )
    request = IssuanceRequest(asked, names("a.example", "y.example"), not_after=NOW)
    strict = profile(keys={"algorithms": ["p256"], "allow_reuse": False})
    assert codes(refused(strict, request, Facts("it was stolen", key_is_account_key=True))) == [
        "name-not-allowed",
        "name-not-in-csr",
        "name-not-authorized",
        "key-not-allowed",
        "key-blocked",
        "key-is-account-key",
        "key-used-before",
        "extension-not-allowed",
        "asks-to-be-ca",
        "validity-not-allowed",
    ]


# --- names ---


def test_a_name_that_the_profile_does_not_allow_is_refused_although_authorized() -> None:
    (reason,) = refused(profile(), asks("a.example", "z.example"))
    assert reason.code is ReasonCode.NAME_NOT_ALLOWED
    assert reason.identifier in names("z.example")


@pytest.mark.parametrize(
    ("wanted", "authorized", "expected"),
    [
        (["a.example"], ["a.example", "b.a.example"], [("name-not-in-csr", "b.a.example")]),
        (["a.example", "b.a.example"], ["a.example"], [("name-not-authorized", "b.a.example")]),
        (
            ["*.a.example"],
            ["a.example"],
            [("name-not-in-csr", "a.example"), ("name-not-authorized", "*.a.example")],
        ),
        (
            ["ip:10.0.0.1"],
            ["ip:10.0.0.2"],
            [("name-not-in-csr", "10.0.0.2"), ("name-not-authorized", "10.0.0.1")],
        ),
        ([], ["a.example"], [("name-not-in-csr", "a.example")]),
    ],
)
def test_names_are_equal_both_ways(
    wanted: list[str], authorized: list[str], expected: list[tuple[str, str]]
) -> None:
    reasons = refused(DEFAULT, IssuanceRequest(csr(names(*wanted)), names(*authorized)))
    assert [(r.code.value, r.identifier.value) for r in reasons if r.identifier] == expected


def test_a_name_in_the_common_name_alone_counts() -> None:
    request = IssuanceRequest(csr(common_name="A.Example"), names("a.example"))
    assert [name.value for name in permitted(profile(), request).identifiers] == ["a.example"]
    (reason,) = refused(
        profile(), IssuanceRequest(csr(names("a.example"), common_name="b.a.example"), names("a.example"))
    )
    assert reason.code is ReasonCode.NAME_NOT_AUTHORIZED


def test_upper_case_in_the_csr_is_no_other_name() -> None:
    request = IssuanceRequest(csr([x509.DNSName("A.EXAMPLE")]), names("a.example"))
    permitted(profile(), request)


def test_no_names_at_all_are_refused() -> None:
    assert codes(refused(DEFAULT, IssuanceRequest(csr(), frozenset()))) == ["no-names"]


def test_kinds_of_names_that_nobody_can_authorize_are_refused() -> None:
    other = x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a")
    request = IssuanceRequest(csr([x509.DNSName("a.example"), other]), names("a.example"))
    (reason,) = refused(profile(), request)
    assert reason.code is ReasonCode.UNKNOWN_NAME_KIND
    assert "1.3.6.1.4.1.311.20.2.3" in reason.words


# --- keys ---


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_only_the_algorithms_of_the_profile_are_taken(algorithm: KeyAlgorithm) -> None:
    request = asks("a.example", algorithm=algorithm)
    permitted(profile(keys={"algorithms": [algorithm.value]}), request)
    others = [other.value for other in KeyAlgorithm if other is not algorithm]
    (reason,) = refused(profile(keys={"algorithms": others}), request)
    assert reason.code is ReasonCode.KEY_NOT_ALLOWED


@pytest.mark.parametrize(
    ("low", "high", "fits"), [(2048, 2048, True), (2049, 4096, False), (3072, 4096, False)]
)
def test_rsa_keys_have_a_smallest_size(low: int, high: int, fits: bool) -> None:
    made = profile(keys={"rsa_min_bits": low, "rsa_max_bits": high})
    decision = evaluate(made, asks("a.example", algorithm=KeyAlgorithm.RSA, bits=2048), GOOD, NOW)
    assert isinstance(decision, Permitted) is fits


def test_rsa_keys_have_a_largest_size() -> None:
    request = asks("a.example", algorithm=KeyAlgorithm.RSA, bits=3072)
    permitted(profile(keys={"rsa_max_bits": 3072}), request)
    (reason,) = refused(profile(keys={"rsa_max_bits": 3071}), request)
    assert reason.code is ReasonCode.KEY_NOT_ALLOWED
    assert "3072 bits" in reason.words


def test_the_sizes_of_rsa_keys_say_nothing_about_others() -> None:
    permitted(profile(keys={"rsa_min_bits": 4096}), asks("a.example", algorithm=KeyAlgorithm.P256))


def neighbouring_primes() -> rsa.RSAPrivateKey:
    """A key that anybody can factor: its second prime is the next one after its first."""
    drawn = key(KeyAlgorithm.RSA)
    assert isinstance(drawn, rsa.RSAPrivateKey)
    p = drawn.private_numbers().p
    small = math.prod(n for n in range(3, 1000, 2) if pow(2, n - 1, n) == 1)
    q = next(n for n in itertools.count(p + 2, 2) if math.gcd(n, small) == 1 and pow(2, n - 1, n) == 1)
    d = pow(65537, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


def test_a_weak_key_is_refused_with_its_weakness() -> None:
    request = IssuanceRequest(csr(names("a.example"), signing_key=neighbouring_primes()), names("a.example"))
    (reason,) = refused(profile(), request)
    assert reason.code is ReasonCode.KEY_WEAK
    assert "factored" in reason.words


def test_a_blocked_key_is_refused_and_told_why() -> None:
    (reason,) = refused(
        profile(), asks("a.example"), replace(GOOD, key_blocked="its owner revoked it as compromised")
    )
    assert reason.code is ReasonCode.KEY_BLOCKED
    assert "revoked it as compromised" in reason.words


def test_the_key_of_an_account_is_refused() -> None:
    assert codes(refused(profile(), asks("a.example"), replace(GOOD, key_is_account_key=True))) == [
        "key-is-account-key"
    ]


@pytest.mark.parametrize(("used", "fits"), [(False, True), (True, False), (None, False)])
def test_without_reuse_a_key_must_be_known_to_be_new(used: bool | None, fits: bool) -> None:
    facts = replace(GOOD, key_used_before=used)
    decision = evaluate(profile(keys={"allow_reuse": False}), asks("a.example"), facts, NOW)
    assert isinstance(decision, Permitted) is fits
    permitted(profile(), asks("a.example"), facts)


# --- extensions ---


def test_the_extensions_that_clients_send_are_understood_and_not_copied() -> None:
    usage = {"digital_signature": True, "content_commitment": True, "key_encipherment": True}
    rest = dict.fromkeys(
        ["data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"],
        False,
    )
    request = asks(
        "a.example",
        extensions=[
            x509.KeyUsage(**usage, **rest),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            x509.BasicConstraints(ca=False, path_length=None),
            x509.SubjectKeyIdentifier(b"theirs"),
        ],
    )
    plan = permitted(profile(), request)
    assert plan.key_usage == ("digitalSignature",)
    assert plan.extended_key_usage == ("serverAuth",)


@pytest.mark.parametrize(
    ("extension", "oid"),
    [
        (x509.OCSPNoCheck(), "1.3.6.1.5.5.7.48.1.5"),
        (x509.InhibitAnyPolicy(0), "2.5.29.54"),
        (
            x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier("2.23.140.1.1"), None)]),
            "2.5.29.32",
        ),
        (x509.NameConstraints([x509.DNSName("a.example")], None), "2.5.29.30"),
        (
            x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.311.20.2"), b"\x0c\x01a"),
            "1.3.6.1.4.1.311.20.2",
        ),
    ],
)
def test_any_other_extension_is_refused_by_name(extension: x509.ExtensionType, oid: str) -> None:
    (reason,) = refused(profile(), asks("a.example", extensions=[extension]))
    assert reason.code is ReasonCode.EXTENSION_NOT_ALLOWED
    assert f" {oid}," in reason.words


@pytest.mark.parametrize("usage", ["key_cert_sign", "crl_sign"])
def test_the_usages_of_an_authority_are_refused(usage: str) -> None:
    every = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
    ]
    every += ["key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    wish = x509.KeyUsage(**(dict.fromkeys(every, False) | {usage: True}))
    assert codes(refused(profile(), asks("a.example", extensions=[wish]))) == ["asks-to-be-ca"]


def test_a_ca_certificate_is_refused() -> None:
    wish = x509.BasicConstraints(ca=True, path_length=0)
    assert codes(refused(profile(), asks("a.example", extensions=[wish]))) == ["asks-to-be-ca"]


def test_purposes_beyond_the_profile_are_refused() -> None:
    wish = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING])
    (reason,) = refused(profile(), asks("a.example", extensions=[wish]))
    assert reason.code is ReasonCode.PURPOSE_NOT_ALLOWED
    assert "codeSigning" in reason.words
    both = profile(extended_key_usage=["codeSigning", "serverAuth"])
    assert permitted(both, asks("a.example", extensions=[wish])).extended_key_usage == (
        "codeSigning",
        "serverAuth",
    )
    own = x509.ExtendedKeyUsage([ObjectIdentifier("1.2.3.4")])
    permitted(profile(extended_key_usage=["1.2.3.4"]), asks("a.example", extensions=[own]))


@pytest.mark.parametrize(
    ("algorithm", "usages"),
    [
        (KeyAlgorithm.RSA, ("digitalSignature", "keyEncipherment", "dataEncipherment")),
        (KeyAlgorithm.P256, ("digitalSignature", "keyAgreement")),
        (KeyAlgorithm.P521, ("digitalSignature", "keyAgreement")),
        (KeyAlgorithm.ED25519, ("digitalSignature",)),
        (KeyAlgorithm.ML_DSA_65, ("digitalSignature",)),
    ],
)
def test_a_key_gets_the_usages_it_is_able_to(algorithm: KeyAlgorithm, usages: tuple[str, ...]) -> None:
    made = profile(
        key_usage=["digitalSignature", "keyEncipherment", "dataEncipherment", "keyAgreement"],
        keys={"algorithms": [each.value for each in KeyAlgorithm]},
    )
    assert permitted(made, asks("a.example", algorithm=algorithm)).key_usage == usages


@pytest.mark.parametrize(
    ("rule", "asked", "outcome"),
    [
        ("never", False, False),
        ("never", True, None),
        ("allowed", False, False),
        ("allowed", True, True),
        ("always", False, True),
        ("always", True, True),
    ],
)
def test_must_staple_is_never_allowed_or_always(rule: str, asked: bool, outcome: bool | None) -> None:
    wishes = [x509.TLSFeature([x509.TLSFeatureType.status_request])] if asked else []
    decision = evaluate(profile(must_staple=rule), asks("a.example", extensions=wishes), GOOD, NOW)
    if outcome is None:
        assert isinstance(decision, Refused)
        assert codes(decision.reasons) == ["must-staple-not-allowed"]
    else:
        assert isinstance(decision, Permitted)
        assert decision.content.must_staple is outcome


def test_a_subject_that_cannot_be_used_is_a_reason_like_any_other() -> None:
    request = asks("a.example", subject=[(NameOID.COUNTRY_NAME, "de")])
    (reason,) = refused(profile(subject={"from_csr": ["country"]}), request)
    assert reason.code is ReasonCode.SUBJECT_NOT_ALLOWED
    assert permitted(profile(), request).subject == b"0\x00"


def test_a_decision_takes_microseconds() -> None:
    request = asks("a.example", "b.a.example", algorithm=KeyAlgorithm.P256)
    best = min(_seconds_for(100, request) for _ in range(20))
    assert best < 200e-6, "ten times the time it should take"


def _seconds_for(times: int, request: IssuanceRequest) -> float:
    started = time.process_time()
    for _ in range(times):
        evaluate(GATED, request, GOOD, NOW)
    return (time.process_time() - started) / times
