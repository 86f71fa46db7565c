"""Name patterns of external account keys: read strictly, matched exactly."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.names import Identifier, IdentifierType
from policy.acme.external_accounts import PatternRefused, matches, parse_pattern


def dns(name: str) -> Identifier:
    return Identifier(IdentifierType.DNS, name)


def ip(address: str) -> Identifier:
    return Identifier(IdentifierType.IP, address)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("host.example", "host.example"),
        (" Host.EXAMPLE ", "host.example"),
        ("*.example", "*.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:0db8::1", "2001:db8::1"),
    ],
)
def test_a_pattern_has_one_spelling(text: str, pattern: str) -> None:
    assert parse_pattern(text) == pattern
    assert parse_pattern(pattern) == pattern


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "*.*.example",
        "a.*.example",
        ".example",
        "example.",
        "192.0.2.1/24",
        "x/8",
        "a b",
        "ä.example",
    ],
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(PatternRefused):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("host.example", dns("host.example"), True),
        ("host.example", dns("a.host.example"), False),
        ("host.example", dns("*.host.example"), False),
        ("*.example", dns("a.example"), True),
        ("*.example", dns("a.b.example"), True),
        ("*.example", dns("*.example"), True),
        ("*.example", dns("*.a.example"), True),
        ("*.example", dns("example"), False),
        ("*.example", dns("aexample"), False),
        ("*.example", dns("a.example.test"), False),
        ("192.0.2.0/24", ip("192.0.2.255"), True),
        ("192.0.2.0/24", ip("192.0.3.0"), False),
        ("192.0.2.1", ip("192.0.2.1"), True),
        ("192.0.2.0/24", dns("192.0.2.1"), False),
        ("0.0.0.0/0", ip("::1"), False),
        ("::/0", ip("192.0.2.1"), False),
        ("*.example", ip("192.0.2.1"), False),
        ("*.example", Identifier(IdentifierType.EMAIL, "a@b.example"), False),
        ("*.example", Identifier(IdentifierType.URI, "https://b.example"), False),
    ],
)
def test_what_it_allows(pattern: str, name: Identifier, allowed: bool) -> None:
    assert matches(pattern, name) is allowed


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 32))
def test_a_network_allows_its_addresses_and_no_others(one: object, other: object, bits: int) -> None:
    network = ip_network(f"{one}/{bits}", strict=False)
    found = matches(parse_pattern(str(network)), ip(str(other)))
    assert found is (ip_address(str(other)) in network)
