"""ACME orders (RFC 8555 section 7.4): made under a profile, and read as what their parts add up to.

Nothing but the parts is stored. An order's status follows from its authorizations, its job and the
clock, so that no order can say `valid` while there is no certificate.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from ca.csr import CertificateRequest
from ca.names import Identifier, IdentifierType
from policy import rate_limits
from policy.acme import external_accounts
from policy.acme.limits import AcmeLimits
from policy.acme.refusals import IdentifiersRefused, NotAllowed, NotFound, OrderNotReady, RequestRefused
from policy.enrollment import Enrollment, Gate, Refusal, Requester, Submitted, collect
from policy.identifier_rules import check_identifiers
from policy.profile_cache import ProfileCache
from policy.profile_gates import ACMEMode, ChallengeType
from policy.profiles import Profile
from policy.rules import check_validity
from store import acme_accounts, acme_authorizations, acme_orders, approvals, jobs
from store.clock import Millis, after, to_datetime, to_millis
from store.database import Transaction
from store.ids import AuthorizationId, IssuerName, OrderId, PrincipalId, ProfileName, new_id
from store.records import (
    Account,
    Approval,
    ApprovalStatus,
    Authorization,
    AuthorizationStatus,
    Job,
    JobStatus,
    Order,
)

_TOKEN_OCTETS: Final = 24  # RFC 8555 section 8.1 wants 128 bits


class OrderStatus(StrEnum):
    """RFC 8555 section 7.1.6, order objects."""

    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class Ending(StrEnum):
    """Why an order is invalid."""

    AUTHORIZATION_FAILED = "authorization failed"
    EXPIRED = "expired"
    REFUSED = "refused"  # by people, or because they did not answer
    FAILED = "failed"  # by us


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order with everything its JSON object needs. `expires_at` is when it stops waiting."""

    order: Order
    status: OrderStatus
    expires_at: Millis
    authorizations: tuple[Authorization, ...]
    ending: Ending | None = None
    detail: str = ""
    held: bool = False
    """Approved, and waiting only for its requester to come back."""
    waits_for_people: bool = False


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a newOrder asks for: identifiers in the client's order, and the dates it wishes for."""

    identifiers: tuple[Identifier, ...]
    not_before: datetime | None = None
    not_after: datetime | None = None


async def create(
    tx: Transaction,
    cache: ProfileCache,
    account: Account,
    profile_name: ProfileName,
    wanted: NewOrder,
    source: str,
    limits: AcmeLimits,
    now: Millis,
) -> OrderView:
    """A new order with its authorizations.

    Raises IdentifiersRefused (every reason), ExternalAccountRequired, ExternalAccountRefused,
    RateLimited, ProfileUnreadable.
    """
    version, profile = await cache.current(tx, profile_name)
    if not profile.acme.enabled:
        raise NotFound(f"profile {profile_name} is not offered over ACME")
    external, refused = await external_accounts.check_order(tx, account, profile, wanted.identifiers)
    reasons = (
        *check_identifiers(profile, frozenset(wanted.identifiers)),
        *refused,
        *check_validity(profile, wanted.not_before, wanted.not_after, to_datetime(now)),
    )
    if reasons:
        raise IdentifiersRefused(reasons)
    await _take_limits(tx, account, wanted, source, limits, now)
    if external is not None:
        await rate_limits.take(
            tx,
            limits.orders_per_external_account,
            "orders under this external account key",
            external.kid,
            now,
        )
    order = Order(
        id=OrderId(new_id(now)),
        account_id=account.id,
        profile=version.name,
        profile_version=version.version,
        identifiers=json.dumps([[i.type.value, i.value] for i in wanted.identifiers], separators=(",", ":")),
        not_before=None if wanted.not_before is None else to_millis(wanted.not_before),
        not_after=None if wanted.not_after is None else to_millis(wanted.not_after),
        expires_at=after(now, profile.acme.order_lifetime),
        job_id=None,
        error=None,
        created_at=now,
    )
    authorizations = [
        await _authorization(tx, order, identifier, profile, now) for identifier in wanted.identifiers
    ]
    await acme_orders.insert(tx, order, [authorization.id for authorization in authorizations])
    return view(order, authorizations, None, None, now)


async def load(tx: Transaction, account: Account, order_id: OrderId, now: Millis) -> OrderView:
    """The order as it stands. Raises NotFound, NotAllowed."""
    order = await acme_orders.get(tx, order_id)
    if order is None:
        raise NotFound("there is no such order")
    if order.account_id != account.id:
        raise NotAllowed("the order belongs to another account")
    authorizations = await acme_orders.authorizations(tx, order_id)
    job = None if order.job_id is None else await jobs.get(tx, order.job_id)
    approval = None
    if job is not None and job.approval_id is not None:
        approval = await approvals.get(tx, job.approval_id)
    return view(order, authorizations, job, approval, now)


async def certificate(tx: Transaction, account: Account, order_id: OrderId) -> tuple[IssuerName, bytes]:
    """Issuer and DER of what the order brought. Raises NotFound (also while there is nothing yet), NotAllowed."""
    found = await acme_orders.certificate(tx, order_id)
    if found is None:
        raise NotFound("there is no such order")
    owner, issued = found
    if owner != account.id:
        raise NotAllowed("the order belongs to another account")
    if issued is None:
        raise NotFound("there is no certificate for this order")
    return issued


async def come_back(tx: Transaction, account: Account, order_id: OrderId, now: Millis) -> OrderView:
    """As `load`, and a job that was approved while its requester was away now runs: the requester is here."""
    seen = await load(tx, account, order_id, now)
    if seen.order.job_id is None or seen.status is not OrderStatus.PROCESSING:
        return seen
    await collect(tx, seen.order.job_id, now)
    return await load(tx, account, order_id, now)


async def finalize(
    tx: Transaction,
    gate: Gate,
    account: Account,
    order_id: OrderId,
    csr: CertificateRequest,
    source: str,
    now: Millis,
) -> Submitted | RequestRefused:
    """Submit the order's request to the gate. One finalize wins.

    Returns RequestRefused rather than raising it: the record of the refusal stays.
    Raises NotFound, NotAllowed, OrderNotReady, ProfileUnreadable.
    """
    seen = await load(tx, account, order_id, now)
    if seen.status is not OrderStatus.READY:
        raise OrderNotReady(_not_ready(seen))
    order = seen.order
    line = set[PrincipalId]()
    if account.eab_kid is not None:
        external = await acme_accounts.external_key(tx, account.eab_kid)
        if external is not None:
            line.add(external.created_by)
    outcome = await gate.submit(
        tx,
        Requester(account.principal_id, "acme", frozenset(line), account.id, source),
        Enrollment(
            profile=order.profile,
            csr=csr,
            authorized=frozenset(identifiers_of(order)),
            not_before=None if order.not_before is None else to_datetime(order.not_before),
            not_after=None if order.not_after is None else to_datetime(order.not_after),
        ),
        now,
    )
    if isinstance(outcome, Refusal):
        return RequestRefused(outcome.reasons)
    if not await acme_orders.finalize(tx, order.id, outcome.job_id):
        raise OrderNotReady("the order has just been finalized: look at the order again")
    return outcome


def view(
    order: Order,
    authorizations: Sequence[Authorization],
    job: Job | None,
    approval: Approval | None,
    now: Millis,
) -> OrderView:
    """What the parts of an order add up to at `now`. Pure."""
    parts = tuple(authorizations)
    if job is not None:
        return _with_job(order, parts, job, approval)
    failed = [
        a for a in parts if standing(a, now) not in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)
    ]
    if failed:
        return OrderView(
            order,
            OrderStatus.INVALID,
            order.expires_at,
            parts,
            Ending.AUTHORIZATION_FAILED,
            _why(failed, now),
        )
    if order.expires_at <= now:
        words = "the order was not finalized in time: make a new one"
        return OrderView(order, OrderStatus.INVALID, order.expires_at, parts, Ending.EXPIRED, words)
    ready = all(a.status is AuthorizationStatus.VALID for a in parts)
    return OrderView(order, OrderStatus.READY if ready else OrderStatus.PENDING, order.expires_at, parts)


def standing(authorization: Authorization, now: Millis) -> AuthorizationStatus:
    """The status of an authorization at `now`: pending and valid ones end by themselves."""
    alive = authorization.status in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)
    return AuthorizationStatus.EXPIRED if alive and authorization.expires_at <= now else authorization.status


def identifiers_of(order: Order) -> tuple[Identifier, ...]:
    """The order's identifiers, in the order in which they were asked for."""
    return tuple(Identifier(IdentifierType(type_), value) for type_, value in json.loads(order.identifiers))


def _with_job(
    order: Order, parts: tuple[Authorization, ...], job: Job, approval: Approval | None
) -> OrderView:
    expires_at = order.expires_at
    if approval is not None:
        ended = approval.ended_at
        given = approval.status is ApprovalStatus.APPROVED and ended is not None
        until = Millis(ended + approval.reuse_window) if given and ended is not None else approval.expires_at
        expires_at = max(expires_at, until)
    match job.status:
        case JobStatus.COMPLETED:
            return OrderView(order, OrderStatus.VALID, expires_at, parts)
        case JobStatus.CANCELLED:
            words = f"This request was not approved: {job.error}."
            return OrderView(order, OrderStatus.INVALID, expires_at, parts, Ending.REFUSED, words)
        case JobStatus.FAILED:
            words = f"The certificate could not be issued: {job.error}."
            return OrderView(order, OrderStatus.INVALID, expires_at, parts, Ending.FAILED, words)
        case _:
            return OrderView(
                order,
                OrderStatus.PROCESSING,
                expires_at,
                parts,
                held=job.held,
                waits_for_people=job.status is JobStatus.AWAITING_APPROVAL,
            )


def _why(failed: list[Authorization], now: Millis) -> str:
    said = [f"{a.value}: {standing(a, now)}" for a in failed]
    return "control over these names was not shown: " + ", ".join(said)


def _not_ready(seen: OrderView) -> str:
    match seen.status:
        case OrderStatus.PENDING:
            return "the order waits for its authorizations: complete a challenge for each first"
        case OrderStatus.INVALID:
            return f"the order is invalid: {seen.detail}"
        case _:
            return f"the order has been finalized already and is {seen.status}: look at the order again"


async def _take_limits(
    tx: Transaction, account: Account, wanted: NewOrder, source: str, limits: AcmeLimits, now: Millis
) -> None:
    await rate_limits.take(tx, limits.orders_per_account, "orders by this account", account.id, now)
    await rate_limits.take(tx, limits.orders_per_address, "orders from this address", source, now)
    for identifier in wanted.identifiers:
        whose = f"{account.id}:{identifier.value}"
        await rate_limits.check(tx, limits.failed_validations, "failed validations", whose, now)


async def _authorization(
    tx: Transaction, order: Order, identifier: Identifier, profile: Profile, now: Millis
) -> Authorization:
    """The authorization for one name: an earlier one where the profile lets it be used again, or a new one."""
    wildcard = identifier.value.startswith("*.")
    value = identifier.value.removeprefix("*.")
    rules = profile.acme
    methods = challenge_types(identifier, rules.challenges)
    if rules.authorization_reuse:
        since = Millis(now - after(Millis(0), rules.authorization_reuse))
        name = (identifier.type.value, value, wildcard)
        earlier = await acme_authorizations.reusable(tx, order.account_id, name, since, now)
        if earlier is not None and earlier.attempt in methods:
            return earlier
    trusted = rules.mode is ACMEMode.TRUSTED
    authorization = Authorization(
        id=AuthorizationId(new_id(now)),
        account_id=order.account_id,
        profile=order.profile,
        profile_version=order.profile_version,
        type=identifier.type.value,
        value=value,
        wildcard=wildcard,
        status=AuthorizationStatus.VALID if trusted else AuthorizationStatus.PENDING,
        expires_at=after(now, rules.order_lifetime),
        token=secrets.token_urlsafe(_TOKEN_OCTETS),
        methods=json.dumps(methods),
        attempt=None,
        attempted_at=None,
        validated_at=now if trusted else None,
        error=None,
        created_at=now,
    )
    await acme_authorizations.insert(tx, authorization)
    return authorization


def challenge_types(identifier: Identifier, offered: Sequence[ChallengeType]) -> list[str]:
    """Which of the profile's challenges can prove this name (RFC 8555 section 7.1.3, RFC 8738 section 7)."""
    if identifier.value.startswith("*."):
        able = {ChallengeType.DNS_01}
    elif identifier.type is IdentifierType.IP:
        able = {ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01}
    else:
        able = set(ChallengeType)
    return [method.value for method in offered if method in able]
