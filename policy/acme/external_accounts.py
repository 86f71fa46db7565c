"""External account keys (RFC 8555 section 7.3.4): an operator's word for an ACME account.

Who made the key stands in the line of everything its accounts ask for, and never decides it.
"""

import json
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from ca.names import Identifier, IdentifierType, NameRefused, parse_identifier
from policy.acme.refusals import ExternalAccountRefused, ExternalAccountRequired
from policy.profiles import Profile
from policy.reasons import Reason, ReasonCode
from store import acme_accounts
from store.clock import Millis
from store.database import Transaction
from store.records import Account, ExternalAccountKey


class PatternRefused(ValueError):
    """The text is no name pattern."""


def parse_pattern(text: str) -> str:
    """A name pattern in canonical form: `host.example`, `*.example` (all below) or a network.

    Raises PatternRefused.
    """
    text = text.strip().lower()
    if "/" in text:
        try:
            return str(ip_network(text))
        except ValueError:
            raise PatternRefused(f"{text!r} is not a network") from None
    for type_ in (IdentifierType.IP, IdentifierType.DNS):
        try:
            return parse_identifier(type_.value, text).value
        except NameRefused:
            continue
    raise PatternRefused(f"{text!r} is neither a DNS name, a name below *. nor an address or network")


def matches(pattern: str, identifier: Identifier) -> bool:
    """Whether a pattern allows a name. `*.example` allows every name below, wildcards included."""
    if identifier.type is IdentifierType.IP:
        try:
            return ip_address(identifier.value) in ip_network(pattern)
        except ValueError:
            return False
    if identifier.type is not IdentifierType.DNS:
        return False
    if pattern.startswith("*."):
        return identifier.value.endswith(pattern[1:])
    return identifier.value == pattern


async def usable(tx: Transaction, kid: str, profile: str, now: Millis) -> ExternalAccountKey:
    """The key of that id, good for a new account under `profile`; ExternalAccountRefused if it is not."""
    key = await acme_accounts.external_key(tx, kid)
    if key is None:
        raise ExternalAccountRefused("there is no external account key of this id: ask the operator for one")
    if key.revoked_at is not None:
        raise ExternalAccountRefused("the external account key was revoked: ask the operator for another")
    if key.expires_at is not None and key.expires_at <= now:
        raise ExternalAccountRefused("the external account key has expired: ask the operator for another")
    check_profile(key, profile)
    return key


async def behind(tx: Transaction, account: Account, profile: Profile) -> ExternalAccountKey | None:
    """The key that vouches for `account`, None where there is none and the profile wants none.

    Raises ExternalAccountRequired or ExternalAccountRefused when the account may not order under the profile. A key
    that has merely expired makes no new accounts; those that it has made live on.
    """
    if account.eab_kid is None:
        if profile.acme.external_account_required:
            raise ExternalAccountRequired(
                f"profile {profile.name} takes orders only from accounts with an external account binding: "
                "ask the operator for a key and register anew"
            )
        return None
    key = await acme_accounts.external_key(tx, account.eab_kid)
    if key is None or key.revoked_at is not None:
        raise ExternalAccountRefused("the external account key behind this account was revoked")
    check_profile(key, profile.name)
    return key


def check_profile(key: ExternalAccountKey, profile: str) -> None:
    """Raise ExternalAccountRefused if the key is for another profile."""
    if key.profile is not None and key.profile != profile:
        raise ExternalAccountRefused(
            f"the external account key is for profile {key.profile}: use the directory of that profile"
        )


def not_covered(key: ExternalAccountKey | None, identifiers: Iterable[Identifier]) -> tuple[Reason, ...]:
    """A reason for each name that the key's patterns do not allow; a key without patterns allows all."""
    patterns: list[str] = [] if key is None else json.loads(key.name_patterns)
    if not patterns:
        return ()
    return tuple(
        Reason(
            ReasonCode.NAME_NOT_ALLOWED,
            f"the external account key behind this account does not cover {identifier.value}",
            identifier,
        )
        for identifier in identifiers
        if not any(matches(pattern, identifier) for pattern in patterns)
    )
