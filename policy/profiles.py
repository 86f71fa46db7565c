"""A profile: one immutable version of what may be issued, how it is decided, and by whom.

`Profile` is the whole definition. It is written by operators as TOML (`parse_toml`, `to_toml`) and kept as
canonical JSON (`canonical_json`, `from_json`), whose SHA-256 (`digest`) names the version. Building one checks
it: a profile that exists can be enforced, and one that cannot be read refuses everything.
"""

import hashlib
import json
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, Self

import tomli_w
from pydantic import Field, ValidationError, model_validator

from ca.keys import KeyAlgorithm
from policy.profile_gates import ACMERules, ApprovalRules
from policy.profile_sections import DNSRules, IdentifierRules, IPRules, KeyRules, Section, ValidityRules
from policy.profile_subject import CommonName, SubjectRules
from policy.profile_toml import MAX_SIZE, ProfileRefused, explain, line_of, read_tables
from policy.profile_values import KeyUsage, Line, Once, OnceAtLeast, Purpose, Slug, read_network

__all__ = [
    "DEFAULT",
    "GATED",
    "MustStaple",
    "Profile",
    "ProfileRefused",
    "canonical_json",
    "digest",
    "from_json",
    "parse_toml",
    "to_toml",
]


class MustStaple(StrEnum):
    """The TLS feature extension (RFC 7633): never, when the request asks for it, or in every certificate."""

    NEVER = "never"
    ALLOWED = "allowed"
    ALWAYS = "always"


_SIGNING: Final = frozenset({"digitalSignature", "contentCommitment"})
_EC: Final = _SIGNING | {"keyAgreement", "encipherOnly", "decipherOnly"}
_USAGES_OF_KEY: Final[dict[KeyAlgorithm, frozenset[str]]] = {
    KeyAlgorithm.RSA: _SIGNING | {"keyEncipherment", "dataEncipherment"},  # RFC 3279 2.3.1
    KeyAlgorithm.P256: _EC,  # RFC 8813 3
    KeyAlgorithm.P384: _EC,
    KeyAlgorithm.P521: _EC,
}
"""What a key can be used for at all; the signature-only algorithms (RFC 9295 3, RFC 9881 5) are the default."""


def _approval_when_required(fields: dict[str, Any]) -> ApprovalRules | None:
    return ApprovalRules() if fields.get("requires_approval") else None


class Profile(Section):
    """The definition of one version of a profile. Frozen; equal definitions are equal and have one digest."""

    name: Slug
    issuer: Slug
    description: Line = ""
    key_usage: Annotated[tuple[KeyUsage, ...], *OnceAtLeast] = (
        "digitalSignature",
        "keyEncipherment",
    )
    """What certificates say; a usage that the key's algorithm cannot have is left out (keyEncipherment: RSA only)."""
    extended_key_usage: Annotated[tuple[Purpose, ...], *Once] = ("serverAuth",)
    """Empty: the extension is left out, and certificates serve every purpose."""
    must_staple: MustStaple = MustStaple.ALLOWED
    requires_approval: bool = False
    keys: KeyRules = KeyRules()
    validity: ValidityRules = ValidityRules()
    identifiers: IdentifierRules
    subject: SubjectRules = SubjectRules()
    approval: ApprovalRules | None = Field(default_factory=_approval_when_required)
    """Present exactly when requires_approval is true."""
    acme: ACMERules = ACMERules()

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if self.requires_approval and self.approval is None:
            raise ValueError("requires_approval is true: approval cannot be null")
        if self.approval is not None and not self.requires_approval:
            raise ValueError(
                "there is an approval section but requires_approval is not true: nobody would be asked"
            )
        for algorithm in self.keys.algorithms:
            if not self.key_usage_for(algorithm):
                raise ValueError(f"key_usage leaves nothing that a key of algorithm {algorithm} can do")
        if {"encipherOnly", "decipherOnly"} & set(self.key_usage) and "keyAgreement" not in self.key_usage:
            raise ValueError("key_usage: encipherOnly and decipherOnly mean nothing without keyAgreement")
        if "OCSPSigning" in self.extended_key_usage and self.acme.enabled:
            raise ValueError(
                "a certificate with OCSPSigning answers for everything its issuer ever signed "
                "(RFC 6960 4.2.2.2): set acme.enabled = false, or remove the purpose"
            )
        return self

    def key_usage_for(self, algorithm: KeyAlgorithm) -> tuple[str, ...]:
        """The key usages of a certificate for a key of this algorithm, by their RFC 5280 names."""
        return _able(self.key_usage, algorithm)


@lru_cache(maxsize=1024)
def _able(usages: tuple[str, ...], algorithm: KeyAlgorithm) -> tuple[str, ...]:
    able = _USAGES_OF_KEY.get(algorithm, _SIGNING)
    return tuple(usage for usage in usages if usage in able)


def canonical_json(profile: Profile) -> bytes:
    """The one way this definition is written: sorted, compact, defaults spelled out, absent fields left out."""
    values = profile.model_dump(mode="json", exclude_none=True)
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def from_json(data: bytes) -> Profile:
    """The profile that canonical_json (or an API client) wrote. Raises ProfileRefused."""
    if len(data) > MAX_SIZE:
        raise ProfileRefused([f"the definition is larger than {MAX_SIZE} bytes"])
    try:
        return Profile.model_validate_json(data)
    except ValidationError as error:
        raise ProfileRefused([f"{path}: {words}" for path, words in explain(Profile, error)]) from None


def digest(profile: Profile) -> str:
    """SHA-256 of the canonical JSON, in hex: the same for two files that say the same in the same order."""
    return hashlib.sha256(canonical_json(profile)).hexdigest()


def to_toml(profile: Profile) -> str:
    """One `[[profile]]` table that parse_toml reads back as an equal profile."""
    values = profile.model_dump(mode="json", exclude_none=True)
    return tomli_w.dumps({"profile": [values]}, multiline_strings=False)


def parse_toml(data: bytes) -> list[Profile]:
    """The profiles in a file of `[[profile]]` tables, in its order.

    Raises ProfileRefused with every problem found, each with its line, field and what to write.
    """
    profiles: list[Profile] = []
    problems: list[str] = []
    for index, table in enumerate(read_tables(data)):
        name = table.get("name")
        known = isinstance(name, str) and name.isprintable()
        whose = f'profile "{str(name)[:63]}"' if known else f"profile {index + 1}"
        try:
            profile = Profile.model_validate_json(json.dumps(table))
        except ValidationError as error:
            for path, words in explain(Profile, error):
                problems.append(
                    f"line {line_of(data, index, path)}: {whose}: {path or 'as a whole'}: {words}"
                )
            continue
        if any(profile.name == earlier.name for earlier in profiles):
            problems.append(
                f"line {line_of(data, index, 'name')}: {whose}: name: there are two of this name in the file"
            )
        profiles.append(profile)
    if problems:
        raise ProfileRefused(problems)
    return profiles


def _everything(issuer: str, name: str, description: str, *, requires_approval: bool) -> Profile:
    return Profile(
        name=name,
        issuer=issuer,
        description=description,
        requires_approval=requires_approval,
        identifiers=IdentifierRules(
            dns=DNSRules(any=True, wildcards=True),
            ip=IPRules(networks=(read_network("0.0.0.0/0"), read_network("::/0"))),
        ),
        subject=SubjectRules(common_name=CommonName.FIRST_NAME),
    )


DEFAULT: Final = _everything(
    "issuing",
    "default",
    "DNS names and IP addresses, proved by challenge, without approval",
    requires_approval=False,
)
GATED: Final = _everything(
    "issuing",
    "gated",
    "DNS names and IP addresses, proved by challenge, after one approval",
    requires_approval=True,
)
"""What `certctl init` writes; the issuer it makes is called "issuing"."""
