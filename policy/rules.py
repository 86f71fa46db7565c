"""What a profile makes of a request: pure, the same for the same arguments, with every reason reported.

`evaluate` judges twice: when a request is submitted and again in the worker, from the pinned request, just before
signing. It looks nothing up; `Facts` carries what the caller looked up. What it permits is a `CertificatePlan`,
and nothing in a plan is copied from the request except the key, the identifiers that were authorized and the
subject fields that the profile takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from ca import oids
from ca.csr import CertificateRequest
from ca.keys import KeyAlgorithm
from ca.names import Identifier
from ca.weak_keys import check_key
from policy.identifier_rules import check_identifiers, in_order
from policy.profile_values import write_duration
from policy.profiles import MustStaple, Profile
from policy.reasons import Reason, ReasonCode
from policy.subject import SubjectNotAllowed, subject_of


@dataclass(frozen=True, slots=True)
class Facts:
    """What the caller looked up about the key of the request."""

    key_blocked: str | None
    """Why this key must never be certified (revoked as compromised, on a block list), or None."""
    key_is_account_key: bool
    """Whether an account of the server signs with this key (RFC 8555 11.1)."""
    key_used_before: bool | None = None
    """Whether an earlier certificate holds the key; None: not looked up, enough where the profile allows reuse."""


@dataclass(frozen=True, slots=True)
class IssuanceRequest:
    """What was asked: the CSR, the identifiers the protocol authorized, and the dates wished for (aware)."""

    csr: CertificateRequest
    authorized: frozenset[Identifier]
    not_before: datetime | None = None
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatePlan:
    """All that a certificate will say except its serial: the other fields of ca.certificate.CertificateContent."""

    not_before: datetime
    not_after: datetime
    subject: bytes
    spki: bytes
    identifiers: tuple[Identifier, ...]
    key_usage: tuple[str, ...]
    extended_key_usage: tuple[str, ...]
    must_staple: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing may be issued for this request. Never empty; in a stable order."""

    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Permitted:
    """The profile allows it: at once, or once people have approved."""

    content: CertificatePlan
    needs_approval: bool


Decision = Refused | Permitted

_SECOND: Final = timedelta(seconds=1)
"""Certificates count whole seconds, so two moments closer than this can become one."""


def evaluate(profile: Profile, request: IssuanceRequest, facts: Facts, now: datetime) -> Decision:
    """The decision on this request at this moment. Raises nothing for any CSR that parsed."""
    csr = request.csr
    identifiers = in_order(request.authorized)
    reasons = [*check_identifiers(profile, request.authorized), *_names_differ(csr, request.authorized)]
    reasons += _key_reasons(profile, csr, facts)
    reasons += _extension_reasons(profile, csr)
    reasons += _date_reasons(profile, request.not_before, request.not_after, now)
    subject = b""
    try:
        subject = subject_of(profile.subject, csr, identifiers)
    except SubjectNotAllowed as error:
        reasons += [Reason(ReasonCode.SUBJECT_NOT_ALLOWED, words) for words in error.problems]
    if reasons:
        return Refused(tuple(reasons))
    not_before, not_after = _dates(profile, request.not_before, request.not_after, now)
    plan = CertificatePlan(
        not_before=not_before,
        not_after=not_after,
        subject=subject,
        spki=csr.spki,
        identifiers=identifiers,
        key_usage=profile.key_usage_for(csr.key.algorithm),
        extended_key_usage=profile.extended_key_usage,
        must_staple=profile.must_staple is MustStaple.ALWAYS or csr.must_staple,
    )
    return Permitted(plan, needs_approval=profile.requires_approval)


def _names_differ(csr: CertificateRequest, authorized: frozenset[Identifier]) -> Iterator[Reason]:
    """Two-way equality (RFC 8555 7.4): what the CSR lacks, what it has too many, kinds nobody could authorize."""
    if csr.identifiers != authorized:
        for name in in_order(authorized - csr.identifiers):
            words = f"{name.value} was authorized but is not in the CSR"
            yield Reason(ReasonCode.NAME_NOT_IN_CSR, words, name)
        for name in in_order(csr.identifiers - authorized):
            yield Reason(
                ReasonCode.NAME_NOT_AUTHORIZED,
                f"the CSR asks for {name.value}, which was not authorized",
                name,
            )
    for kind in csr.other_names:
        yield Reason(
            ReasonCode.UNKNOWN_NAME_KIND, f"the CSR asks for a kind of name that is never certified: {kind}"
        )


def _key_reasons(profile: Profile, csr: CertificateRequest, facts: Facts) -> Iterator[Reason]:
    rules, key = profile.keys, csr.key
    if key.algorithm not in rules.allowed:
        words = f"{key.algorithm} keys are not allowed; profile {profile.name} takes {', '.join(rules.algorithms)}"
        yield Reason(ReasonCode.KEY_NOT_ALLOWED, words)
    elif key.algorithm is KeyAlgorithm.RSA and not rules.rsa_min_bits <= key.bits <= rules.rsa_max_bits:
        words = f"an RSA key of {key.bits} bits; profile {profile.name} takes {rules.rsa_min_bits} to {rules.rsa_max_bits}"
        yield Reason(ReasonCode.KEY_NOT_ALLOWED, words)
    for weakness in check_key(csr.public_key):
        yield Reason(ReasonCode.KEY_WEAK, weakness)
    if facts.key_blocked is not None:
        yield Reason(ReasonCode.KEY_BLOCKED, f"this key must not be certified: {facts.key_blocked}")
    if facts.key_is_account_key:
        words = "this is the key of an account: a certificate needs a key of its own (RFC 8555 11.1)"
        yield Reason(ReasonCode.KEY_IS_ACCOUNT_KEY, words)
    if not rules.allow_reuse and facts.key_used_before is not False:  # not looked up counts as used
        words = f"an earlier certificate holds this key; profile {profile.name} wants a new key each time"
        yield Reason(ReasonCode.KEY_USED_BEFORE, words)


UNDERSTOOD: Final = frozenset(
    {
        oids.SUBJECT_ALT_NAME,  # compared with what was authorized
        oids.KEY_USAGE,  # the profile's is written; a wish for the usages of authorities is refused
        oids.EXTENDED_KEY_USAGE,  # more than the profile's is refused
        oids.BASIC_CONSTRAINTS,  # CA:TRUE is refused
        oids.TLS_FEATURE,  # by must_staple
        oids.SUBJECT_KEY_IDENTIFIER,  # harmless: ours is written
    }
)
"""The only extensions a CSR may ask for. None of them is ever copied."""

_CA_USAGES: Final = frozenset({"keyCertSign", "cRLSign"})


def _extension_reasons(profile: Profile, csr: CertificateRequest) -> Iterator[Reason]:
    """Nothing else smuggled in: an extension that we would leave out in silence is refused in words instead."""
    for oid in sorted(csr.extensions - UNDERSTOOD):
        yield Reason(
            ReasonCode.EXTENSION_NOT_ALLOWED, f"the CSR asks for the extension {oid}, which is not issued"
        )
    if csr.basic_constraints_ca:
        yield Reason(ReasonCode.ASKS_TO_BE_CA, "the CSR asks for a CA certificate (basicConstraints CA:TRUE)")
    # Other usages are a wish that the profile answers: clients ask for keyEncipherment with EC keys, too.
    for usage in sorted(_CA_USAGES.intersection(csr.key_usage or ())):
        yield Reason(
            ReasonCode.ASKS_TO_BE_CA, f"the CSR asks for the key usage {usage}, which is for authorities"
        )
    if csr.extended_key_usage:
        for purpose in sorted(set(csr.extended_key_usage).difference(profile.extended_key_usage)):
            words = f"the CSR asks for the purpose {purpose}, which profile {profile.name} does not give"
            yield Reason(ReasonCode.PURPOSE_NOT_ALLOWED, words)
    if csr.must_staple and profile.must_staple is MustStaple.NEVER:
        words = f"the CSR asks for OCSP must-staple, which profile {profile.name} does not give"
        yield Reason(ReasonCode.MUST_STAPLE_NOT_ALLOWED, words)


def check_validity(
    profile: Profile, not_before: datetime | None, not_after: datetime | None, now: datetime
) -> tuple[Reason, ...]:
    """Everything that speaks against dates asked for now, at the front door (aware datetimes or None).

    Unlike evaluate it refuses a start earlier than the profile's backdating reaches: while a request waits for
    challenges or approvers its start slips into the past, and evaluate then moves it up instead of refusing.
    """
    reasons = list(_date_reasons(profile, not_before, not_after, now))
    if not_before is not None and not_before < now - profile.validity.backdate:
        most = write_duration(profile.validity.backdate)
        words = f"notBefore lies in the past: profile {profile.name} backdates by {most} at most"
        reasons.append(Reason(ReasonCode.VALIDITY_NOT_ALLOWED, words))
    return tuple(reasons)


def _date_reasons(
    profile: Profile, not_before: datetime | None, not_after: datetime | None, now: datetime
) -> Iterator[Reason]:
    if not_before is None and not_after is None:
        return
    latest = now + profile.validity.max
    words = f"profile {profile.name} ends certificates {write_duration(profile.validity.max)} from now at the latest"
    if not_before is not None and not_before > latest - _SECOND:
        yield Reason(ReasonCode.VALIDITY_NOT_ALLOWED, f"notBefore lies too far ahead: {words}")
    if not_after is None:
        return
    if not_after < now + _SECOND:
        yield Reason(ReasonCode.VALIDITY_NOT_ALLOWED, "notAfter is already past")
    elif not_after > latest:
        yield Reason(ReasonCode.VALIDITY_NOT_ALLOWED, f"notAfter lies too far ahead: {words}")
    if not_before is not None and not_after - not_before < _SECOND:
        yield Reason(ReasonCode.VALIDITY_NOT_ALLOWED, "notBefore is not before notAfter")


def _dates(
    profile: Profile, not_before: datetime | None, not_after: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """Whole seconds in UTC; the span is at most max, the end at most max from now, the start backdated as allowed."""
    rules = profile.validity
    now = _whole(now)
    start = earliest = now - rules.backdate
    if not_before is not None and not_before > earliest:
        start = _whole(not_before)
    end = min(start + rules.default, now + rules.max) if not_after is None else _whole(not_after)
    return max(start, end - rules.max), end


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
