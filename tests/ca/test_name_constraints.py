"""RFC 5280 4.2.1.10, case by case."""

from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ca.name_constraints import violations
from ca.names import parse_identifier
from tests.ca.factories import NO_NAME

DNS, IP, EMAIL, URI = x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier


def network(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_network(text))


@pytest.mark.parametrize(
    ("kind", "name", "tree", "within"),
    [
        ("dns", "corp.example", DNS("corp.example"), True),
        ("dns", "a.b.corp.example", DNS("Corp.Example"), True),
        ("dns", "*.corp.example", DNS("corp.example"), True),
        ("dns", "acorp.example", DNS("corp.example"), False),
        ("dns", "example", DNS("corp.example"), False),
        ("dns", "*.example", DNS("corp.example"), False),
        ("dns", "a.corp.example", DNS(".corp.example"), True),
        ("dns", "corp.example", DNS(".corp.example"), False),
        ("dns", "anything.example", DNS(""), True),
        ("ip", "10.1.2.3", network("10.0.0.0/8"), True),
        ("ip", "11.1.2.3", network("10.0.0.0/8"), False),
        ("ip", "2001:db8::1", network("2001:db8::/32"), True),
        ("ip", "2001:db8::1", network("10.0.0.0/8"), False),
        ("email", "jo@example.com", EMAIL("jo@Example.com"), True),
        ("email", "Jo@example.com", EMAIL("jo@example.com"), False),
        ("email", "jo@example.com", EMAIL("example.com"), True),
        ("email", "jo@a.example.com", EMAIL("example.com"), False),
        ("email", "jo@a.example.com", EMAIL(".example.com"), True),
        ("email", "jo@example.com", EMAIL(".example.com"), False),
        ("uri", "https://a.example.com:8443/x", URI("a.example.com"), True),
        ("uri", "https://b.a.example.com/x", URI("a.example.com"), False),
        ("uri", "spiffe://b.example.com?q", URI(".example.com"), False),
        ("uri", "https://b.example.com?q=.evil", URI(".example.com"), True),
        ("uri", "urn:a:b", URI("example.com"), False),
    ],
)
def test_one_name_and_one_subtree(kind: str, name: str, tree: x509.GeneralName, within: bool) -> None:
    names = [parse_identifier(kind, name)] if not name.startswith("spiffe://b.example.com?") else []
    permitted = list(violations(NO_NAME, names, [x509.NameConstraints([tree], None)]))
    assert (permitted == []) == (within or not names)
    if within:
        excluded = list(violations(NO_NAME, names, [x509.NameConstraints(None, [tree])]))
        assert len(excluded) == 1


def test_a_kind_that_no_subtree_is_of_is_free() -> None:
    names = [parse_identifier("dns", "a.example"), parse_identifier("email", "a@b.example")]
    assert list(violations(NO_NAME, names, [x509.NameConstraints([network("10.0.0.0/8")], None)])) == []


def test_a_wildcard_that_stands_for_an_excluded_name() -> None:
    names = [parse_identifier("dns", "*.corp.example")]
    excluded = x509.NameConstraints(None, [DNS("secret.corp.example")])
    assert len(list(violations(NO_NAME, names, [excluded]))) == 1
    assert list(violations(NO_NAME, [parse_identifier("dns", "a.corp.example")], [excluded])) == []


def test_a_uri_without_a_host_where_some_are_excluded() -> None:
    excluded = x509.NameConstraints(None, [URI("example.com")])
    assert len(list(violations(NO_NAME, [parse_identifier("uri", "urn:a:b")], [excluded]))) == 1


def test_all_authorities_of_the_chain_have_a_say() -> None:
    names = [parse_identifier("dns", "a.corp.example")]
    first, second = (
        x509.NameConstraints([DNS("corp.example")], None),
        x509.NameConstraints([DNS("b.example")], None),
    )
    assert list(violations(NO_NAME, names, [first])) == []
    assert len(list(violations(NO_NAME, names, [first, second]))) == 1


def name(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in pairs])


def test_subjects() -> None:
    org = (NameOID.ORGANIZATION_NAME, "Org")
    tree = x509.DirectoryName(name(org))
    inside = name(org, (NameOID.COMMON_NAME, "a")).public_bytes()
    outside = name((NameOID.ORGANIZATION_NAME, "Other"), (NameOID.COMMON_NAME, "a")).public_bytes()
    permitted, excluded = x509.NameConstraints([tree], None), x509.NameConstraints(None, [tree])
    assert list(violations(inside, [], [permitted])) == []
    assert len(list(violations(outside, [], [permitted]))) == 1
    assert len(list(violations(inside, [], [excluded]))) == 1
    assert list(violations(outside, [], [excluded])) == []
    assert list(violations(NO_NAME, [], [permitted, excluded])) == []
    assert list(violations(outside, [], [x509.NameConstraints([DNS("example.com")], None)])) == []
    assert len(list(violations(b"\x30\x02\x05\x00", [], [permitted]))) == 1
