"""`certctl job` and `certctl issuer`: what is under way, and who signs."""

from typing import Any

from cryptography import x509
from cyclopts import App

from ca.keys import describe
from policy.access import Action
from policy.decisions import MAX_NOTE
from policy.enrollment import withdraw
from servers.cli.options import Common, Exit, Failed, examples
from servers.cli.output import say, table
from servers.cli.session import open_session
from servers.cli.words import moment, most, names
from store import issuers, jobs, listings, principals, requests
from store.database import Transaction
from store.ids import JobId
from store.records import Job, JobKind, Principal

app = App(name="job", help="What is under way, and how it ended.")
issuer_app = App(name="issuer", help="The authorities that sign.")


@app.command(name="list", help_epilogue=examples("job list --limit 20"))
async def list_(*, limit: int = 100, common: Common = Common()) -> None:
    """List the newest jobs.

    Args:
        limit: At most so many.
    """
    number = most(limit)

    async def work(tx: Transaction) -> list[dict[str, Any]]:
        return [await _row(tx, one) for one in await listings.latest_jobs(tx, number)]

    async with open_session(common) as session:
        rows = await session.look(work)
    columns = {
        "id": "JOB",
        "status": "STATUS",
        "what": "WHAT",
        "profile": "PROFILE",
        "updated": "UPDATED",
        "error": "ERROR",
    }
    table(rows, columns, as_json=common.json, empty="there are no jobs")


@app.command(help_epilogue=examples("job show 1a21051ff584948a6b7c4995"))
async def show(job: str, /, *, common: Common = Common()) -> None:
    """Show a job.

    Args:
        job: Its id.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        found = await _find(tx, job)
        request = await requests.get(tx, found.request_id)
        asker = await principals.get(tx, request.principal_id)
        return await _row(tx, found) | {
            "held": found.held,
            "by": None if asker is None else asker.name,
            "protocol": request.protocol,
            "source": request.source,
            "approval": found.approval_id,
            "attempts": found.attempts,
            "worker": found.worker,
            "created": moment(found.created_at),
            "digest": request.digest,
        }

    async with open_session(common) as session:
        document = await session.look(work)
    text = "\n".join(f"{key:<10} {value}" for key, value in document.items() if value is not None)
    say(document, as_json=common.json, text=text)


@app.command(help_epilogue=examples('job cancel 1a21051ff584948a6b7c4995 --note "wrong host"'))
async def cancel(job: str, /, *, note: str = "", common: Common = Common()) -> None:
    """Cancel a job that nobody has begun; the question it asked is closed.

    Args:
        job: Its id.
        note: Why; the requester reads it.
    """
    if len(note) > MAX_NOTE:
        raise Failed(Exit.USAGE, f"a note has at most {MAX_NOTE} characters")

    async def work(tx: Transaction, by: Principal) -> Job:
        found = await _find(tx, job)
        why = f"cancelled by {by.name}" + (f": {note}" if note else "")
        if not await withdraw(tx, found.id, by.id, session.now, why):
            raise Failed(
                Exit.REFUSED, f"the job is {found.status}: only what nobody has begun can be cancelled"
            )
        return await _find(tx, job)

    async with open_session(common) as session:
        found = await session.do(Action.CANCEL_JOBS, work)
    say({"job": found.id, "status": found.status.value}, as_json=common.json, text=f"cancelled {found.id}")


@issuer_app.command(name="list", help_epilogue=examples("issuer list"))
async def list_issuers(*, common: Common = Common()) -> None:
    """List the authorities that sign."""
    async with open_session(common) as session:
        found = await session.look(issuers.every)
    rows = []
    for one in found:
        certificate = x509.load_der_x509_certificate(one.certificate)
        key = describe(certificate.public_key())
        rows.append(
            {
                "name": one.name,
                "subject": certificate.subject.rfc4514_string(),
                "key": f"{key.algorithm}" + (f"-{key.bits}" if key.algorithm == "rsa" else ""),
                "serial": f"{certificate.serial_number:x}",
                "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
                "key_file": one.key_file,
            }
        )
    columns = {
        "name": "ISSUER",
        "subject": "SUBJECT",
        "key": "KEY",
        "not_after": "ENDS",
        "key_file": "KEY FILE",
    }
    table(rows, columns, as_json=common.json, empty="there are no issuers")


async def _find(tx: Transaction, job: str) -> Job:
    found = await jobs.get(tx, JobId(job))
    if found is None:
        raise Failed(Exit.NOT_FOUND, f"there is no job {job}")
    return found


async def _row(tx: Transaction, job: Job) -> dict[str, Any]:
    request = await requests.get(tx, job.request_id)
    change = job.kind is JobKind.CHANGE_PROFILE
    return {
        "id": job.id,
        "status": job.status.value,
        "what": f"change of profile {request.profile}" if change else ", ".join(names(request.identifiers)),
        "profile": f"{request.profile}/{request.profile_version}",
        "updated": moment(job.updated_at),
        "error": job.error,
    }
