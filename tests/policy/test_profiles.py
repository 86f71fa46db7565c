"""Profiles as text: what is read, what is refused and in which words, and that one definition has one digest."""

import re
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.keys import KeyAlgorithm
from policy.profile_toml import MAX_SIZE, line_of
from policy.profile_values import read_duration, write_duration
from policy.profiles import (
    DEFAULT,
    GATED,
    Profile,
    ProfileRefused,
    canonical_json,
    digest,
    from_json,
    parse_toml,
    to_toml,
)
from tests.policy.examples import profile
from tests.policy.profile_strategies import profiles

FILE = b"""\
[[profile]]
name = "web"
issuer = "issuing"
requires_approval = true

[profile.keys]
algorithms = ["p256", "rsa"]
rsa_min_bits = 3072

[profile.validity]
default = "36h"
max = "7d"
backdate = "15m"

[profile.identifiers]
dns = {suffixes = ["A.example"], wildcards = true}
ip.networks = ["10.0.0.0/8"]

[[profile.identifiers.uri.spiffe]]
trust_domain = "prod.example"
paths = ["/ns/*/sa/*"]

[profile.subject.fixed]
organization = "A"

[[profile]]
name = "devices"
issuer = "issuing"
[profile.identifiers.email]
domains = ["a.example"]
"""


def test_a_file_says_what_its_profiles_are() -> None:
    web, devices = parse_toml(FILE)
    assert web.keys.algorithms == (KeyAlgorithm.P256, KeyAlgorithm.RSA)
    assert web.keys.rsa_min_bits == 3072
    assert web.validity.default == timedelta(hours=36)
    assert web.identifiers.dns.suffixes == ("a.example",)
    assert web.identifiers.uri.spiffe[0].paths == ("/ns/*/sa/*",)
    assert web.subject.fixed.organization == "A"
    assert web.approval is not None
    assert web.approval.role == "approver"
    assert devices.name == "devices"
    assert devices.approval is None


@pytest.mark.parametrize("built_in", [DEFAULT, GATED], ids=lambda p: p.name)
def test_the_built_in_profiles_are_what_the_documentation_says(built_in: Profile) -> None:
    assert built_in.identifiers.dns.any
    assert built_in.identifiers.dns.wildcards
    assert [str(net) for net in built_in.identifiers.ip.networks] == ["0.0.0.0/0", "::/0"]
    assert built_in.validity.default == built_in.validity.max == timedelta(days=90)
    assert built_in.acme.mode == "challenge"
    assert built_in.requires_approval is (built_in.name == "gated")
    assert (built_in.approval is not None and built_in.approval.approvers == 1) is (built_in.name == "gated")


@given(profiles())
def test_every_profile_survives_both_ways_of_writing_it(made: Profile) -> None:
    assert from_json(canonical_json(made)) == made
    assert parse_toml(to_toml(made).encode()) == [made]
    assert digest(from_json(canonical_json(made))) == digest(made)
    assert re.fullmatch(r"[0-9a-f]{64}", digest(made))


@settings(max_examples=30)
@given(profiles(), profiles())
def test_two_profiles_share_a_digest_only_if_they_are_equal(one: Profile, other: Profile) -> None:
    assert (digest(one) == digest(other)) is (one == other)


def test_two_spellings_of_one_definition_have_one_digest() -> None:
    terse = profile(validity={"max": "2160h", "default": "90d"}, extended_key_usage=["1.3.6.1.5.5.7.3.1"])
    spelt = profile(validity={"max": "90d", "default": "2160h"}, extended_key_usage=["serverAuth"])
    assert canonical_json(terse) == canonical_json(spelt)


def test_canonical_json_is_stable_across_releases() -> None:
    # Stored digests name versions: a change here needs a migration, not a new expected value.
    assert digest(DEFAULT) == "ff290dad019ac28c6744e6bbfc665f4ab6dd9c42b481be7d13f641da10d2d0d8"
    assert digest(GATED) == "8a7c3d6bc784250e3132febd20cd05d60056a65d4b060a2cd376f97a166849a6"


def test_a_profile_does_not_change() -> None:
    made = profile()
    with pytest.raises(ValueError, match="frozen"):
        made.requires_approval = False
    with pytest.raises(ValueError, match="frozen"):
        made.acme.enabled = False


REFUSED_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"isuer": "x"}, 'isuer: unknown field; did you mean "issuer"?'),
    ({"keys": {"zzz": 1}}, "keys.zzz: unknown field; known are algorithms, rsa_min_bits"),
    ({"acme": {"caa": "yes"}}, "acme.caa: write true or false"),
    ({"requires_approval": 1}, "requires_approval: write true or false"),
    ({"keys": {"rsa_min_bits": "2048"}}, "keys.rsa_min_bits: write a whole number"),
    ({"keys": {"rsa_min_bits": 1024}}, "keys.rsa_min_bits: Input should be greater than or equal to 2048"),
    ({"keys": {"rsa_min_bits": 4096, "rsa_max_bits": 3072}}, "keys: rsa_min_bits is larger"),
    ({"keys": {"algorithms": []}}, "keys.algorithms: "),
    ({"keys": {"algorithms": "rsa"}}, "keys.algorithms: write a list"),
    ({"keys": {"algorithms": ["rsa", "rsa"]}}, "keys.algorithms: written twice: rsa"),
    ({"keys": {"algorithms": ["p257"]}}, "keys.algorithms.0: must be 'rsa', 'p256'"),
    ({"issuer": "Issuing CA"}, "issuer: 1 to 63 lower-case letters"),
    ({"name": "-web"}, "name: 1 to 63 lower-case letters"),
    ({"name": 5}, "name: write it as text in quotes"),
    ({"description": "a\nb"}, "description: one line of printable text"),
    ({"validity": {"max": 90}}, "validity.max: write a duration as text"),
    ({"validity": {"max": "90 d"}}, "validity.max: write a duration as text"),
    ({"validity": {"max": "1d12h"}}, "validity.max: write a duration as text"),
    ({"validity": {"max": "99999d"}}, "validity.max: a duration lies between 0s and 36525d"),
    ({"validity": {"default": "91d"}}, "validity: default is longer than max"),
    ({"validity": {"default": "1h"}}, "validity: backdate must be shorter than default"),
    ({"identifiers": {"dns": None}}, "identifiers: no name is allowed"),
    ({"identifiers": {"dns": {"any": True}}}, "identifiers.dns: any = true already allows every name"),
    (
        {"identifiers": {"dns": {"suffixes": ["*.a.example"]}}},
        'identifiers.dns.suffixes.0: write the bare name: "a.',
    ),
    (
        {"identifiers": {"dns": {"suffixes": ["a_b.example"]}}},
        "identifiers.dns.suffixes.0: 'a_b.example' is not",
    ),
    ({"identifiers": {"dns": {"exact": ["*.b.example"]}}}, "identifiers.dns: exact holds a wildcard while"),
    (
        {"identifiers": {"dns": {"suffixes": None, "exact": ["b.example"], "wildcards": True}}},
        "identifiers.dns: wildcards = true allows nothing",
    ),
    (
        {"identifiers": {"ip": {"networks": ["10.0.0.1/8"]}}},
        "identifiers.ip.networks.0: 10.0.0.1/8 has host bits set",
    ),
    (
        {"identifiers": {"ip": {"networks": ["10.0.0.1"]}}},
        "identifiers.ip.networks.0: write a network as text",
    ),
    (
        {"identifiers": {"email": {"domains": ["@a.example"]}}},
        "identifiers.email.domains.0: write the bare domain",
    ),
    (
        {"identifiers": {"email": {"addresses": ["a.example"]}}},
        "identifiers.email.addresses.0: 'a.example' is not a",
    ),
    (
        {"identifiers": {"uri": {"prefixes": ["https://a.example/x"]}}},
        "identifiers.uri.prefixes.0: end a URI prefix",
    ),
    (
        {"identifiers": {"uri": {"prefixes": ["https://u@a.example/"]}}},
        "identifiers.uri.prefixes.0: 'https://u@a",
    ),
    (
        {"identifiers": {"uri": {"prefixes": ["spiffe://a/"]}}},
        "identifiers.uri.prefixes.0: write SPIFFE identities",
    ),
    (
        {"identifiers": {"uri": {"spiffe": [{"trust_domain": "spiffe://a", "paths": ["/x"]}]}}},
        "identifiers.uri.spiffe.0.trust_domain: a SPIFFE trust domain",
    ),
    (
        {"identifiers": {"uri": {"spiffe": [{"trust_domain": "a", "paths": ["/x/**/y"]}]}}},
        "identifiers.uri.spiffe.0.paths.0: each part of a SPIFFE path pattern",
    ),
    (
        {"identifiers": {"uri": {"spiffe": [{"trust_domain": "a", "paths": ["x"]}]}}},
        'identifiers.uri.spiffe.0.paths.0: a SPIFFE path pattern starts with "/"',
    ),
    (
        {"identifiers": {"uri": {"spiffe": [{"trust_domain": "a"}]}}},
        "identifiers.uri.spiffe.0.paths: this field must",
    ),
    ({"identifiers": {"max_names": 0}}, "identifiers.max_names: "),
    ({"key_usage": ["keyCertSign"]}, "key_usage.0: one of digitalSignature"),
    ({"key_usage": []}, "key_usage: "),
    ({"key_usage": ["keyEncipherment"]}, ": key_usage leaves nothing that a key of algorithm p256 can do"),
    (
        {"key_usage": ["digitalSignature", "encipherOnly"]},
        ": key_usage: encipherOnly and decipherOnly mean nothing without keyAgreement",
    ),
    (
        {"extended_key_usage": ["anyExtendedKeyUsage"]},
        "extended_key_usage.0: anyExtendedKeyUsage would allow",
    ),
    ({"extended_key_usage": ["2.5.29.37.0"]}, "extended_key_usage.0: anyExtendedKeyUsage would allow"),
    ({"extended_key_usage": ["webAuth"]}, "extended_key_usage.0: one of serverAuth, clientAuth"),
    ({"extended_key_usage": ["3.5"]}, "extended_key_usage.0: one of serverAuth, clientAuth"),
    ({"extended_key_usage": ["OCSPSigning"]}, ": a certificate with OCSPSigning answers for everything"),
    ({"subject": {"from_csr": ["common_name"]}}, "subject.from_csr.0: must be 'country', 'state'"),
    ({"subject": {"common_name": "first"}}, "subject.common_name: must be 'omit', 'csr' or 'first-name'"),
    ({"subject": {"fixed": {"country": "Germany"}}}, "subject.fixed: country is longer than 2 characters"),
    ({"subject": {"fixed": {"country": "de"}}}, "subject.fixed: country is two capital letters"),
    ({"subject": {"fixed": {"organization": " "}}}, "subject.fixed: organization is empty"),
    ({"subject": {"fixed": {"serial_number": "a*b"}}}, "subject.fixed: serial_number is letters, digits"),
    ({"subject": {"fixed": {"state": "x" * 129}}}, "subject.fixed: state is longer than 128 characters"),
    (
        {"subject": {"fixed": {"organization": "A"}, "from_csr": ["organization"]}},
        "subject: both fixed and taken from the CSR: organization",
    ),
    ({"approval": {"approvers": 2}}, ": there is an approval section but requires_approval is not true"),
    ({"requires_approval": True, "approval": {"approvers": 0}}, "approval.approvers: "),
    ({"requires_approval": True, "approval": {"approvers": 11}}, "approval.approvers: "),
    ({"requires_approval": True, "approval": {"role": "a", "group": "b"}}, "approval: name one circle"),
    (
        {"requires_approval": True, "approval": {"expires": "30s"}},
        "approval: expires must leave a person at least 1m",
    ),
    (
        {"acme": {"mode": "trusted"}},
        'acme: mode = "trusted" gives every account the profile\'s names without proof',
    ),
    (
        {"acme": {"mode": "trusted", "trusted_without_external_account": "because"}},
        "acme.trusted_without_external_account: ",
    ),
    (
        {"acme": {"mode": "trusted", "trusted_without_external_account": "yes" + " " * 20}},
        "acme: trusted_without_external_account must give the reason in a sentence",
    ),
    (
        {"acme": {"trusted_without_external_account": "The network is closed to others."}},
        'acme: trusted_without_external_account is for mode = "trusted"',
    ),
    (
        {"acme": {"mode": "trusted", "external_account_required": True, "caa": True}},
        'acme: caa has no effect with mode = "trusted", where no name is proved: set caa = false',
    ),
    ({"acme": {"challenges": []}}, "acme.challenges: "),
    (
        {"acme": {"challenges": ["http-02"]}},
        "acme.challenges.0: must be 'http-01', 'dns-01' or 'tls-alpn-01'",
    ),
    ({"acme": {"order_lifetime": "5m"}}, "acme: order_lifetime lies between 10m and 90d"),
    ({"acme": {"allowed_networks": []}}, "acme.allowed_networks: "),
]


@pytest.mark.parametrize(
    ("changes", "words"), REFUSED_FIELDS, ids=[words[:40] for _, words in REFUSED_FIELDS]
)
def test_what_cannot_be_meant_is_refused_with_its_path(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProfileRefused) as caught:
        profile(**changes)
    assert any(problem.startswith(words) for problem in caught.value.problems), caught.value.problems


def test_every_problem_is_reported_not_just_the_first() -> None:
    with pytest.raises(ProfileRefused) as caught:
        profile(issuer=1, keys={"algorithms": ["x"]}, acme={"caa": 1}, nonsense=True)
    assert len(caught.value.problems) == 4


def test_problems_in_a_file_name_line_profile_field_and_remedy() -> None:
    spoilt = (
        FILE.replace(b"rsa_min_bits = 3072", b"rsa_min = 3072")
        .replace(b'default = "36h"', b"default = 36")
        .replace(b'"/ns/*/sa/*"', b'"ns"')
        .replace(b'domains = ["a.example"]', b'domains = ["a..example"]')
    )
    with pytest.raises(ProfileRefused) as caught:
        parse_toml(spoilt)
    assert [problem[:64] for problem in caught.value.problems] == [
        'line 8: profile "web": keys.rsa_min: unknown field; did you mean',
        'line 11: profile "web": validity.default: write a duration as te',
        'line 19: profile "web": identifiers.uri.spiffe.0.paths.0: a SPIF',
        'line 30: profile "devices": identifiers.email.domains.0: \'a..exa',
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "the file holds no [[profile]] table"),
        (b"[profile]\nname = 'a'\n", "the file holds no [[profile]] table (two brackets"),
        (b"profile = 5\n", "the file holds no [[profile]] table"),
        (b"profile = [5]\n", "the file holds no [[profile]] table"),
        (b"[[profil]]\nname = 'a'\n", "unknown top-level entry 'profil'"),
        (b"[[profile]\n", "the file is not TOML: "),
        (
            b"[[profile]]\nname = 'a'\nname = 'b'\n",
            "the file is not TOML: Cannot overwrite a value (at line 3",
        ),
        (b"[[profile]]\nname = '\xff'\n", "line 2: the file is not UTF-8 text"),
        (b"[[profile]]\nname = 2027-01-01\n", "line 2: name: no field takes a bare date"),
        (b"[[profile]]\n[profile.validity]\nmax = 1.5\n", "line 3: validity.max: no field takes"),
        (b"[[profile]]\nname = 0x" + b"f" * 5000 + b"\n", "line 2: name: no field takes"),
        (b"[[profile]]\nname = " + b"9" * 5000 + b"\n", "the file is not TOML: "),
        (b"x = " + b"[" * 50_000, "the file is not TOML: "),
        (b"#" * (MAX_SIZE + 1), "the file is larger than 262144 bytes"),
        (b"[[profile]]\n" * 501, "the file holds more than 500 profiles"),
        (FILE + FILE, 'line 32: profile "web": name: there are two of this name in the file'),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_file_that_is_none_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(ProfileRefused) as caught:
        parse_toml(text)
    assert any(problem.startswith(words) for problem in caught.value.problems), caught.value.problems


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_get_another_exception_than_the_refusal(data: bytes) -> None:
    for read in (parse_toml, from_json):
        with pytest.raises(ProfileRefused):
            read(data)


SIMPLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*Profile.model_fields, "x"]), SIMPLE)
def test_a_wrong_value_in_any_field_is_refused_or_right(field: str, value: object) -> None:
    made = None
    with suppress(ProfileRefused):  # nothing else may be raised
        made = profile(**{field: value})
    assert made is None or from_json(canonical_json(made)) == made


def test_the_place_of_an_inline_field_is_the_line_that_holds_it() -> None:
    assert line_of(FILE, 0, "identifiers.dns.suffixes.0") == 16
    assert line_of(FILE, 0, "identifiers.ip.networks.0") == 17
    assert line_of(FILE, 1, "issuer") == 28
    assert line_of(FILE, 1, "approval.approvers") == 26


@given(st.integers(min_value=0, max_value=36525 * 86400))
def test_a_duration_is_written_as_it_is_read(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert read_duration(write_duration(duration)) == duration


def test_a_duration_is_written_in_its_largest_unit() -> None:
    texts = {"7200m": "5d", "90m": "90m", "86400s": "1d", "36h": "36h", "61s": "61s", "0d": "0s"}
    assert {text: write_duration(read_duration(text)) for text in texts} == texts


def test_the_description_of_the_model_for_the_api_can_be_made() -> None:
    schema = Profile.model_json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(Profile.model_fields)


def test_a_section_that_is_written_after_its_part_does_not_hide_it() -> None:
    text = (
        b"[[profile]]\n[profile.identifiers.dns]\nsuffixes = ['a..b']\n[profile.identifiers]\nmax_names = 0\n"
    )
    assert line_of(text, 0, "identifiers.dns.suffixes.0") == 3
    assert line_of(text, 0, "identifiers.max_names") == 5
    assert line_of(text, 0, "identifiers") == 4
