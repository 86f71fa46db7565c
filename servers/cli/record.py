"""`certctl audit`: the record of who did what."""

import json
from typing import Any

from cyclopts import App

from servers.cli.options import Common, examples
from servers.cli.output import say, table
from servers.cli.session import open_session
from servers.cli.words import moment, most
from store import audit, listings, principals
from store.database import Transaction
from store.ids import PrincipalId
from store.records import AuditRow

app = App(name="audit", help="The record of who did what: append-only, each row chained to the one before.")


@app.command(name="list", help_epilogue=examples("audit list --subject 01m8... --json"))
async def list_(*, subject: str | None = None, limit: int = 100, common: Common = Common()) -> None:
    """List the newest rows.

    Args:
        subject: Only about this job, approval, account, principal or profile.
        limit: At most so many.
    """
    number = most(limit)

    async def work(tx: Transaction) -> list[dict[str, Any]]:
        return [await _row(tx, one) for one in await listings.latest_audit(tx, number, subject)]

    async with open_session(common) as session:
        rows = await session.look(work)
    columns = {"at": "AT", "actor": "WHO", "action": "DID", "subject": "TO", "detail": "DETAIL"}
    shown = rows if common.json else [row | {"detail": json.dumps(row["detail"])} for row in rows]
    table(shown, columns, as_json=common.json, empty="there is nothing")


@app.command(help_epilogue=examples("audit verify"))
async def verify(*, common: Common = Common()) -> None:
    """Check that no row was altered or taken out: every chain, from its first row to its last."""
    async with open_session(common) as session:
        count = await session.look(audit.verify)
    say({"rows": count, "intact": True}, as_json=common.json, text=f"{count} rows, all as they were written")


async def _row(tx: Transaction, one: AuditRow) -> dict[str, Any]:
    who = await principals.get(tx, PrincipalId(one.actor))
    return {
        "at": moment(one.at),
        "actor": one.actor if who is None else who.name,
        "action": one.action,
        "subject": one.subject,
        "detail": json.loads(one.detail),
        "chain": one.chain,
        "seq": one.seq,
    }
