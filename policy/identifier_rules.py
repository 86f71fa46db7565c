"""Which identifiers a profile allows, and which of its challenges can prove one. Pure; used at newOrder already."""

from collections.abc import Collection, Iterable
from ipaddress import ip_address
from typing import Final

from ca.names import Identifier, IdentifierType
from policy.profile_gates import ChallengeType
from policy.profile_sections import URIRules
from policy.profiles import Profile
from policy.reasons import Reason, ReasonCode

_ORDER: Final = {kind: place for place, kind in enumerate(IdentifierType)}


def in_order(identifiers: Iterable[Identifier]) -> tuple[Identifier, ...]:
    """The identifiers in the one order that certificates list them: by type, then name, a wildcard after its base."""
    found = tuple(identifiers)
    if len(found) < 2:
        return found
    return tuple(
        sorted(found, key=lambda i: (_ORDER[i.type], i.value.removeprefix("*."), i.value[:2] == "*."))
    )


def check_identifiers(profile: Profile, identifiers: Collection[Identifier]) -> tuple[Reason, ...]:
    """Everything that speaks against these names under the profile; empty when it allows them all."""
    reasons: list[Reason] = []
    if not identifiers:
        reasons.append(Reason(ReasonCode.NO_NAMES, "a certificate needs at least one name"))
    most = profile.identifiers.max_names
    if len(identifiers) > most:
        # Nothing is said name by name here: the answer stays small whatever was sent.
        words = (
            f"{len(identifiers)} names are asked for; profile {profile.name} allows {most} in one certificate"
        )
        return (Reason(ReasonCode.TOO_MANY_NAMES, words),)
    reasons += [
        Reason(ReasonCode.NAME_NOT_ALLOWED, f"profile {profile.name} does not allow {_said(name)}", name)
        for name in in_order([name for name in identifiers if not allows(profile, name)])
    ]
    uris = [name for name in identifiers if name.type is IdentifierType.URI]
    if len(uris) > 1:
        reasons += [
            Reason(
                ReasonCode.NAME_NOT_ALLOWED, "a SPIFFE identity must be the only URI of its certificate", name
            )
            for name in in_order(uris)
            if name.value.startswith("spiffe:")
        ]
    return tuple(reasons)


def allows(profile: Profile, name: Identifier) -> bool:
    """Whether the profile allows this one (canonical) identifier."""
    rules = profile.identifiers
    match name.type:
        case IdentifierType.DNS:
            return rules.dns.allows(name.value)
        case IdentifierType.IP:
            try:
                address = ip_address(name.value)
            except ValueError:
                return False
            return rules.ip.spans.holds(address.version, int(address))
        case IdentifierType.EMAIL:
            return rules.email.allows(name.value)
        case IdentifierType.URI:
            return _allows_uri(rules.uri, name.value)


def _allows_uri(rules: URIRules, uri: str) -> bool:
    """A canonical URI has no dot segment and no user name, so what begins with a prefix lies below it."""
    if not uri.startswith("spiffe:"):
        return uri.startswith(rules.prefixes)
    trust_domain, *path = uri.removeprefix("spiffe://").split("/")
    return any(rule.allows(trust_domain, tuple(path)) for rule in rules.spiffe)


def _said(name: Identifier) -> str:
    kind = {"dns": "the name", "ip": "the address", "email": "the mailbox", "uri": "the URI"}[name.type]
    return f"{kind} {name.value}"


def provable_by(profile: Profile, name: Identifier) -> tuple[ChallengeType, ...]:
    """The profile's challenges that can prove control of this name.

    A wildcard is proved by dns-01 alone (RFC 8555 8.3, RFC 8737 3), an address never by it (RFC 8738 7);
    mailboxes and URIs have no challenge here.
    """
    if name.type == IdentifierType.IP:
        unfit = {ChallengeType.DNS_01}
    elif name.type != IdentifierType.DNS:
        return ()
    elif name.value.startswith("*."):
        unfit = {ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01}
    else:
        return profile.acme.challenges
    return tuple(challenge for challenge in profile.acme.challenges if challenge not in unfit)


def check_provable(profile: Profile, identifiers: Iterable[Identifier]) -> tuple[Reason, ...]:
    """A reason for each name that no challenge of the profile can prove (for mode = "challenge")."""
    unprovable = [name for name in identifiers if not provable_by(profile, name)]
    if not unprovable:
        return ()
    offered = ", ".join(profile.acme.challenges)
    return tuple(
        Reason(
            ReasonCode.NAME_NOT_PROVABLE,
            f"none of the challenges of profile {profile.name} ({offered}) can prove {_said(name)}",
            name,
        )
        for name in in_order(unprovable)
    )
