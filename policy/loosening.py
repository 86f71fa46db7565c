"""Profile-edit closure: in which ways a change of a gated profile loosens it. Pure.

A gated profile is a promise that people are asked. Whoever could edit it alone could first loosen it and then ask,
so a change that loosens waits for a second person. `DIRECTIONS` says for every field which way is tighter; a
difference that it cannot prove to be a tightening, in a field it does not know least of all, counts as loosening.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any, Final

from pydantic import BaseModel

from ca.names import Identifier, IdentifierType
from policy.identifier_rules import allows
from policy.profile_gates import ACMEMode, ApprovalCovers
from policy.profile_sections import SPIFFERule, path_matches
from policy.profile_subject import CommonName, SubjectField
from policy.profile_values import Network, write_duration
from policy.profiles import MustStaple, Profile

Direction = Callable[[Any, Any, Profile], Iterable[str]]
"""(old value, new value, old profile), the values differing -> what is looser, in words; nothing if it is tighter."""


def loosens(old: Profile | None, new: Profile | None) -> tuple[str, ...]:
    """Every way in which this change loosens a gated profile; empty when it may take effect at once.

    `old` None is a new profile, `new` None a deletion. A profile without approval has no gate to be loosened.
    """
    if old is None or not old.requires_approval:
        return ()
    if new is None:
        return (f"profile {old.name} is deleted, and with it the approvals it asks for",)
    return tuple(f"{path}: {words}" for path, words in _differences(old, new))


def _differences(old: Profile, new: Profile) -> Iterator[tuple[str, str]]:
    before, after = dict(fields_of(old)), dict(fields_of(new))
    for path in sorted(before.keys() | after.keys()):
        if new.approval is None and path.startswith("approval."):
            continue  # requires_approval says it all
        was, becomes = before.get(path), after.get(path)
        if was == becomes and type(was) is type(becomes):
            continue
        if path not in DIRECTIONS:
            yield path, "changes, and nobody has written down which way is tighter"
            continue
        for words in DIRECTIONS[path](was, becomes, old):
            yield path, words


def fields_of(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every field, sections followed; the paths are the keys of DIRECTIONS."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        path = f"{prefix}{name}"
        if isinstance(value, BaseModel):
            yield from fields_of(value, f"{path}.")
        else:
            yield path, value


def _any_change(old: Any, new: Any, _: Profile) -> Iterator[str]:
    yield f"was {_said(old)}, becomes {_said(new)}"


def _no_matter(_old: Any, _new: Any, _profile: Profile) -> Iterable[str]:
    return ()


def _may_shrink(old: Any, new: Any, _: Profile) -> Iterator[str]:
    if not (old is not None and new is not None and new < old):
        yield f"was {_said(old)}, becomes {_said(new)}"


def _may_grow(old: Any, new: Any, _: Profile) -> Iterator[str]:
    if not (old is not None and new is not None and new > old):
        yield f"was {_said(old)}, becomes {_said(new)}"


def _may_become(*tight: object) -> Direction:
    """Any change is looser except to one of these values."""

    def direction(old: Any, new: Any, _: Profile) -> Iterator[str]:
        if not any(new is value for value in tight):
            yield f"was {_said(old)}, becomes {_said(new)}"

    return direction


def _may_lose(old: tuple[Any, ...], new: tuple[Any, ...], _: Profile) -> Iterator[str]:
    for entry in new:
        if entry not in old:
            yield f"adds {_said(entry)}"


def _purposes_may_narrow(old: tuple[str, ...], new: tuple[str, ...], profile: Profile) -> Iterable[str]:
    # A certificate without the extension is good for every purpose (RFC 5280 4.2.1.12): no list is the widest one.
    if not new:
        return ("certificates are no longer limited to any purpose",)
    return _may_lose(old, new, profile) if old else ()


def _names_may_narrow(kind: IdentifierType) -> Direction:
    """Names that the old profile allowed anyway may be listed."""

    def direction(old: tuple[str, ...], new: tuple[str, ...], profile: Profile) -> Iterator[str]:
        for entry in new:
            if entry not in old and not allows(profile, Identifier(kind, entry)):
                yield f"adds {entry}"

    return direction


def _suffixes_may_narrow(old: tuple[str, ...], new: tuple[str, ...], profile: Profile) -> Iterator[str]:
    dns = profile.identifiers.dns
    for suffix in new:
        # What is below an allowed suffix is allowed, and so is what is below that; an exact name is not enough.
        if suffix not in old and not (dns.any or suffix.endswith(tuple(f".{wide}" for wide in old))):
            yield f"adds {suffix} and every name below it"


def _prefixes_may_narrow(old: tuple[str, ...], new: tuple[str, ...], _: Profile) -> Iterator[str]:
    for prefix in new:
        if not prefix.startswith(old):
            yield f"adds URIs below {prefix}"


def _within(inner: Network, outer: Iterable[Network]) -> bool:
    return any(
        inner.version == net.version
        and net.prefixlen <= inner.prefixlen
        and int(inner.network_address) & int(net.netmask) == int(net.network_address)
        for net in outer
    )


def _collapsed(networks: tuple[Network, ...]) -> list[Network]:
    """The same addresses in as few networks as possible, so that two halves count as the whole."""
    return [
        *collapse_addresses([net for net in networks if isinstance(net, IPv4Network)]),
        *collapse_addresses([net for net in networks if isinstance(net, IPv6Network)]),
    ]


def _networks_may_narrow(old: tuple[Network, ...], new: tuple[Network, ...], _: Profile) -> Iterator[str]:
    wide = _collapsed(old)
    for net in new:
        if not _within(net, wide):
            yield f"adds {net}"


def _networks_may_widen(old: tuple[Network, ...], new: tuple[Network, ...], _: Profile) -> Iterator[str]:
    wide = _collapsed(new)
    for net in old:
        if not _within(net, wide):
            yield f"no longer holds all of {net}"


def _spiffe_may_narrow(old: tuple[SPIFFERule, ...], new: tuple[SPIFFERule, ...], _: Profile) -> Iterator[str]:
    for rule in new:
        for pattern in rule.paths:
            covered = any(
                rule.trust_domain == wide.trust_domain
                and any(_pattern_within(pattern, p) for p in wide.paths)
                for wide in old
            )
            if not covered:
                yield f"adds spiffe://{rule.trust_domain}{pattern}"


def _pattern_within(narrow: str, wide: str) -> bool:
    if narrow == wide:
        return True
    parts = tuple(narrow.split("/")[1:])
    # A "**" of the narrow pattern is covered by nothing but a "**" of the wide one at or before its place.
    if parts[-1] == "**" and not wide.endswith("/**"):
        return False
    return path_matches(tuple(wide.split("/")[1:]), parts)


def _circle_may_not_change(old: str | None, new: str | None, _: Profile) -> Iterator[str]:
    yield f"other people decide: was {_said(old)}, becomes {_said(new)}"


def _said(value: object) -> str:
    match value:
        case timedelta():
            return write_duration(value)
        case True:
            return "true"
        case False:
            return "false"
        case None | ():
            return "nothing"
        case tuple():
            return ", ".join(map(_said, value))
        case _:
            return str(value)


DIRECTIONS: Final[dict[str, Direction]] = {
    "name": _any_change,
    "issuer": _any_change,
    "description": _no_matter,
    "key_usage": _may_lose,
    "extended_key_usage": _purposes_may_narrow,
    "must_staple": _may_become(MustStaple.ALWAYS),
    "requires_approval": _may_become(True),
    "keys.algorithms": _may_lose,
    "keys.rsa_min_bits": _may_grow,
    "keys.rsa_max_bits": _may_shrink,
    "keys.allow_reuse": _may_become(False),
    "validity.default": _may_shrink,
    "validity.max": _may_shrink,
    "validity.backdate": _may_shrink,
    "identifiers.dns.any": _may_become(False),
    "identifiers.dns.suffixes": _suffixes_may_narrow,
    "identifiers.dns.exact": _names_may_narrow(IdentifierType.DNS),
    "identifiers.dns.wildcards": _may_become(False),
    "identifiers.ip.networks": _networks_may_narrow,
    "identifiers.email.domains": _may_lose,
    "identifiers.email.addresses": _names_may_narrow(IdentifierType.EMAIL),
    "identifiers.uri.prefixes": _prefixes_may_narrow,
    "identifiers.uri.spiffe": _spiffe_may_narrow,
    "identifiers.max_names": _may_shrink,
    "subject.from_csr": _may_lose,
    **{f"subject.fixed.{field}": _any_change for field in SubjectField},
    "subject.common_name": _may_become(CommonName.OMIT),
    "approval.approvers": _may_grow,
    "approval.role": _circle_may_not_change,
    "approval.group": _circle_may_not_change,
    "approval.expires": _may_shrink,
    "approval.reuse_window": _may_shrink,
    "approval.covers": _may_become(ApprovalCovers.KEY),
    "acme.enabled": _may_become(False),
    "acme.mode": _may_become(ACMEMode.CHALLENGE),
    "acme.challenges": _may_lose,
    "acme.external_account_required": _may_become(True),
    "acme.trusted_without_external_account": _may_become(None),
    "acme.allowed_networks": _networks_may_narrow,
    "acme.denied_networks": _networks_may_widen,
    "acme.authorization_reuse": _may_shrink,
    "acme.order_lifetime": _may_shrink,
    "acme.caa": _may_become(True),
}
