"""ACME orders (RFC 8555 section 7.4): made under a profile, finalized once, collected by whoever ordered.

What an order looks like follows from its parts: `policy.acme.order_view`.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ca.csr import CertificateRequest
from ca.names import Identifier
from policy import rate_limits
from policy.acme import accounts, external_accounts, offers
from policy.acme.limits import AcmeLimits, bucket_of_address, bucket_of_name
from policy.acme.order_view import OrderStatus, OrderView, identifiers_of, view, why_not_ready
from policy.acme.refusals import IdentifiersRefused, NotAllowed, NotFound, OrderNotReady, RequestRefused
from policy.enrollment import Enrollment, Gate, Refusal, Requester, Submitted, collect
from policy.hand import Hand
from policy.identifier_rules import check_identifiers, check_provable, provable_by
from policy.profile_cache import Held, ProfileCache, ProfileUnreadable
from policy.profile_gates import ACMEMode, ACMERules
from policy.profiles import Profile
from policy.rules import check_validity
from store import acme_authorizations, acme_orders, approvals
from store.clock import Millis, after, to_datetime, to_millis
from store.database import Transaction
from store.ids import AuthorizationId, IssuerName, OrderId, PrincipalId, ProfileName, new_id
from store.json_text import encoder
from store.records import (
    Account,
    Authorization,
    AuthorizationStatus,
    ExternalAccountKey,
    Order,
    ProfileVersion,
)

_encode: Final = encoder()
_TOKEN_OCTETS: Final = 24  # RFC 8555 section 8.1 wants 128 bits


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

    Raises AccountEnded, NotFound (no such profile), IdentifiersRefused (every reason), ExternalAccountRequired,
    ExternalAccountRefused, RateLimited, ProfileUnreadable.
    """
    await accounts.confirm(tx, account)
    version, profile = await offers.offered(tx, cache, profile_name)
    external = await external_accounts.behind(tx, account, profile)
    reasons = [
        *check_identifiers(profile, frozenset(wanted.identifiers)),
        *external_accounts.not_covered(external, wanted.identifiers),
        *check_validity(profile, wanted.not_before, wanted.not_after, to_datetime(now)),
    ]
    if not reasons and profile.acme.mode is ACMEMode.CHALLENGE:
        reasons += check_provable(profile, wanted.identifiers)
    if reasons:
        raise IdentifiersRefused(tuple(reasons))
    await _take_limits(tx, account, external, wanted, source, limits, now)
    lifetime = after(now, profile.acme.order_lifetime)
    authorizations = [
        await _reused(tx, cache, account, profile, identifier, now)
        or await _authorization(tx, account, version, profile, identifier, now)
        for identifier in wanted.identifiers
    ]
    order = Order(
        id=OrderId(new_id(now)),
        account_id=account.id,
        profile=version.name,
        profile_version=version.version,
        identifiers=_encode([[i.type.value, i.value] for i in wanted.identifiers]),
        not_before=None if wanted.not_before is None else to_millis(wanted.not_before),
        not_after=None if wanted.not_after is None else to_millis(wanted.not_after),
        # It promises nothing beyond the day on which an earlier proof, used again, is worth nothing any more.
        expires_at=min(lifetime, *(authorization.expires_at for authorization in authorizations)),
        job_id=None,
        created_at=now,
    )
    await acme_orders.insert(tx, order, [authorization.id for authorization in authorizations])
    return view(order, authorizations, None, None, now)


async def load(tx: Transaction, account: Account, order_id: OrderId, now: Millis) -> OrderView:
    """The order as it stands. Raises NotFound, NotAllowed."""
    found = await acme_orders.with_job(tx, order_id)
    if found is None:
        raise NotFound("there is no such order")
    order, job = found
    if order.account_id != account.id:
        raise NotAllowed("the order belongs to another account")
    authorizations = await acme_orders.authorizations(tx, order.id)
    approval = None
    if job is not None and job.approval_id is not None:
        approval = await approvals.get(tx, job.approval_id)
    return view(order, authorizations, job, approval, now)


async def page(
    tx: Transaction, account: Account, behind: str, most: int, now: Millis
) -> tuple[list[OrderId], OrderId | None]:
    """Up to `most` of an account's orders that are not invalid, and behind which one the next page begins.

    RFC 8555 section 7.1.2.1: a page may hold fewer than `most`, or none, and yet not be the last.
    """
    found = await acme_orders.page(tx, account.id, behind, most + 1)
    alive = []
    for order_id in found[:most]:
        seen = await load(tx, account, order_id, now)
        if seen.status is not OrderStatus.INVALID:
            alive.append(order_id)
    return alive, found[most - 1] if len(found) > most else None


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


async def check_ready(tx: Transaction, account: Account, order_id: OrderId, now: Millis) -> OrderView:
    """The order, which waits for its certification request. Raises NotFound, NotAllowed, OrderNotReady."""
    seen = await load(tx, account, order_id, now)
    if seen.status is not OrderStatus.READY:
        raise OrderNotReady(why_not_ready(seen))
    return seen


async def finalize(
    tx: Transaction,
    gate: Gate,
    cache: ProfileCache,
    account: Account,
    order_id: OrderId,
    csr: CertificateRequest,
    source: str,
    now: Millis,
    hand: Hand | None = None,
) -> tuple[OrderView, Submitted] | RequestRefused:
    """Submit the order's request to the gate, which may give its job to `hand`. One finalize wins.

    What is returned beside the job is the order as it was before. Returns RequestRefused rather than raising it: the
    record of the refusal stays.
    Raises AccountEnded, NotFound, NotAllowed, OrderNotReady, ExternalAccountRequired, ExternalAccountRefused,
    IdentifiersRefused, ProfileUnreadable, NotTaken.
    """
    await accounts.confirm(tx, account)
    seen = await check_ready(tx, account, order_id, now)
    order = seen.order
    held = await _held(tx, cache, order.profile)
    external = await _still_allowed(tx, held.profile, account, seen)
    outcome = await gate.submit(
        tx,
        Requester(
            account.principal_id,
            "acme",
            frozenset[PrincipalId]() if external is None else frozenset({external.created_by}),
            account.id,
            source,
        ),
        Enrollment(
            profile=order.profile,
            csr=csr,
            authorized=frozenset(identifiers_of(order)),
            not_before=None if order.not_before is None else to_datetime(order.not_before),
            not_after=None if order.not_after is None else to_datetime(order.not_after),
        ),
        now,
        hand,
        held=held,
    )
    if isinstance(outcome, Refusal):
        return RequestRefused(outcome.reasons)
    if not await acme_orders.finalize(tx, order.id, outcome.job_id):
        raise OrderNotReady("the order has just been finalized: look at the order again")
    return seen, outcome


async def _held(tx: Transaction, cache: ProfileCache, name: ProfileName) -> Held:
    try:
        return await offers.held(tx, cache, name)
    except NotFound as error:
        raise NotAllowed(f"{error} any more") from None


async def _still_allowed(
    tx: Transaction, profile: Profile, account: Account, seen: OrderView
) -> ExternalAccountKey | None:
    """The key behind the account, if what newOrder looked at holds still: days may lie between the two.

    The names themselves are the gate's to judge.
    """
    external = await external_accounts.behind(tx, account, profile)
    if refused := external_accounts.not_covered(external, identifiers_of(seen.order)):
        raise IdentifiersRefused(refused)
    _check_proved(profile, seen)
    return external


def _check_proved(profile: Profile, seen: OrderView) -> None:
    """What was authorized by trust alone counts for as long as the profile trusts."""
    trusted = any(authorization.attempt is None for authorization in seen.authorizations)
    if trusted and profile.acme.mode is not ACMEMode.TRUSTED:
        raise NotAllowed(f"profile {profile.name} asks for proof of control now: make a new order")


async def _take_limits(
    tx: Transaction,
    account: Account,
    external: ExternalAccountKey | None,
    wanted: NewOrder,
    source: str,
    limits: AcmeLimits,
    now: Millis,
) -> None:
    address = bucket_of_address(source)
    await rate_limits.take(tx, limits.orders_per_account, "orders by this account", account.id, now)
    await rate_limits.take(tx, limits.orders_per_address, "orders from this address", address, now)
    if external is not None:
        what = "orders under this external account key"
        await rate_limits.take(tx, limits.orders_per_external_account, what, external.kid, now)
    for identifier in wanted.identifiers:
        whose = bucket_of_name(account.id, identifier.value)
        await rate_limits.check(tx, limits.failed_validations, "failed validations", whose, now)


async def _reused(
    tx: Transaction,
    cache: ProfileCache,
    account: Account,
    profile: Profile,
    identifier: Identifier,
    now: Millis,
) -> Authorization | None:
    """An earlier authorization of the account that the profile lets it use again (RFC 8555 section 7.1.3).

    It must have been proved as this profile wants it proved: under another profile the server may have looked
    elsewhere, or not have asked CAA.
    """
    rules = profile.acme
    if not rules.authorization_reuse:
        return None
    since = Millis(now - after(Millis(0), rules.authorization_reuse))
    name = identifier.type.value, identifier.value.removeprefix("*."), identifier.value.startswith("*.")
    earlier = await acme_authorizations.reusable(tx, account.id, name, since, now)
    if earlier is None or earlier.attempt not in provable_by(profile, identifier):
        return None
    try:
        _, before = await cache.pinned(tx, earlier.profile, earlier.profile_version)
    except ProfileUnreadable:
        return None
    return earlier if _looks_at(before.acme) == _looks_at(rules) else None


def _looks_at(rules: ACMERules) -> tuple[object, ...]:
    return rules.allowed_networks, rules.denied_networks, rules.caa


async def _authorization(
    tx: Transaction,
    account: Account,
    version: ProfileVersion,
    profile: Profile,
    identifier: Identifier,
    now: Millis,
) -> Authorization:
    """A new authorization: pending, or valid at once where the profile trusts the account."""
    trusted = profile.acme.mode is ACMEMode.TRUSTED
    authorization = Authorization(
        id=AuthorizationId(new_id(now)),
        account_id=account.id,
        profile=version.name,
        profile_version=version.version,
        type=identifier.type.value,
        value=identifier.value.removeprefix("*."),
        wildcard=identifier.value.startswith("*."),
        status=AuthorizationStatus.VALID if trusted else AuthorizationStatus.PENDING,
        expires_at=after(now, profile.acme.order_lifetime),
        token=secrets.token_urlsafe(_TOKEN_OCTETS),
        methods=_encode(provable_by(profile, identifier)),
        attempt=None,
        attempted_at=None,
        validated_at=now if trusted else None,
        error=None,
        created_at=now,
    )
    await acme_authorizations.insert(tx, authorization)
    return authorization
