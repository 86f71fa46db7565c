"""ACME authorizations, each with its one attempt at a challenge."""

from typing import Any, Final

from sqlalchemy import bindparam, null, select, update

from store.clock import Millis
from store.database import Transaction
from store.ids import AccountId, AuthorizationId
from store.records import Authorization, AuthorizationStatus
from store.schema import acme_authorizations
from store.statements import Statement, columns_of, insert_row, one_of, select_by

_TABLE: Final = acme_authorizations
_COLUMNS: Final = columns_of(Authorization, _TABLE)
_STATUSES: Final = {status.value: status for status in AuthorizationStatus}
_PENDING: Final = (_TABLE.c.id == bindparam("key")) & (_TABLE.c.status == AuthorizationStatus.PENDING.value)
_INSERT: Final = insert_row(_TABLE)
_GET: Final = select_by(Authorization, _TABLE, "id")
_REUSABLE: Final = Statement(
    select(*_COLUMNS)
    .where(
        _TABLE.c.account_id == bindparam("account_id"),
        _TABLE.c.value == bindparam("value"),
        _TABLE.c.type == bindparam("type"),
        _TABLE.c.wildcard == bindparam("wildcard"),
        _TABLE.c.status == AuthorizationStatus.VALID.value,
        _TABLE.c.expires_at > bindparam("now"),
        _TABLE.c.validated_at >= bindparam("since"),
    )
    .order_by(_TABLE.c.validated_at.desc())
    .limit(1)
)
_ATTEMPT: Final = Statement(
    update(_TABLE)
    .where(_PENDING, _TABLE.c.attempt.is_(null()))
    .values(attempt=bindparam("method"), attempted_at=bindparam("now"))
    .returning(*_COLUMNS)
)
_RETAKE: Final = Statement(
    update(_TABLE)
    .where(_PENDING, _TABLE.c.attempted_at == bindparam("seen"))
    .values(attempted_at=bindparam("now"))
)
_VALIDATE: Final = Statement(
    update(_TABLE)
    .where(_PENDING)
    .values(
        status=AuthorizationStatus.VALID.value,
        attempt=bindparam("method"),
        attempted_at=bindparam("begun"),
        validated_at=bindparam("now"),
        expires_at=bindparam("until"),
    )
    .returning(*_COLUMNS)
)
_INVALIDATE: Final = Statement(
    update(_TABLE)
    .where(_PENDING)
    .values(
        status=AuthorizationStatus.INVALID.value,
        attempt=bindparam("method"),
        attempted_at=bindparam("begun"),
        error=bindparam("problem"),
    )
    .returning(*_COLUMNS)
)
_DEACTIVATE: Final = Statement(
    update(_TABLE)
    .where(
        _TABLE.c.id == bindparam("key"),
        _TABLE.c.status.in_(one_of(AuthorizationStatus.PENDING.value, AuthorizationStatus.VALID.value)),
    )
    .values(status=AuthorizationStatus.DEACTIVATED.value)
)
_INTERRUPTED: Final = Statement(
    select(*_COLUMNS)
    .where(
        _TABLE.c.status == AuthorizationStatus.PENDING.value,
        _TABLE.c.attempt.is_not(null()),
        _TABLE.c.attempted_at <= bindparam("before"),
    )
    .order_by(_TABLE.c.attempted_at)
    .limit(bindparam("most"))
)
_HOLDS: Final = Statement(
    select(_TABLE.c.value, _TABLE.c.type, _TABLE.c.wildcard).where(
        _TABLE.c.account_id == bindparam("account_id"),
        _TABLE.c.value == bindparam("value"),
        _TABLE.c.type == bindparam("type"),
        _TABLE.c.status == AuthorizationStatus.VALID.value,
        _TABLE.c.expires_at > bindparam("now"),
    )
)


async def insert(tx: Transaction, authorization: Authorization) -> None:
    """Add an authorization."""
    await tx.execute(
        _INSERT,
        id=authorization.id,
        account_id=authorization.account_id,
        profile=authorization.profile,
        profile_version=authorization.profile_version,
        type=authorization.type,
        value=authorization.value,
        wildcard=authorization.wildcard,
        status=authorization.status.value,
        expires_at=authorization.expires_at,
        token=authorization.token,
        methods=authorization.methods,
        attempt=authorization.attempt,
        attempted_at=authorization.attempted_at,
        validated_at=authorization.validated_at,
        error=authorization.error,
        created_at=authorization.created_at,
    )


async def get(tx: Transaction, authorization_id: AuthorizationId) -> Authorization | None:
    """The authorization of that id."""
    row = await tx.one(_GET, id=authorization_id)
    return None if row is None else authorization_of(row)


async def reusable(
    tx: Transaction, account_id: AccountId, name: tuple[str, str, bool], since: Millis, now: Millis
) -> Authorization | None:
    """A valid authorization of `name` (type, value, wildcard) that was validated no earlier than `since`."""
    type_, value, wildcard = name
    row = await tx.one(
        _REUSABLE, account_id=account_id, type=type_, value=value, wildcard=wildcard, since=since, now=now
    )
    return None if row is None else authorization_of(row)


async def attempt(
    tx: Transaction, authorization_id: AuthorizationId, method: str, now: Millis
) -> Authorization | None:
    """Begin the one attempt, by `method`; None if it was begun already, or the authorization has ended."""
    row = await tx.one(_ATTEMPT, key=authorization_id, method=method, now=now)
    return None if row is None else authorization_of(row)


async def retake(tx: Transaction, authorization: Authorization, now: Millis) -> bool:
    """Take over an attempt whose process died; False if somebody else did."""
    return await tx.execute(_RETAKE, key=authorization.id, seen=authorization.attempted_at, now=now) == 1


async def validate(
    tx: Transaction, attempted: Authorization, now: Millis, until: Millis
) -> Authorization | None:
    """Pending -> valid by the attempt that `attempted` tells of, good until `until`; None if it had ended."""
    return await _end(tx, _VALIDATE, attempted, now=now, until=until)


async def invalidate(tx: Transaction, attempted: Authorization, problem: str) -> Authorization | None:
    """Pending -> invalid by the attempt that `attempted` tells of; `problem` is JSON. None if it had ended."""
    return await _end(tx, _INVALIDATE, attempted, problem=problem)


async def _end(
    tx: Transaction, statement: Statement, attempted: Authorization, **values: Any
) -> Authorization | None:
    row = await tx.one(
        statement, key=attempted.id, method=attempted.attempt, begun=attempted.attempted_at, **values
    )
    return None if row is None else authorization_of(row)


async def deactivate(tx: Transaction, authorization_id: AuthorizationId) -> bool:
    """Pending or valid -> deactivated; whether it moved."""
    return await tx.execute(_DEACTIVATE, key=authorization_id) == 1


async def interrupted(tx: Transaction, before: Millis, most: int) -> list[Authorization]:
    """Attempts begun no later than `before` that nobody has brought to an end."""
    return [authorization_of(row) for row in await tx.all(_INTERRUPTED, before=before, most=most)]


async def holds(tx: Transaction, account_id: AccountId, type_: str, value: str, now: Millis) -> set[bool]:
    """For one name, whether the account holds it today: {False} base, {True} wildcard, both or neither."""
    rows = await tx.all(_HOLDS, account_id=account_id, type=type_, value=value, now=now)
    return {bool(row[2]) for row in rows}


def authorization_of(row: tuple[Any, ...]) -> Authorization:
    """The record that `row` spells."""
    key, account_id, profile, version, type_, value, wildcard, status, *rest = row
    return Authorization(
        key, account_id, profile, version, type_, value, bool(wildcard), _STATUSES[status], *rest
    )
