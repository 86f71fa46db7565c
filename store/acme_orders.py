"""ACME orders. What follows from authorizations, job and clock is not stored a second time."""

from typing import Any, Final

from sqlalchemy import bindparam, null, select, update

from store.acme_authorizations import authorization_of
from store.database import Row, Transaction
from store.ids import AccountId, AuthorizationId, IssuerName, JobId, OrderId
from store.jobs import job_of
from store.records import Authorization, Job, JobStatus, Order
from store.schema import (
    acme_accounts,
    acme_authorizations,
    acme_order_authorizations,
    acme_orders,
    certificates,
    jobs,
)
from store.statements import Statement, columns_of, insert_row, one_of, select_by

_INSERT: Final = insert_row(acme_orders)
_INSERT_LINK: Final = insert_row(acme_order_authorizations)
_WITH_JOB: Final = Statement(
    select(*columns_of(Order, acme_orders), *columns_of(Job, jobs))
    .join(jobs, jobs.c.id == acme_orders.c.job_id, isouter=True)
    .where(acme_orders.c.id == bindparam("id"))
)
_FIELDS: Final = len(columns_of(Order, acme_orders))
_BY_JOB: Final = select_by(Order, acme_orders, "job_id")
_AUTHORIZATIONS: Final = Statement(
    select(*columns_of(Authorization, acme_authorizations))
    .join(
        acme_order_authorizations,
        acme_order_authorizations.c.authorization_id == acme_authorizations.c.id,
    )
    .where(acme_order_authorizations.c.order_id == bindparam("order_id"))
    .order_by(acme_order_authorizations.c.position)
)
_CERTIFICATE: Final = Statement(
    select(acme_orders.c.account_id, certificates.c.issuer, certificates.c.der)
    .join(certificates, certificates.c.job_id == acme_orders.c.job_id, isouter=True)
    .where(acme_orders.c.id == bindparam("id"))
)
_PAGE: Final = Statement(
    select(acme_orders.c.id)
    .where(acme_orders.c.account_id == bindparam("account_id"), acme_orders.c.id > bindparam("after"))
    .order_by(acme_orders.c.id)
    .limit(bindparam("most"))
)
_WAITING: Final = (
    select(jobs.c.id)
    .join(acme_orders, acme_orders.c.job_id == jobs.c.id)
    .where(jobs.c.status.in_(one_of(JobStatus.AWAITING_APPROVAL.value, JobStatus.PENDING.value)))
)
_WAITING_FOR_ACCOUNT: Final = Statement(_WAITING.where(acme_orders.c.account_id == bindparam("account_id")))
_WAITING_UNDER_KEY: Final = Statement(
    _WAITING.join(acme_accounts, acme_accounts.c.id == acme_orders.c.account_id).where(
        acme_accounts.c.eab_kid == bindparam("kid")
    )
)
_WAITING_ON_AUTHORIZATION: Final = Statement(
    _WAITING.join(acme_order_authorizations, acme_order_authorizations.c.order_id == acme_orders.c.id).where(
        acme_order_authorizations.c.authorization_id == bindparam("authorization_id")
    )
)
_FINALIZE: Final = Statement(
    update(acme_orders)
    .where(acme_orders.c.id == bindparam("key"), acme_orders.c.job_id.is_(null()))
    .values(job_id=bindparam("to_job"))
)


async def insert(tx: Transaction, order: Order, authorizations: list[AuthorizationId]) -> None:
    """Add an order over authorizations that exist."""
    await tx.execute(
        _INSERT,
        id=order.id,
        account_id=order.account_id,
        profile=order.profile,
        profile_version=order.profile_version,
        identifiers=order.identifiers,
        not_before=order.not_before,
        not_after=order.not_after,
        expires_at=order.expires_at,
        job_id=order.job_id,
        created_at=order.created_at,
    )
    for position, authorization_id in enumerate(authorizations):
        await tx.execute(
            _INSERT_LINK, order_id=order.id, position=position, authorization_id=authorization_id
        )


async def with_job(tx: Transaction, order_id: OrderId) -> tuple[Order, Job | None] | None:
    """The order of that id, and its job if it has one."""
    row = await tx.one(_WITH_JOB, id=order_id)
    if row is None:
        return None
    order = Order(*row[:_FIELDS])
    return order, None if order.job_id is None else job_of(row[_FIELDS:])


async def of_job(tx: Transaction, job_id: JobId) -> Order | None:
    """The order that the job serves."""
    return _order(await tx.one(_BY_JOB, job_id=job_id))


async def authorizations(tx: Transaction, order_id: OrderId) -> list[Authorization]:
    """Its authorizations, in the order in which they were made."""
    return [authorization_of(row) for row in await tx.all(_AUTHORIZATIONS, order_id=order_id)]


async def certificate(
    tx: Transaction, order_id: OrderId
) -> tuple[AccountId, tuple[IssuerName, bytes] | None] | None:
    """Whose order it is, and issuer and DER of its certificate, if there is one; None without such an order."""
    row = await tx.one(_CERTIFICATE, id=order_id)
    if row is None:
        return None
    account_id, issuer, der = row
    return AccountId(account_id), None if der is None else (IssuerName(issuer), bytes(der))


async def page(tx: Transaction, account_id: AccountId, after: str, most: int) -> list[OrderId]:
    """The ids of an account's orders, oldest first, beyond `after`."""
    return [OrderId(row[0]) for row in await tx.all(_PAGE, account_id=account_id, after=after, most=most)]


async def waiting_jobs(tx: Transaction, account_id: AccountId) -> list[JobId]:
    """The jobs of an account's orders that nobody has claimed yet."""
    return [JobId(row[0]) for row in await tx.all(_WAITING_FOR_ACCOUNT, account_id=account_id)]


async def waiting_jobs_under(tx: Transaction, kid: str) -> list[JobId]:
    """As `waiting_jobs`, for all accounts that one external account key vouched for."""
    return [JobId(row[0]) for row in await tx.all(_WAITING_UNDER_KEY, kid=kid)]


async def waiting_jobs_on(tx: Transaction, authorization_id: AuthorizationId) -> list[JobId]:
    """As `waiting_jobs`, for all orders that rest on one authorization."""
    rows = await tx.all(_WAITING_ON_AUTHORIZATION, authorization_id=authorization_id)
    return [JobId(row[0]) for row in rows]


async def finalize(tx: Transaction, order_id: OrderId, job_id: JobId) -> bool:
    """Give the order its one job; False if it has one: one finalize wins."""
    return await tx.execute(_FINALIZE, key=order_id, to_job=job_id) == 1


def _order(row: Row | None) -> Order | None:
    values: tuple[Any, ...] | None = row
    return None if values is None else Order(*values)
