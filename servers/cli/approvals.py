"""`certctl approval`: the questions that people are asked, and their answers."""

import difflib
import json
from typing import Any

from cyclopts import App

from policy.access import Action
from policy.decisions import MAX_NOTE, Decided, NoSuchApproval, decide
from policy.loosening import loosens
from policy.profiles import from_json, to_toml
from servers.cli.options import Common, Exit, Failed, examples
from servers.cli.output import say, table
from servers.cli.session import Session, open_session
from servers.cli.words import moment, most, names
from store import approvals, listings, principals, requests
from store.database import Transaction
from store.ids import ApprovalId
from store.records import Approval, ApprovalStatus, Job, JobKind, Principal, Request, Verdict

app = App(name="approval", help="The questions that people are asked, and their answers.")
_COLUMNS = {
    "id": "APPROVAL",
    "status": "STATUS",
    "what": "WHAT",
    "profile": "PROFILE",
    "by": "ASKED BY",
    "given": "GIVEN",
    "role": "ROLE",
    "expires": "EXPIRES",
}


@app.command(name="list", help_epilogue=examples("approval list", "approval list --all --json"))
async def list_(*, all: bool = False, limit: int = 100, common: Common = Common()) -> None:  # noqa: A002
    """List what waits for a decision.

    Args:
        all: Also what was decided or has expired.
        limit: At most so many.
    """
    status = None if all else ApprovalStatus.PENDING
    number = most(limit)

    async def work(tx: Transaction) -> list[dict[str, Any]]:
        return [await _row(tx, one) for one in await listings.latest_approvals(tx, number, status)]

    async with open_session(common) as session:
        rows = await session.look(work)
    table(rows, _COLUMNS, as_json=common.json, empty="nothing waits for a decision")


@app.command(help_epilogue=examples("approval show 1a2105885664980e08f85230"))
async def show(approval: str, /, *, common: Common = Common()) -> None:
    """Show all that there is to know before deciding.

    Args:
        approval: Its id, as `certctl approval list` shows it.
    """
    async with open_session(common) as session:
        document = await session.look(lambda tx: _whole(tx, session, ApprovalId(approval)))
    say(document, as_json=common.json, text=_text(document))


@app.command(help_epilogue=examples("approval approve 1a2105885664980e08f85230 --token-file alice.token"))
async def approve(approval: str, /, *, note: str = "", common: Common = Common()) -> None:
    """Say yes. When enough people have, the request goes on by itself.

    Args:
        approval: Its id.
        note: Why; for the record.
    """
    await _decide(approval, Verdict.APPROVE, note, common)


@app.command(help_epilogue=examples('approval reject 1a2105885664980e08f85230 --note "not ours"'))
async def reject(approval: str, /, *, note: str = "", common: Common = Common()) -> None:
    """Say no. One no ends the request.

    Args:
        approval: Its id.
        note: Why; the requester reads it.
    """
    await _decide(approval, Verdict.REJECT, note, common)


async def _decide(approval: str, verdict: Verdict, note: str, common: Common) -> None:
    if len(note) > MAX_NOTE:
        raise Failed(Exit.USAGE, f"a note has at most {MAX_NOTE} characters")

    async def work(tx: Transaction, by: Principal) -> Decided:
        return await decide(tx, ApprovalId(approval), by, verdict, note, session.now, session.cache)

    async with open_session(common) as session:
        decided = await session.do(Action.DECIDE, work)
    job = decided.job
    document = {
        "approval": decided.approval.id,
        "status": decided.approval.status.value,
        "given": decided.given,
        "required": decided.approval.required,
        "job": None if job is None else {"id": job.id, "status": job.status.value, "held": job.held},
    }
    say(document, as_json=common.json, text=_outcome(decided))


def _outcome(decided: Decided) -> str:
    approval, job = decided.approval, decided.job
    if approval.status is ApprovalStatus.PENDING:
        return f"recorded: {decided.given} of {approval.required} have approved"
    if approval.status is ApprovalStatus.REJECTED or job is None:
        return f"{approval.status}: there will be no certificate"
    if job.kind is JobKind.CHANGE_PROFILE:
        return f"approved: the change of profile {approval.profile} is {job.status}"
    if job.held:
        return "approved: the certificate is issued as soon as its requester comes back for it"
    return "approved: the certificate is being issued"


async def _row(tx: Transaction, approval: Approval) -> dict[str, Any]:
    behind = await listings.behind_approval(tx, approval.id)
    request = None if behind is None else behind[1]
    asker = None if request is None else await principals.get(tx, request.principal_id)
    given = [one for one in await approvals.decisions(tx, approval.id) if one.verdict is Verdict.APPROVE]
    return {
        "id": approval.id,
        "status": approval.status.value,
        "what": _what(approval, request),
        "profile": f"{approval.profile}/{approval.profile_version}",
        "by": None if asker is None else asker.name,
        "given": f"{len(given)} of {approval.required}",
        "role": approval.role,
        "requested": moment(approval.requested_at),
        "expires": moment(approval.expires_at),
    }


def _what(approval: Approval, request: Request | None) -> str:
    if approval.kind is JobKind.CHANGE_PROFILE:
        return f"change of profile {approval.profile}"
    return "-" if request is None else ", ".join(names(request.identifiers))


async def _whole(tx: Transaction, session: Session, approval_id: ApprovalId) -> dict[str, Any]:
    approval = await approvals.get(tx, approval_id)
    if approval is None:
        raise NoSuchApproval(f"there is no approval {approval_id}")
    document = await _row(tx, approval)
    document["digest"] = approval.digest
    document["ended"] = moment(approval.ended_at)
    document["decisions"] = [
        {
            "by": await _name(tx, one.principal_id),
            "verdict": one.verdict.value,
            "note": one.note,
            "at": moment(one.decided_at),
        }
        for one in await approvals.decisions(tx, approval_id)
    ]
    behind = await listings.behind_approval(tx, approval_id)
    if behind is not None:
        document |= await _request(tx, *behind)
        if approval.kind is JobKind.CHANGE_PROFILE:
            document["change"] = await _change(tx, session, behind[1])
    return document


async def _request(tx: Transaction, job: Job, request: Request) -> dict[str, Any]:
    line = sorted(await requests.line(tx, request.id))
    return {
        "job": {"id": job.id, "status": job.status.value, "error": job.error},
        "names": names(request.identifiers),
        "protocol": request.protocol,
        "source": request.source,
        "line": [await _name(tx, one) for one in line],
    }


async def _change(tx: Transaction, session: Session, request: Request) -> dict[str, Any]:
    _, old = await session.cache.pinned(tx, request.profile, request.profile_version)
    definition = json.loads(request.body)["definition"]
    new = None if definition is None else from_json(definition.encode())
    before, after = to_toml(old).splitlines(), [] if new is None else to_toml(new).splitlines()
    return {
        "loosened": list(loosens(old, new)),
        "diff": list(difflib.unified_diff(before, after, "in force", "proposed", lineterm="")),
    }


async def _name(tx: Transaction, principal_id: Any) -> str:
    found = await principals.get(tx, principal_id)
    return str(principal_id) if found is None else found.name


def _text(document: dict[str, Any]) -> str:
    lines = [
        f"{key:<10} {document[key]}"
        for key in ("id", "status", "what", "profile", "by", "source")
        if document.get(key)
    ]
    lines += [
        f"{'needs':<10} {document['given']} given, from holders of {document['role']}, until {document['expires']}"
    ]
    if document.get("line"):
        lines.append(f"{'not by':<10} {', '.join(document['line'])}   (the request's own line)")
    lines += [
        f"{one['verdict']:<10} {one['by']} at {one['at']}" + (f": {one['note']}" if one["note"] else "")
        for one in document["decisions"]
    ]
    if document.get("job"):
        job = document["job"]
        lines.append(
            f"{'job':<10} {job['id']} {job['status']}" + (f": {job['error']}" if job["error"] else "")
        )
    if change := document.get("change"):
        lines += [
            "",
            "what it loosens:",
            *(f"  {words}" for words in change["loosened"]),
            "",
            *change["diff"],
        ]
    return "\n".join(lines)
