"""One name, one spelling; what is no name is refused in words."""

import contextlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.names import Identifier, IdentifierType, NameRefused, parse_identifier, parse_ip_octets

TYPES = st.sampled_from([kind.value for kind in IdentifierType])
NAME_TEXT = st.text("aZ09.-*xn:/@%[]_#?é\x00 ~", max_size=60) | st.text(max_size=40)


@given(TYPES, NAME_TEXT)
def test_whatever_is_accepted_is_its_own_canonical_spelling(kind: str, text: str) -> None:
    with contextlib.suppress(NameRefused):
        first = parse_identifier(kind, text)
        assert parse_identifier(kind, first.value) == first
        assert first.value.isascii()
        assert first.value.isprintable()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Example.COM", "example.com"),
        ("*.Example.com", "*.example.com"),
        ("localhost", "localhost"),
        ("a-b.c--d.example", "a-b.c--d.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1.example", "1.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        (".".join(["a" * 49] * 5) + ".abc", ".".join(["a" * 49] * 5) + ".abc"),
    ],
)
def test_dns_names(text: str, value: str) -> None:
    assert parse_identifier("dns", text) == Identifier(IdentifierType.DNS, value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (".", "dot"),
        ("example.com.", "ends with a dot"),
        ("a..b", "empty label"),
        (".a", "empty label"),
        ("a_b.example", "letters, digits"),
        ("-a.example", "letters, digits"),
        ("a-.example", "letters, digits"),
        ("a b", "letters, digits"),
        ("a\n", "letters, digits"),
        ("a.example\x00.evil", "letters, digits"),
        ("*", "wildcard"),
        ("*.", "dot"),
        ("a*.example", "wildcard"),
        ("*a.example", "wildcard"),
        ("a.*.example", "wildcard"),
        ("*.*.example", "wildcard"),
        ("a" * 64 + ".example", "63"),
        (".".join(["a" * 49] * 5) + ".abcd", "253"),
        ("bücher.example", "A-labels"),
        ("\u212aelvin.example", "A-labels"),  # KELVIN SIGN: str.lower() would fold it into k
        ("192.0.2.1", "IP address"),
        ("*.0.2.1", "IP address"),
        ("a.0x7f", "IP address"),
        ("12345", "IP address"),
        ("xn--.example", "letters, digits"),
        ("xn--zz.example", "A-label"),
        ("xn--99999999.example", "A-label"),
    ],
)
def test_refused_dns_names(text: str, words: str) -> None:
    with pytest.raises(NameRefused, match=words):
        parse_identifier("dns", text)


def test_a_name_that_was_refused_is_refused_again() -> None:
    """What is kept of earlier calls are names, never refusals, and never another spelling's answer."""
    for _ in range(2):
        with pytest.raises(NameRefused, match="inner hyphens"):
            parse_identifier("dns", "a_b.example")
    assert parse_identifier("dns", "A.example") == parse_identifier("dns", "a.example")
    with pytest.raises(NameRefused, match="ends with a dot"):
        parse_identifier("dns", "a.example.")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::1", "::1"),
        ("2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"),
    ],
)
def test_ip_addresses(text: str, value: str) -> None:
    assert parse_identifier("ip", text) == Identifier(IdentifierType.IP, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2",
        "192.0.2.01",
        "192.0.2.0/24",
        "fe80::1%eth0",
        "::ffff:192.0.2.1",
        "[::1]",
        " ::1",
        "1" * 100,
    ],
)
def test_refused_ip_addresses(text: str) -> None:
    with pytest.raises(NameRefused, match=r"not an IP address|maps an IPv4"):
        parse_identifier("ip", text)


@given(st.ip_addresses())
def test_ip_octets(address: object) -> None:
    with contextlib.suppress(NameRefused):  # IPv4-mapped
        assert ip_address(parse_ip_octets(ip_address(str(address)).packed).value) == address


@pytest.mark.parametrize("octets", [b"", b"\x01\x02\x03", bytes(5), bytes(8), bytes(32)])
def test_ip_octets_of_no_address(octets: bytes) -> None:
    with pytest.raises(NameRefused):
        parse_ip_octets(octets)


@pytest.mark.parametrize(
    ("text", "value"),
    [("Jo.Do+x@Example.COM", "Jo.Do+x@example.com"), ("a@localhost", "a@localhost")],
)
def test_mail_addresses(text: str, value: str) -> None:
    assert parse_identifier("email", text) == Identifier(IdentifierType.EMAIL, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@example.com",
        "a@",
        "a@b@example.com",
        '"a b"@example.com',
        "a..b@example.com",
        ".a@example.com",
        "é@example.com",
        "a@*.example.com",
        "a@[192.0.2.1]",
        "a@192.0.2.1",
        "a\x00@example.com",
        "a" * 65 + "@example.com",
        "Jo <a@example.com>",
    ],
)
def test_refused_mail_addresses(text: str) -> None:
    with pytest.raises(NameRefused, match="mail address"):
        parse_identifier("email", text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("HTTPS://Example.COM:8443/A?b#c", "https://example.com:8443/A?b#c"),
        ("http://192.0.2.1/", "http://192.0.2.1/"),
        ("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]:80/x"),
        ("urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"),
        ("spiffe://Example.org/ns/a/sa/b", "spiffe://example.org/ns/a/sa/b"),
        ("spiffe://example_1.org", "spiffe://example_1.org"),
        ("https://example.com/a%20b", "https://example.com/a%20b"),
    ],
)
def test_uris(text: str, value: str) -> None:
    assert parse_identifier("uri", text) == Identifier(IdentifierType.URI, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/path",
        "example.com",
        "https:",
        "https://",
        "https:///path",
        "https:/path",
        "https://user@example.com/",
        "https://example.com@evil.example/",
        "https://exa mple.com/",
        "https://example.com/a b",
        "https://example.com/é",
        "https://example.com/a/../b",
        "https://example.com/.",
        "https://example.com/%2e%2e/b",
        "https://example.com/%2E%2E/b",
        "https://example.com/%41",
        "https://example.com/%zz",
        "https://example.com/%e4",
        "https://example.com/\x00",
        "https://example.com/\n",
        "https://example.com/a#b#c",
        "https://a_b.example/",
        "https://*.example.com/",
        "https://1.2.3/",
        "https://example.com:x/",
        "https://[::1/",
        "https://" + "a" * 2050,
        "1ttp://example.com",
        "spiffe:example.org/x",
        "spiffe://example.org/",
        "spiffe://example.org/a//b",
        "spiffe://example.org/a/",
        "spiffe://example.org/../b",
        "spiffe://example.org/a?b",
        "spiffe://example.org:80/a",
        "spiffe://user@example.org/a",
        "spiffe:///a",
    ],
)
def test_refused_uris(text: str) -> None:
    with pytest.raises(NameRefused):
        parse_identifier("uri", text)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(NameRefused, match="onion"):
        parse_identifier("onion", "x")


def test_refusals_show_strange_text_in_ascii_and_short() -> None:
    with pytest.raises(NameRefused) as refused:
        parse_identifier("dns", "é\x1b" * 5000)
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000
