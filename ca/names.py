"""The names certificates carry, each in one canonical spelling: two identifiers are the same iff they are equal.

DNS names are lower-case A-labels (RFC 5280 4.2.1.6 with the preferred syntax of RFC 1034 3.5; a wildcard only as the
whole left-most label, RFC 9525 6.3), IP addresses the text of RFC 5952, mail addresses have a lower-case domain
(RFC 5280 7.5), URIs a lower-case scheme and host (RFC 3986 6.2.2.1).
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple


class IdentifierType(StrEnum):
    """The kinds of subject alternative name that this authority issues for."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"


class Identifier(NamedTuple):
    """One canonical name. Make it with `parse_identifier`; the tuple itself checks nothing."""

    type: IdentifierType
    value: str

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"


class NameRefused(ValueError):
    """The text is no name of its kind; the message says why, in words for the person who asked."""


MAX_DNS: Final = 253
MAX_EMAIL: Final = 254
MAX_URI: Final = 2048

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# What resolvers and browsers read as (part of) an IPv4 address: a last label of digits, or a hexadecimal one.
_NUMBER: Final = r"(?:[0-9]+|0x[0-9a-f]*)"
_NUMERIC: Final = re.compile(_NUMBER)
_DNS: Final = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)*(?!{_NUMBER}\Z){_LABEL}")
_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}")
_URI_REST: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]|%[0-9A-F]{2})+")
_ENCODED_UNRESERVED: Final = re.compile(r"%(?:2D|2E|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])")
_SPIFFE: Final = re.compile(r"[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)*")


def parse_identifier(type: str, value: str) -> Identifier:  # noqa: A002 - the RFC 8555 member is called so
    """The canonical identifier of this type and text; NameRefused when there is none."""
    parser = _PARSERS.get(type)
    if parser is None:
        raise NameRefused(f"identifiers of type {_shown(type)} are not issued here")
    return parser(value)


# Kept because an order, its authorizations, its request and its certificate all have the same names.
@lru_cache(maxsize=1024)
def parse_dns(value: str) -> Identifier:
    """A DNS name, with or without a wildcard label; a single label is a name too (local networks have them)."""
    name = value.lower() if value.isascii() else value
    if len(name) <= MAX_DNS and _DNS.fullmatch(name):
        if "xn--" in name:
            _check_a_labels(name)
        return Identifier(IdentifierType.DNS, name)
    raise NameRefused(f"{_shown(value)} is not a DNS name: {_dns_fault(name)}")


def parse_ip(value: str) -> Identifier:
    """An IPv4 or IPv6 address, without port, zone or prefix."""
    if len(value) > 45 or "%" in value:
        raise NameRefused(f"{_shown(value)} is not an IP address")
    try:
        address = ip_address(value)
    except ValueError:
        raise NameRefused(f"{_shown(value)} is not an IP address") from None
    return _ip_identifier(address)


def parse_ip_octets(octets: bytes) -> Identifier:
    """The address in the 4 or 16 octets of an iPAddress name (RFC 5280 4.2.1.6)."""
    if len(octets) == 4:
        return _ip_identifier(IPv4Address(octets))
    if len(octets) == 16:
        return _ip_identifier(IPv6Address(octets))
    raise NameRefused("an IP address of neither 4 nor 16 octets")


def parse_email(value: str) -> Identifier:
    """A mail address: dot-atom, at sign, DNS name (RFC 5280 4.2.1.6). The local part keeps its case (RFC 5321 2.4)."""
    local, at, domain = value.rpartition("@")
    if not at or len(value) > MAX_EMAIL or len(local) > 64 or not _LOCAL_PART.fullmatch(local):
        raise NameRefused(f"{_shown(value)} is not a mail address")
    if domain.startswith("*"):
        raise NameRefused(f"{_shown(value)} is not a mail address: no wildcard in its domain")
    try:
        host = parse_dns(domain)
    except NameRefused as refused:
        raise NameRefused(f"{_shown(value)} is not a mail address: {refused}") from None
    return Identifier(IdentifierType.EMAIL, f"{local}@{host.value}")


def parse_uri(value: str) -> Identifier:
    """An absolute URI of at most 2048 octets (RFC 3986); with an authority, that is a host name or address (RFC 5280 4.2.1.6).

    Spellings that other software would fold into another URI are refused rather than folded: dot segments, escapes
    of unreserved characters, user names. `spiffe` follows the stricter rules of the SPIFFE ID standard.
    """
    scheme, colon, rest = value.partition(":")
    if not colon or len(value) > MAX_URI or not _SCHEME.fullmatch(scheme):
        raise NameRefused(f"{_shown(value)} is not an absolute URI")
    scheme = scheme.lower()
    if scheme == "spiffe":
        return _parse_spiffe(value, rest)
    if not _URI_REST.fullmatch(rest) or _ENCODED_UNRESERVED.search(rest):
        raise NameRefused(f"{_shown(value)} is not a URI in its normal form")
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    if any(segment in (".", "..") for segment in path.split("/")):
        raise NameRefused(f"{_shown(value)} has a dot segment in its path")
    if rest.startswith("//"):
        authority = re.split(r"[/?#]", rest[2:], maxsplit=1)[0]
        rest = f"//{_authority(value, authority)}{rest[2 + len(authority) :]}"
    elif rest.startswith("/"):
        raise NameRefused(f"{_shown(value)} has no authority")
    if rest.count("#") > 1:
        raise NameRefused(f"{_shown(value)} is not a URI in its normal form")
    return Identifier(IdentifierType.URI, f"{scheme}:{rest}")


_PARSERS: Final[dict[str, Callable[[str], Identifier]]] = {
    IdentifierType.DNS.value: parse_dns,
    IdentifierType.IP.value: parse_ip,
    IdentifierType.EMAIL.value: parse_email,
    IdentifierType.URI.value: parse_uri,
}


def _ip_identifier(address: IPv4Address | IPv6Address) -> Identifier:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        # One host under two families would let a rule about the one be passed by with the other.
        raise NameRefused(f"{address} maps an IPv4 address: ask for {address.ipv4_mapped}")
    return Identifier(IdentifierType.IP, str(address))


def _parse_spiffe(value: str, rest: str) -> Identifier:
    body = rest[2:]
    domain, slash, path = body.partition("/")
    body = domain.lower() + slash + path
    if not rest.startswith("//") or not _SPIFFE.fullmatch(body):
        raise NameRefused(f"{_shown(value)} is not a SPIFFE ID")
    if any(segment in (".", "..") for segment in path.split("/")):
        raise NameRefused(f"{_shown(value)} has a dot segment in its path")
    return Identifier(IdentifierType.URI, f"spiffe://{body}")


def _authority(value: str, authority: str) -> str:
    if "@" in authority:
        raise NameRefused(f"{_shown(value)} names a user: a certificate URI has none")
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](:[0-9]{1,5})?", authority)
    plain = re.fullmatch(r"([A-Za-z0-9.-]+)(:[0-9]{1,5})?", authority)
    try:
        if bracketed:
            return f"[{parse_ip(bracketed[1]).value}]{bracketed[2] or ''}"
        if plain:
            last = plain[1].rpartition(".")[2]
            host = parse_ip(plain[1]) if _NUMERIC.fullmatch(last.lower()) else parse_dns(plain[1])
            return f"{host.value}{plain[2] or ''}"
    except NameRefused as refused:
        raise NameRefused(f"{_shown(value)} has no usable host: {refused}") from None
    raise NameRefused(f"{_shown(value)} has no usable host")


def _check_a_labels(name: str) -> None:
    """Refuse an `xn--` label that is not the Punycode of anything (RFC 5890 2.3.2.1: a fake A-label)."""
    for label in name.split("."):
        if not label.startswith("xn--"):
            continue
        try:
            text = label[4:].encode("ascii").decode("punycode")
            honest = not text.isascii() and text.encode("punycode") == label[4:].encode("ascii")
        except (UnicodeError, IndexError, OverflowError):
            honest = False
        if not honest:
            raise NameRefused(f"the label {_shown(label)} is not a valid A-label")


def _dns_fault(name: str) -> str:
    labels = name.split(".")
    faults = (
        (not name.isascii(), "write it as A-labels (xn--...)"),
        (not name, "it is empty"),
        (len(name) > MAX_DNS, f"it has more than {MAX_DNS} octets"),
        (name.endswith("."), "it ends with a dot"),
        ("*" in name.removeprefix("*."), "a wildcard is the whole left-most label or nothing"),
        ("" in labels, "it has an empty label"),
        (max(map(len, labels)) > 63, "it has a label of more than 63 octets"),
        (_NUMERIC.fullmatch(labels[-1]) is not None, "it looks like an IP address"),
    )
    for present, words in faults:
        if present:
            return words
    return "labels consist of letters, digits and inner hyphens"


def _shown(value: str) -> str:
    """`value` for a message: quoted, in ASCII, short."""
    return ascii(value if len(value) <= 80 else value[:77] + "...")
