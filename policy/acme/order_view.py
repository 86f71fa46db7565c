"""What the parts of an ACME order add up to (RFC 8555 sections 7.1.3 and 7.1.6). Pure.

Nothing but the parts is stored. An order's status follows from its authorizations, its job and the
clock, so that no order can say `valid` while there is no certificate.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

from ca.names import Identifier, IdentifierType
from policy.approvals import usable
from store.clock import Millis
from store.ids import JobId
from store.records import (
    Approval,
    ApprovalStatus,
    Authorization,
    AuthorizationStatus,
    Job,
    JobStatus,
    Order,
)

# Compared one by one: the hash of an enumeration's member is computed in Python.
_WAITING: Final = (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)


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
    """An order with everything its JSON object needs.

    `expires_at` is when it stops waiting; None while a job is carried out that nothing but the worker can end.
    """

    order: Order
    status: OrderStatus
    expires_at: Millis | None
    authorizations: tuple[Authorization, ...]
    ending: Ending | None = None
    detail: str = ""
    held: bool = False
    """Approved, and waiting only for its requester to come back."""
    waits_for_people: bool = False


def view(
    order: Order,
    authorizations: Sequence[Authorization],
    job: Job | None,
    approval: Approval | None,
    now: Millis,
) -> OrderView:
    """The order as it stands at `now`."""
    parts = tuple(authorizations)
    if job is not None:
        return _with_job(order, parts, job, approval, now)
    standings = [standing(part, now) for part in parts]
    if any(one not in _WAITING and one is not AuthorizationStatus.EXPIRED for one in standings):
        return _invalid(order, parts, Ending.AUTHORIZATION_FAILED, _why(parts, now))
    if order.expires_at <= now:
        words = "the order was not finalized in time: make a new one"
        return _invalid(order, parts, Ending.EXPIRED, words)
    if AuthorizationStatus.EXPIRED in standings:
        return _invalid(order, parts, Ending.AUTHORIZATION_FAILED, _why(parts, now))
    ready = AuthorizationStatus.PENDING not in standings
    return OrderView(order, OrderStatus.READY if ready else OrderStatus.PENDING, order.expires_at, parts)


def issued(ready: OrderView, job_id: JobId) -> OrderView:
    """What a ready order has become once its job is completed."""
    order = replace(ready.order, job_id=job_id)
    return OrderView(order, OrderStatus.VALID, order.expires_at, ready.authorizations)


def standing(authorization: Authorization, now: Millis) -> AuthorizationStatus:
    """The status of an authorization at `now`: pending and valid ones end by themselves."""
    if authorization.expires_at <= now and authorization.status in _WAITING:
        return AuthorizationStatus.EXPIRED
    return authorization.status


def identifiers_of(order: Order) -> tuple[Identifier, ...]:
    """The order's identifiers, in the order in which they were asked for."""
    return _identifiers(order.identifiers)


def methods_of(authorization: Authorization) -> tuple[str, ...]:
    """The challenges that the authorization offers."""
    return _methods(authorization.methods)


def named(authorization: Authorization) -> str:
    """The name as it stands in the order: with its `*.` if it has one."""
    return f"*.{authorization.value}" if authorization.wildcard else authorization.value


def why_not_ready(seen: OrderView) -> str:
    """What to tell somebody who would finalize an order that is not ready."""
    match seen.status:
        case OrderStatus.PENDING:
            return "the order waits for its authorizations: complete a challenge for each first"
        case OrderStatus.INVALID:
            return f"the order is invalid: {seen.detail}"
        case _:
            return f"the order has been finalized already and is {seen.status}: look at the order again"


@lru_cache(maxsize=1024)  # the requests of an order ask for the same ones again and again
def _identifiers(text: str) -> tuple[Identifier, ...]:
    return tuple(Identifier(IdentifierType(type_), value) for type_, value in json.loads(text))


@lru_cache(maxsize=64)
def _methods(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _with_job(
    order: Order, parts: tuple[Authorization, ...], job: Job, approval: Approval | None, now: Millis
) -> OrderView:
    match job.status:
        case JobStatus.COMPLETED:
            return OrderView(order, OrderStatus.VALID, order.expires_at, parts)
        case JobStatus.CANCELLED:
            return _invalid(order, parts, Ending.REFUSED, f"no certificate will be issued: {job.error}")
        case JobStatus.FAILED:
            return _invalid(order, parts, Ending.FAILED, f"the certificate could not be issued: {job.error}")
        case _:
            return _in_progress(order, parts, job, approval, now)


def _in_progress(
    order: Order, parts: tuple[Authorization, ...], job: Job, approval: Approval | None, now: Millis
) -> OrderView:
    waits_for_people = job.status is JobStatus.AWAITING_APPROVAL
    held = job.held and job.status is JobStatus.PENDING
    if approval is None or not (waits_for_people or held):
        # It is being signed, or will be as soon as a worker has time: no moment ends that.
        until = order.expires_at if order.expires_at > now else None
        return OrderView(order, OrderStatus.PROCESSING, until, parts)
    # The scheduler is about to cancel the job, and until it has, nobody can approve or collect any more.
    if not usable(approval, now):
        words = "nobody decided in time" if waits_for_people else "it was approved, but not collected in time"
        return _invalid(order, parts, Ending.REFUSED, f"no certificate will be issued: {words}")
    return OrderView(
        order,
        OrderStatus.PROCESSING,
        _stands_until(approval),
        parts,
        held=held,
        waits_for_people=waits_for_people,
    )


def _stands_until(approval: Approval) -> Millis:
    if approval.status is ApprovalStatus.APPROVED and approval.ended_at is not None:
        return Millis(approval.ended_at + approval.reuse_window)
    return approval.expires_at


def _invalid(order: Order, parts: tuple[Authorization, ...], ending: Ending, detail: str) -> OrderView:
    return OrderView(order, OrderStatus.INVALID, order.expires_at, parts, ending, detail)


def _why(parts: tuple[Authorization, ...], now: Millis) -> str:
    good = (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)
    said = [f"{named(a)}: {standing(a, now)}" for a in parts if standing(a, now) not in good]
    return "control over these names was not shown: " + ", ".join(said)
