"""Which names a profile allows, one by one, and which challenges can prove them."""

from typing import Any

import pytest

from policy.identifier_rules import allows, check_identifiers, check_provable, in_order, provable_by
from policy.reasons import ReasonCode
from tests.policy.examples import names, profile

NONE: dict[str, Any] = {"dns": {"suffixes": None}}
SPIFFE = [{"trust_domain": "prod.example", "paths": ["/ns/*/sa/*", "/hosts/**", "/one"]}]


def identifiers(**sections: Any) -> dict[str, Any]:
    """An identifiers section without the suffix that `profile` starts from."""
    return {"dns": {"suffixes": None} | sections.pop("dns", {})} | sections


@pytest.mark.parametrize(
    ("rules", "allowed", "refused"),
    [
        pytest.param(
            identifiers(dns={"any": True}),
            ["a.example", "host", "xn--bcher-kva.example"],
            ["*.a.example", "ip:10.0.0.1", "email:x@a.example", "uri:https://a.example/"],
            id="dns.any",
        ),
        pytest.param(
            identifiers(dns={"any": True, "wildcards": True}),
            ["a.example", "*.a.example"],
            ["ip:10.0.0.1"],
            id="dns.any with wildcards",
        ),
        pytest.param(
            identifiers(dns={"suffixes": ["a.example"]}),
            ["a.example", "b.a.example", "d.c.b.a.example"],
            ["*.a.example", "*.b.a.example", "xa.example", "example", "a.example.evil"],
            id="dns.suffixes",
        ),
        pytest.param(
            identifiers(dns={"suffixes": ["a.example"], "wildcards": True}),
            ["*.a.example", "*.b.a.example"],
            ["*.example", "*.xa.example"],
            id="dns.wildcards under a suffix",
        ),
        pytest.param(
            identifiers(dns={"exact": ["b.example", "*.c.example"], "wildcards": True}),
            ["b.example", "*.c.example"],
            ["*.b.example", "c.example", "x.b.example", "x.c.example", "*.x.c.example"],
            id="dns.exact",
        ),
        pytest.param(
            identifiers(ip={"networks": ["10.0.0.0/8", "2001:db8::/32"]}),
            ["ip:10.0.0.0", "ip:10.255.255.255", "ip:2001:db8::1"],
            ["ip:11.0.0.0", "ip:9.255.255.255", "ip:2001:db9::", "ip:::a00:1", "a.example"],
            id="ip.networks",
        ),
        pytest.param(
            identifiers(email={"domains": ["a.example"]}),
            ["email:x@a.example"],
            ["email:x@b.a.example", "email:x@xa.example", "a.example"],
            id="email.domains",
        ),
        pytest.param(
            identifiers(email={"addresses": ["Jo@a.example"]}),
            ["email:Jo@a.example", "email:Jo@A.EXAMPLE"],
            ["email:jo@a.example", "email:x@a.example"],
            id="email.addresses",
        ),
        pytest.param(
            identifiers(uri={"prefixes": ["https://A.example/dev/", "urn:dev:mac:", "http:"]}),
            ["uri:https://a.example/dev/1", "uri:urn:dev:mac:01", "uri:http://anything/"],
            [
                "uri:https://a.example/devil",
                "uri:https://a.example.evil/dev/",
                "uri:urn:dev:os:1",
                "uri:ftp://x/",
            ],
            id="uri.prefixes",
        ),
        pytest.param(
            identifiers(uri={"spiffe": SPIFFE}),
            [
                "uri:spiffe://prod.example/ns/a/sa/b",
                "uri:spiffe://prod.example/hosts/a",
                "uri:spiffe://prod.example/hosts/a/b/c",
                "uri:spiffe://prod.example/one",
            ],
            [
                "uri:spiffe://prod.example",
                "uri:spiffe://prod.example/ns/a/sa",
                "uri:spiffe://prod.example/ns/a/sa/b/c",
                "uri:spiffe://prod.example/hosts",
                "uri:spiffe://test.example/one",
                "uri:spiffe://prod.example/two",
                "uri:https://prod.example/one",
            ],
            id="uri.spiffe",
        ),
    ],
)
def test_exactly_what_a_section_says_is_allowed(
    rules: dict[str, Any], allowed: list[str], refused: list[str]
) -> None:
    made = profile(identifiers=rules)
    for text in allowed:
        (name,) = names(text)
        assert allows(made, name), text
        assert check_identifiers(made, {name}) == ()
    for text in refused:
        (name,) = names(text)
        assert not allows(made, name), text
        (reason,) = check_identifiers(made, {name})
        assert (reason.code, reason.identifier) == (ReasonCode.NAME_NOT_ALLOWED, name)
        assert name.value in reason.words


def test_each_name_gets_its_own_reason_in_a_stable_order() -> None:
    reasons = check_identifiers(profile(), names("z.example", "ok.a.example", "ip:10.0.0.1", "b.example"))
    assert [reason.identifier.value for reason in reasons if reason.identifier] == [
        "b.example",
        "z.example",
        "10.0.0.1",
    ]


def test_no_names_is_a_reason() -> None:
    (reason,) = check_identifiers(profile(), frozenset())
    assert reason.code is ReasonCode.NO_NAMES


def test_more_names_than_max_names_are_refused_in_one_short_answer() -> None:
    made = profile(identifiers={"max_names": 2})
    assert check_identifiers(made, names("1.a.example", "2.a.example")) == ()
    (reason,) = check_identifiers(made, names("1.a.example", "2.a.example", "3.b.example"))
    assert reason.code is ReasonCode.TOO_MANY_NAMES
    assert "3 names" in reason.words


def test_a_spiffe_identity_is_the_only_uri_of_its_certificate() -> None:
    made = profile(identifiers={"uri": {"spiffe": SPIFFE, "prefixes": ["urn:x:"]}})
    assert check_identifiers(made, names("uri:spiffe://prod.example/one", "a.example")) == ()
    (reason,) = check_identifiers(made, names("uri:spiffe://prod.example/one", "uri:urn:x:1"))
    assert reason.code is ReasonCode.NAME_NOT_ALLOWED
    assert (
        len(
            check_identifiers(
                made, names("uri:spiffe://prod.example/one", "uri:spiffe://prod.example/hosts/a")
            )
        )
        == 2
    )


def test_names_are_listed_by_kind_then_name_with_a_wildcard_after_its_base() -> None:
    wanted = ["a.example", "*.a.example", "b.a.example", "z.example"]
    assert [name.value for name in in_order(names("ip:10.0.0.1", *reversed(wanted)))] == [*wanted, "10.0.0.1"]


@pytest.mark.parametrize(
    ("name", "challenges"),
    [
        ("a.example", ("http-01", "dns-01", "tls-alpn-01")),
        ("*.a.example", ("dns-01",)),
        ("ip:10.0.0.1", ("http-01", "tls-alpn-01")),
        ("email:x@a.example", ()),
        ("uri:urn:x:1", ()),
    ],
)
def test_a_name_is_offered_the_challenges_that_can_prove_it(name: str, challenges: tuple[str, ...]) -> None:
    (identifier,) = names(name)
    assert provable_by(profile(), identifier) == challenges


def test_a_name_that_the_profile_s_challenges_cannot_prove_is_refused_at_once() -> None:
    no_dns = profile(acme={"challenges": ["http-01", "tls-alpn-01"]})
    (reason,) = check_provable(no_dns, names("a.example", "*.a.example"))
    assert reason.code is ReasonCode.NAME_NOT_PROVABLE
    assert reason.identifier in names("*.a.example")
    only_dns = profile(acme={"challenges": ["dns-01"]})
    assert [r.identifier for r in check_provable(only_dns, names("*.a.example", "ip:10.0.0.1"))] == list(
        names("ip:10.0.0.1")
    )
