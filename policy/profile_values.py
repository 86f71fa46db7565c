"""The single values a profile is written in: durations, networks, names, usages, and how each is read.

Every type here reads the text an operator writes, refuses what it does not understand in words that say what
to write instead, and writes the same value back in exactly one form, so that a profile has one digest.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator

from ca import der, oids
from ca.names import parse_identifier

Network = IPv4Network | IPv6Network

_UNITS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,9})([dhms])")
LONGEST: Final = timedelta(days=36525)
"""A hundred years: no duration in a profile is longer, so no date computed from one leaves the calendar."""


def read_duration(value: object) -> timedelta:
    """The time that `90d`, `36h`, `15m` or `30s` names; at most a hundred years. Raises ValueError."""
    if isinstance(value, timedelta):
        duration = value
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        duration = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    else:
        raise ValueError(
            'write a duration as text, one number and one unit of d, h, m, s: "90d", "36h", "15m"'
        )
    if duration < timedelta(0) or duration > LONGEST or duration.microseconds:
        raise ValueError("a duration lies between 0s and 36525d and counts whole seconds")
    return duration


def write_duration(duration: timedelta) -> str:
    """The one way to write it: the largest unit that divides it."""
    seconds = duration // timedelta(seconds=1)
    for unit, size in _UNITS.items():
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return "0s"


def read_network(value: object) -> Network:
    """An IPv4 or IPv6 network in CIDR form without host bits. Raises ValueError."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str) or "/" not in value or "%" in value:
        raise ValueError('write a network as text with its prefix length: "10.0.0.0/8", "2001:db8::/32"')
    return ip_network(value, strict=True)


def _text(check: Callable[[str], str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("write it as text in quotes")  # noqa: TRY004 - pydantic collects ValueError only
        return check(value)

    return read


def _dns_name(value: str) -> str:
    return parse_identifier("dns", value).value


def _dns_suffix(value: str) -> str:
    if value.startswith((".", "*")):
        raise ValueError(f'write the bare name: "{value.lstrip("*.")}" allows itself and every name below it')
    return _dns_name(value)


def _email_address(value: str) -> str:
    return parse_identifier("email", value).value


def _email_domain(value: str) -> str:
    if value.startswith((".", "*", "@")):
        raise ValueError("write the bare domain of the addresses")
    return _dns_name(value)


_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}:")


def _uri_prefix(value: str) -> str:
    if value.startswith("spiffe:"):
        raise ValueError(
            "write SPIFFE identities as identifiers.uri.spiffe = [{trust_domain = ..., paths = [...]}]"
        )
    if _SCHEME.fullmatch(value):
        return value
    if not value.endswith(("/", ":")):
        raise ValueError('end a URI prefix where a part ends, in "/" or ":", or "/dev" would allow "/devil"')
    # In the spelling that names are compared in: a prefix in any other would never match.
    return parse_identifier("uri", value).value


_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_SPIFFE_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+|\*")


def _trust_domain(value: str) -> str:
    if not _TRUST_DOMAIN.fullmatch(value):
        raise ValueError(
            'a SPIFFE trust domain is lower-case letters, digits, ".", "-", "_", without "spiffe://"'
        )
    return value


def _spiffe_path(value: str) -> str:
    segments = value.split("/")
    tail = segments[-1]
    fixed = segments[1:-1] if tail == "**" else segments[1:]
    if segments[0] or len(segments) < 2 or len(value) > 1000:
        raise ValueError('a SPIFFE path pattern starts with "/": "/ns/*/sa/*", "/hosts/**"')
    if any(part in {".", ".."} or not _SPIFFE_SEGMENT.fullmatch(part) for part in fixed):
        raise ValueError(
            'each part of a SPIFFE path pattern is letters, digits, ".", "-", "_"; or "*" for any one part; '
            'or, at the end, "**" for one or more parts'
        )
    return value


def _slug(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", value):
        raise ValueError("1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("one line of printable text")
    return value


KEY_USAGES: Final = tuple(name for name in oids.KEY_USAGE_BITS if name not in {"keyCertSign", "cRLSign"})
"""RFC 5280 4.2.1.3 without the usages of authorities: a profile describes subscribers."""


def _key_usage(value: str) -> str:
    if value not in KEY_USAGES:
        raise ValueError(f"one of {', '.join(KEY_USAGES)}")
    return value


def _purpose(value: str) -> str:
    value = oids.EXTENDED_KEY_USAGE_NAMES.get(value, value)
    if value == "anyExtendedKeyUsage":
        raise ValueError("anyExtendedKeyUsage would allow every purpose there is: name the purposes")
    if value in oids.EXTENDED_KEY_USAGES:
        return value
    try:
        if len(value) > 100:
            raise ValueError  # noqa: TRY301 - as long as no identifier is
        der.oid(value)
    except ValueError:
        known = ", ".join(name for name in oids.EXTENDED_KEY_USAGES if name != "anyExtendedKeyUsage")
        raise ValueError(f"one of {known}, or a dotted object identifier") from None
    return value


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"written twice: {', '.join(twice)}")
    return values


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("write at least one")
    return values


MOST_ENTRIES: Final = 1000
"""No list in a profile is longer."""

Once = (Field(max_length=MOST_ENTRIES), AfterValidator(_once))
OnceAtLeast = (*Once, AfterValidator(_not_empty))

Duration = Annotated[
    timedelta,
    PlainValidator(read_duration, json_schema_input_type=str),
    PlainSerializer(write_duration, return_type=str),
]
IPNetwork = Annotated[
    Network, PlainValidator(read_network, json_schema_input_type=str), PlainSerializer(str, return_type=str)
]
DNSName = Annotated[str, PlainValidator(_text(_dns_name), json_schema_input_type=str)]
DNSSuffix = Annotated[str, PlainValidator(_text(_dns_suffix), json_schema_input_type=str)]
EmailAddress = Annotated[str, PlainValidator(_text(_email_address), json_schema_input_type=str)]
EmailDomain = Annotated[str, PlainValidator(_text(_email_domain), json_schema_input_type=str)]
URIPrefix = Annotated[str, PlainValidator(_text(_uri_prefix), json_schema_input_type=str)]
TrustDomain = Annotated[str, PlainValidator(_text(_trust_domain), json_schema_input_type=str)]
SPIFFEPath = Annotated[str, PlainValidator(_text(_spiffe_path), json_schema_input_type=str)]
Slug = Annotated[str, PlainValidator(_text(_slug), json_schema_input_type=str)]
KeyUsage = Annotated[str, PlainValidator(_text(_key_usage), json_schema_input_type=str)]
Purpose = Annotated[str, PlainValidator(_text(_purpose), json_schema_input_type=str)]
Line = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
