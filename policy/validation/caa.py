"""CAA: whom the owner of a name lets issue for it (RFC 8659), with RFC 8657's account and method binding."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ca.names import Identifier, IdentifierType
from policy.validation.addresses import Check
from policy.validation.dns_client import Outcome
from policy.validation.dns_wire import RRType
from policy.validation.problems import Problem, ValidationFailed, excerpt

_KNOWN: Final = frozenset(
    {"issue", "issuewild", "issuemail", "issuevmc", "iodef", "contactemail", "contactphone"}
)
_TAG: Final = re.compile(rb"[A-Za-z0-9]+")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_PARAMETER: Final = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]*)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class CAARequest:
    """Who would issue, and how control was shown: the issuer's CAA domains, the account's URL, the challenge type.

    ``account_uri`` or ``method`` None: a record that demands one is not satisfied.
    """

    issuer_domains: frozenset[str]
    account_uri: str | None = None
    method: str | None = None

    def __post_init__(self) -> None:
        if not self.issuer_domains or any(not _DOMAIN.fullmatch(d) for d in self.issuer_domains):
            raise ValueError("issuer_domains must be lower-case domain names, at least one")


@dataclass(frozen=True, slots=True)
class Property:
    """One CAA record taken apart (RFC 8659 4.1)."""

    critical: bool
    tag: str
    value: str


async def check_caa(check: Check, identifier: Identifier, request: CAARequest) -> None:
    """Climbs from the name towards the root to the first CAA records and judges by these; none at all permits.

    Raises:
        ValidationFailed: ``caa`` when they forbid it, ``dns`` when a lookup fails (it could have forbidden it).
    """
    if identifier.type != IdentifierType.DNS:
        return
    name = identifier.value.removeprefix("*.")
    wildcard = identifier.value.startswith("*.")
    labels = name.split(".")
    for depth in range(len(labels)):
        place = ".".join(labels[depth:])
        answer = await check.names.records(place, RRType.CAA, deadline=check.deadline, trail=check.trail)
        if answer.outcome is Outcome.FAILED:
            raise answer.failure()
        if answer.records:
            judge(place, [_property(place, rdata) for rdata in answer.records], request, wildcard=wildcard)
            return


def judge(place: str, properties: Sequence[Property], request: CAARequest, *, wildcard: bool) -> None:
    """Returns when these records permit it (RFC 8659 4.2, 4.3; RFC 8657 3, 4).

    Raises:
        ValidationFailed: ``caa``, naming the record that forbids.
    """
    for one in properties:
        if one.critical and one.tag not in _KNOWN:
            raise ValidationFailed(
                Problem.CAA, f"CAA of {place} has a critical property that is not understood: {one.tag[:32]}"
            )
    relevant = [one.value for one in properties if one.tag == "issue"]
    if wildcard:
        relevant = [one.value for one in properties if one.tag == "issuewild"] or relevant
    if not relevant or any(_permits(value, request) for value in relevant):
        return
    ours = ", ".join(sorted(request.issuer_domains))
    shown = ", ".join(excerpt(value.encode()) for value in relevant[:4])
    raise ValidationFailed(
        Problem.CAA,
        f"CAA of {place} permits {shown}; none of these is this issuer ({ours}) with this account and method",
    )


def _property(place: str, rdata: bytes) -> Property:
    end = 2 + (rdata[1] if len(rdata) > 1 else 0)
    tag = rdata[2:end]
    if len(rdata) < 3 or end > len(rdata) or not _TAG.fullmatch(tag):
        raise ValidationFailed(Problem.CAA, f"a CAA record of {place} is malformed")
    return Property(
        bool(rdata[0] & 0x80), tag.decode("ascii").lower(), rdata[end:].decode("ascii", "backslashreplace")
    )


def _permits(value: str, request: CAARequest) -> bool:
    """Whether one issue or issuewild value names us; a value that breaks the grammar names nobody (RFC 8659 4.2)."""
    domain, *parameters = value.split(";")
    if domain.strip(" \t").lower() not in request.issuer_domains:
        return False
    for text in parameters:
        if not text.strip(" \t"):
            continue
        match = _PARAMETER.fullmatch(text.strip(" \t"))
        if match is None:
            return False
        key, wanted = match[1].lower(), match[2]
        if key == "accounturi" and wanted != request.account_uri:
            return False
        if key == "validationmethods" and request.method not in wanted.split(","):
            return False
    return True
