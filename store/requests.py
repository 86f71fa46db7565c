"""Requests: what was asked, pinned for good, and who stands in its line."""

from typing import Final

from sqlalchemy import bindparam, select

from store.database import Transaction
from store.ids import PrincipalId, RequestId
from store.records import JobKind, Request
from store.schema import request_line, requests
from store.statements import Statement, insert_row, select_by

_INSERT: Final = insert_row(requests)
_INSERT_LINE: Final = insert_row(request_line)
_GET: Final = select_by(Request, requests, "id")
_LINE: Final = Statement(
    select(request_line.c.principal_id).where(request_line.c.request_id == bindparam("request_id"))
)


async def insert(tx: Transaction, request: Request, line: frozenset[PrincipalId]) -> None:
    """Pin `request`. `line` are the principals who may not decide it: its requester among them."""
    await tx.execute(
        _INSERT,
        id=request.id,
        kind=request.kind.value,
        protocol=request.protocol,
        principal_id=request.principal_id,
        account_id=request.account_id,
        profile=request.profile,
        profile_version=request.profile_version,
        body=request.body,
        identifiers=request.identifiers,
        not_before=request.not_before,
        not_after=request.not_after,
        digest=request.digest,
        approval_digest=request.approval_digest,
        source=request.source,
        created_at=request.created_at,
    )
    for principal_id in sorted(line | {request.principal_id}):
        await tx.execute(_INSERT_LINE, request_id=request.id, principal_id=principal_id)


async def get(tx: Transaction, request_id: RequestId) -> Request:
    """The request of that id; KeyError if there is none, which the foreign keys rule out."""
    row = await tx.one(_GET, id=request_id)
    if row is None:
        raise KeyError(request_id)
    return Request(row[0], JobKind(row[1]), *row[2:])


async def line(tx: Transaction, request_id: RequestId) -> frozenset[PrincipalId]:
    """Who stands in its line."""
    return frozenset(PrincipalId(row[0]) for row in await tx.all(_LINE, request_id=request_id))
