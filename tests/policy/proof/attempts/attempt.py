"""One attempt of raw SQL, and the phrases that attempts are made of.

Texts name rows as `<job_held>`: the ids of `tests.policy.proof.scene`.
"""

import re
from dataclasses import dataclass
from typing import Final

from store.schema import metadata

NOW: Final = "1795608000000"  # the scene's moment
LATE: Final = "1999999999999"


@dataclass(frozen=True)
class Attempt:
    """`what` is done by `sql`, after `before`, which passes; `guard` refuses it."""

    guard: str
    what: str
    sql: str
    before: tuple[str, ...] = ()
    engine: str | None = None
    """The only engine that can spell it."""
    doubly: bool = False
    """Whether a constraint of the table refuses it as well, should the guard be gone."""

    def __str__(self) -> str:
        return f"{self.guard}-{self.what.replace(' ', '-')}"


def on_sqlite(guard: str, what: str, sql: str) -> Attempt:
    """An attempt in SQLite's own words."""
    return Attempt(guard, what, sql, engine="sqlite")


def filled(text: str, ids: dict[str, str]) -> str:
    """`text` with ids in the place of names."""
    return re.sub(r"<(\w+)>", lambda name: ids[name[1]], text)


def copied(table: str, where: str, *, verb: str = "INSERT", **changes: str) -> str:
    """An insert of the rows of `table` that `where` finds, with some columns replaced by SQL expressions."""
    columns = [column.name for column in metadata.tables[table].columns]
    hidden = [name for name in changes if name == "rowid"]
    names = ", ".join([*hidden, *columns])
    values = ", ".join(changes.get(name, name) for name in [*hidden, *columns])
    return f"{verb} INTO {table} ({names}) SELECT {values} FROM {table} WHERE {where}"


def overwritten(table: str, where: str, key: str, change: str) -> str:
    """An insert of a row that is there, which on conflict changes it."""
    return f"{copied(table, where)} ON CONFLICT ({key}) DO UPDATE SET {change}"


def plain(table: str, where: str, update: str | None) -> list[Attempt]:
    """The plain attempts on a table from which nobody deletes, and which, given `update`, nobody updates."""
    tries = [
        Attempt(f"{table}_no_delete", "delete", f"DELETE FROM {table} WHERE {where}", doubly=True),
        Attempt(f"{table}_no_delete", "truncate", f"TRUNCATE {table} CASCADE", engine="postgresql"),
    ]
    if update is not None:
        rewrite = f"UPDATE {table} SET {update} WHERE {where}"
        tries.append(Attempt(f"{table}_no_update", "rewrite", rewrite))
    return tries


def word(who: str, approval: str, verdict: str = "approve", at: str = NOW, verb: str = "INSERT") -> str:
    """A decision."""
    return (
        f"{verb} INTO approval_decisions (approval_id, principal_id, verdict, note, decided_at)"
        f" VALUES ('{approval}', '<{who}>', '{verdict}', '', {at})"
    )


def job(status: str, request: str, approval: str | None, *, verb: str = "INSERT", **changes: str) -> str:
    """A new job, as the gate would write it but for what is said here."""
    fresh = {
        "id": "'new-job'",
        "status": f"'{status}'",
        "request_id": f"'{request}'",
        "gated": "false" if approval is None else "true",
        "approval_id": "NULL" if approval is None else f"'{approval}'",
        "held": "false",
        "created_at": NOW,
    }
    return copied("jobs", "id = '<job_awaiting>'", verb=verb, **(fresh | changes))


def claimed(job_id: str) -> str:
    """A claim, as the worker makes it."""
    return f"UPDATE jobs SET status = 'running', fence = fence + 1, attempts = attempts + 1 WHERE id = '{job_id}'"


def intent(job_id: str, *, verb: str = "INSERT", serial: str = "abc") -> str:
    """What is about to be signed."""
    return (
        f"{verb} INTO intents (job_id, issuer, serial, tbs_sha256, not_before, not_after, recorded_at)"
        f" VALUES ('{job_id}', 'issuing', '{serial}', 'digest', 1, 2, {NOW})"
    )


def certificate(of: str, *, verb: str = "INSERT", **changes: str) -> str:
    """A certificate for the running job `of`, as it intended; its DER is a forger's."""
    fields = {
        "issuer": "i.issuer",
        "serial": "i.serial",
        "job_id": "j.id",
        "request_id": "r.id",
        "approval_id": "j.approval_id",
        "profile": "r.profile",
        "profile_version": "r.profile_version",
        "principal_id": "r.principal_id",
        "account_id": "r.account_id",
        "fence": "j.fence",
        "der": "r.body",
        "tbs_sha256": "i.tbs_sha256",
        "sha256": "'sha256'",
        "spki_sha256": "'spki'",
        "subject": "''",
        "not_before": "i.not_before",
        "not_after": "i.not_after",
        "issued_at": NOW,
        "revoked_at": "NULL",
        "revocation_reason": "NULL",
        "revoked_by": "NULL",
    } | changes
    return (
        f"{verb} INTO certificates ({', '.join(fields)}) SELECT {', '.join(fields.values())}"
        f" FROM jobs j JOIN requests r ON r.id = j.request_id LEFT JOIN intents i ON i.job_id = j.id"
        f" WHERE j.id = '<job_{of}>'"
    )
