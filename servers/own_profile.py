"""The names by which clients reach this server, and the profile under which it certifies itself."""

import socket
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from ca.keys import KeyAlgorithm
from ca.names import Identifier, IdentifierType, NameRefused, parse_identifier
from policy.identifier_rules import allows
from policy.profile_gates import ACMERules
from policy.profile_sections import DNSRules, IdentifierRules, IPRules, KeyRules
from policy.profile_subject import CommonName, SubjectRules
from policy.profiles import Profile
from servers.settings import Settings

NAME: Final = "server-tls"
_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")


def own_names(settings: Settings) -> frozenset[Identifier]:
    """Every name that the server answers to: what clients are told, loopback, and the host's own."""
    external = urlsplit(settings.external_url).hostname or ""
    found = (
        _identifier(text) for text in (external, settings.server.https.host, *_ALWAYS, socket.gethostname())
    )
    return frozenset(one for one in found if one is not None)


def own_profile(settings: Settings) -> Profile:
    """A profile that allows these names, and is not offered over ACME."""
    return Profile(
        name=NAME,
        issuer="issuing",
        description="The certificate of this server itself, renewed by itself",
        keys=KeyRules(algorithms=(KeyAlgorithm.P256,), allow_reuse=False),
        subject=SubjectRules(common_name=CommonName.FIRST_NAME),
        identifiers=_exactly(own_names(settings)),
        acme=ACMERules(enabled=False),
    )


def allowing(profile: Profile, names: frozenset[Identifier]) -> Profile:
    """`profile`, unchanged if it allows `names`, else with those that it lacks."""
    lacking = frozenset(name for name in names if not allows(profile, name))
    if not lacking:
        return profile
    more, rules = _exactly(lacking), profile.identifiers
    dns = rules.dns.model_copy(update={"exact": (*rules.dns.exact, *more.dns.exact)})
    ip = rules.ip.model_copy(update={"networks": (*rules.ip.networks, *more.ip.networks)})
    # Rebuilt, not copied: whatever speaks against the widened profile must be said here.
    identifiers = rules.model_copy(update={"dns": dns, "ip": ip})
    return Profile.model_validate(profile.model_copy(update={"identifiers": identifiers}).model_dump())


def _exactly(names: frozenset[Identifier]) -> IdentifierRules:
    return IdentifierRules(
        dns=DNSRules(exact=tuple(sorted(n.value for n in names if n.type is IdentifierType.DNS))),
        ip=IPRules(networks=tuple(ip_network(n.value) for n in sorted(names) if n.type is IdentifierType.IP)),
    )


def _identifier(text: str) -> Identifier | None:
    """The name that `text` is; None for what cannot stand in a certificate (0.0.0.0, a host name with underscores)."""
    try:
        if ip_address(text).is_unspecified:
            return None
        return parse_identifier("ip", text)
    except ValueError:
        pass
    try:
        return parse_identifier("dns", text)
    except NameRefused:
        return None
