"""One name for all states that will behave alike: ids by first appearance, times by what they still matter.

Two states with one canonical form differ in ids, in absolute times and in what has ended for good; nothing
the code does later depends on these. Audit rows are left out.
"""

from hashlib import blake2b

from policy.worker import Prepared
from tests.policy.proof.picture import ApprovalRow, JobRow, Picture
from tests.policy.proof.stage import APPROVERS, PROFILE, Stage

_ENDED = frozenset({"completed", "failed", "cancelled"})


def canonical(stage: Stage, picture: Picture) -> bytes:
    """A digest that equal-behaving states share. Alice and bob are interchangeable."""
    alice, bob = (stage.people[name].id for name in APPROVERS)
    forms = [_form(stage, picture, {alice: "x", bob: "y"}), _form(stage, picture, {alice: "y", bob: "x"})]
    return blake2b(min(forms).encode(), digest_size=16).digest()


def _form(stage: Stage, picture: Picture, names: dict[str, str]) -> str:
    numbers = {job: n for n, job in enumerate(picture.jobs)}
    approvals = {approval: n for n, approval in enumerate(picture.approvals)}
    digests: dict[str, int] = {}
    leaning = {
        job.approval: job for job in picture.jobs.values() if job.approval and job.status != "cancelled"
    }
    parts: list[object] = [
        stage.submissions,
        stage.changes,
        picture.in_force[PROFILE],
        sorted(
            (version, hash(text)) for (name, version), text in picture.versions.items() if name == PROFILE
        ),
    ]
    for approval in picture.approvals.values():
        job = leaning.get(approval.id)
        digest = digests.setdefault(approval.digest, len(digests))
        parts.append((digest, *_approval(stage, approval, job, names)))
    signed = {job for _, job in stage.ledger.signed}
    for job in picture.jobs.values():
        digest = digests.setdefault(job.approval_digest, len(digests))
        approval_number = None if job.approval is None else approvals[job.approval]
        parts.append((digest, approval_number, *_job(stage, job), job.id in signed))
    parts.extend(sorted(_flights(stage, picture, numbers)))
    return repr(parts)


def _approval(
    stage: Stage, row: ApprovalRow, job: JobRow | None, names: dict[str, str]
) -> tuple[object, ...]:
    if row.status == "pending":
        words = sorted((names[who], verdict) for who, verdict in row.words)
        return row.kind, row.profile_version, row.status, stage.now < row.expires_at, words
    if row.status == "approved":
        collectable = row.ended_at is not None and stage.now < row.ended_at + row.reuse_window
        # Who agreed matters while something may still be signed on it.
        alive = job is not None and job.status not in _ENDED
        return row.kind, row.status, alive and collectable
    return row.kind, row.status


def _job(stage: Stage, row: JobRow) -> tuple[object, ...]:
    if row.kind == "change_profile":
        return row.kind, row.status, row.profile_version, row.digest
    if row.status in _ENDED:
        return row.kind, row.status, row.issued
    leased = row.lease_until is not None and stage.now < row.lease_until
    return (
        row.kind,
        row.status,
        row.profile_version,
        row.held,
        row.fence,
        row.attempts,
        leased,
        row.tbs is not None,
    )


def _flights(stage: Stage, picture: Picture, numbers: dict[str, int]) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for flight in stage.flights:
        prepared = flight if isinstance(flight, Prepared) else flight.prepared
        claimed = prepared.claimed
        too_late = isinstance(flight, Prepared) and stage.now >= prepared.until
        if too_late and stage.setting.forget_late:
            continue  # the worker itself says so, and nothing comes of it any more
        # Of a job that has ended every claim is an old one.
        fence = 0 if picture.jobs[claimed.job_id].status in _ENDED else claimed.fence
        found.append((numbers[claimed.job_id], fence, type(flight).__name__, too_late))
    return found
