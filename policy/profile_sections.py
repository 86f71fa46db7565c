"""Sections of a profile: keys, validity, identifiers; `profile_subject` and `profile_gates` hold the others.

A section refuses what cannot mean anything when it is built: a contradiction dies at `certctl apply`, not when
the first client comes. What needs two sections to be judged stands in `policy.profiles`.
"""

from datetime import timedelta
from functools import cached_property
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ca.keys import KeyAlgorithm
from policy.profile_values import (
    DNSName,
    DNSSuffix,
    Duration,
    EmailAddress,
    EmailDomain,
    IPNetwork,
    Network,
    Once,
    OnceAtLeast,
    SPIFFEPath,
    TrustDomain,
    URIPrefix,
)


class Section(BaseModel):
    """Unknown fields, wrong types and later changes are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class KeyRules(Section):
    """Which public keys may be certified."""

    algorithms: Annotated[tuple[KeyAlgorithm, ...], *OnceAtLeast] = (
        KeyAlgorithm.RSA,
        KeyAlgorithm.P256,
        KeyAlgorithm.P384,
        KeyAlgorithm.P521,
        KeyAlgorithm.ED25519,
    )
    rsa_min_bits: int = Field(default=2048, ge=2048, le=8192)
    rsa_max_bits: int = Field(default=4096, ge=2048, le=8192)
    allow_reuse: bool = True
    """False: a key that stands in an earlier certificate is refused, so every renewal brings a new key."""

    @model_validator(mode="after")
    def _sizes_in_order(self) -> Self:
        if self.rsa_min_bits > self.rsa_max_bits:
            raise ValueError("rsa_min_bits is larger than rsa_max_bits: no RSA key could be allowed")
        return self

    @cached_property
    def allowed(self) -> frozenset[KeyAlgorithm]:
        return frozenset(self.algorithms)


class ValidityRules(Section):
    """How long a certificate lives: spans are not_after - not_before."""

    default: Duration = timedelta(days=90)
    max: Duration = timedelta(days=90)
    backdate: Duration = timedelta(hours=1)
    """How far not_before lies before the moment of issuing, for clients whose clocks are slow."""

    @model_validator(mode="after")
    def _spans_in_order(self) -> Self:
        if self.default > self.max:
            raise ValueError("default is longer than max")
        if self.backdate >= self.default:
            raise ValueError("backdate must be shorter than default, or certificates would be born expired")
        return self


class DNSRules(Section):
    """Which DNS names. A suffix allows itself and every name below it, as in RFC 5280 4.2.1.10."""

    any: bool = False
    suffixes: Annotated[tuple[DNSSuffix, ...], *Once] = ()
    exact: Annotated[tuple[DNSName, ...], *Once] = ()
    wildcards: bool = False
    """Whether `*.x` may be asked for: where the suffixes (or `any`) allow x, or `*.x` itself is in exact."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.any and (self.suffixes or self.exact):
            raise ValueError("any = true already allows every name: remove suffixes and exact, or remove any")
        if not self.wildcards and any(name.startswith("*.") for name in self.exact):
            raise ValueError("exact holds a wildcard while wildcards = false")
        if self.wildcards and not (self.any or self.suffixes or any(n.startswith("*.") for n in self.exact)):
            raise ValueError('wildcards = true allows nothing without any, suffixes or an exact "*." name')
        return self

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(self.exact)

    @cached_property
    def _suffixes(self) -> frozenset[str]:
        return frozenset(self.suffixes)

    @cached_property
    def _dotted_suffixes(self) -> tuple[str, ...]:
        return tuple(f".{suffix}" for suffix in self.suffixes)

    def allows(self, name: str) -> bool:
        """Whether this canonical name may stand in a certificate."""
        base = name
        if name.startswith("*."):
            if not self.wildcards:
                return False
            base = name[2:]
        return (
            self.any or name in self._exact or base in self._suffixes or base.endswith(self._dotted_suffixes)
        )


class IPRules(Section):
    """Which IP addresses."""

    networks: Annotated[tuple[IPNetwork, ...], *Once] = ()

    @cached_property
    def spans(self) -> "NetworkSet":
        return NetworkSet(self.networks)


class NetworkSet:
    """Networks as pairs of integers, so that a question costs no object per network."""

    __slots__ = ("_spans",)

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._spans: Final = tuple(
            (net.version, int(net.network_address), int(net.netmask)) for net in networks
        )

    def holds(self, version: int, address: int) -> bool:
        """Whether the address (4 or 6, as an integer) lies in one of the networks."""
        return any(v == version and address & mask == base for v, base, mask in self._spans)


class EmailRules(Section):
    """Which mailboxes: every address at a domain (not at those below it), or an address."""

    domains: Annotated[tuple[EmailDomain, ...], *Once] = ()
    addresses: Annotated[tuple[EmailAddress, ...], *Once] = ()

    def allows(self, address: str) -> bool:
        """Whether this canonical address may stand in a certificate."""
        return address in self.addresses or address.rpartition("@")[2] in self.domains


class SPIFFERule(Section):
    """SPIFFE identities of one trust domain. In a pattern `*` is one part, a final `**` one or more."""

    trust_domain: TrustDomain
    paths: Annotated[tuple[SPIFFEPath, ...], *OnceAtLeast]

    def allows(self, trust_domain: str, path: tuple[str, ...]) -> bool:
        """Whether one of the patterns matches the path, given as its parts."""
        return trust_domain == self.trust_domain and any(
            path_matches(tuple(pattern.split("/")[1:]), path) for pattern in self.paths
        )


def path_matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Whether every part of the path is the pattern's, `*`, or under its final `**`."""
    if pattern[-1] == "**":
        fixed = pattern[:-1]
        if len(path) <= len(fixed):
            return False
    elif len(path) != len(pattern):
        return False
    else:
        fixed = pattern
    return all(want in ("*", part) for want, part in zip(fixed, path, strict=False))


class URIRules(Section):
    """Which URIs: below a prefix, or SPIFFE identities."""

    prefixes: Annotated[tuple[URIPrefix, ...], *Once] = ()
    spiffe: Annotated[tuple[SPIFFERule, ...], *Once] = ()


class IdentifierRules(Section):
    """Which names a certificate may carry: what no section allows is refused."""

    dns: DNSRules = DNSRules()
    ip: IPRules = IPRules()
    email: EmailRules = EmailRules()
    uri: URIRules = URIRules()
    max_names: int = Field(default=100, ge=1, le=1000)

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        dns, email, uri = self.dns, self.email, self.uri
        if not (
            dns.any
            or dns.suffixes
            or dns.exact
            or self.ip.networks
            or email.domains
            or email.addresses
            or uri.prefixes
            or uri.spiffe
        ):
            raise ValueError(
                'no name is allowed: write what may be certified, e.g. dns = {suffixes = ["a.example"]}'
            )
        return self
