"""What can happen next: every step that people, clients, workers and time can take in the present state.

A step is a label and a deed. The deed goes through the public entry points, and where the world is asked
something it must refuse, the deed checks that it did.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final, cast

from policy import profile_changes, scheduler
from policy.approvals import DecisionRefused
from policy.decisions import decide
from policy.enrollment import Submitted, collect, withdraw
from policy.profile_cache import ProfileUnreadable
from policy.profiles import Profile
from policy.worker import Prepared, Signed, Taken, content_of
from store import certificates
from store.clock import Millis, after
from store.database import Database
from store.ids import ApprovalId, JobId, Serial
from store.jobs import ClaimedJob
from store.records import Verdict
from store.sqlite import run
from tests.policy.proof.invariants import Violation
from tests.policy.proof.picture import ApprovalRow, JobRow, Picture
from tests.policy.proof.stage import APPROVERS, NAMES, PROFILE, Stage

Step = tuple[str, Callable[[], None]]
_LAPSE: Final = timedelta(hours=1)  # longer than a lease, much shorter than an approval
_EXPIRE: Final = timedelta(days=8)  # longer than an approval stands open or can be collected
_ALIVE: Final = frozenset({"awaiting_approval", "pending", "running"})


def steps(stage: Stage, picture: Picture) -> Iterator[Step]:
    """Every step from here."""
    yield from _people(stage, picture)
    yield from _clients(stage, picture)
    yield from _operators(stage, picture)
    yield from _workers(stage, picture)
    yield from _time(stage, picture)


def _people(stage: Stage, picture: Picture) -> Iterator[Step]:
    spoke = {who for approval in picture.approvals.values() for who, _ in approval.words}
    strangers = not any(stage.people[name].id in spoke for name in APPROVERS)
    for number, approval in enumerate(picture.approvals.values()):
        for name in ("rita", *APPROVERS):
            if strangers and name == APPROVERS[1]:
                continue  # until one of the two has said a word they are the same person to us
            for verdict in Verdict if approval.status == "pending" else (Verdict.APPROVE,):
                yield (
                    f"{name} says {verdict} to question {number}",
                    partial(_speak, stage, approval, name, verdict),
                )


def _speak(stage: Stage, approval: ApprovalRow, name: str, verdict: Verdict) -> None:
    person = stage.people[name]
    may = (
        name != "rita"
        and approval.status == "pending"
        and stage.now < approval.expires_at
        and person.id not in {who for who, _ in approval.words}
    )
    try:
        stage.write(
            lambda tx: decide(tx, ApprovalId(approval.id), person, verdict, "", stage.now, stage.cache)
        )
    except DecisionRefused as refusal:
        if may:
            raise Violation(f"{name} was not let decide: {refusal}") from refusal
        return
    if not may:
        raise Violation(f"{name} was let decide")
    stage.remember(words=stage.ledger.words | {(approval.id, person.id, verdict.value)})


def _clients(stage: Stage, picture: Picture) -> Iterator[Step]:
    asked = len({job.identifiers for job in picture.jobs.values() if job.kind == "issue"})
    if stage.submissions < stage.setting.submissions:
        for name in NAMES[: min(asked + 1, stage.setting.names)]:
            yield f"the client asks for {name}", partial(_submit, stage, name)
            label = f"the client asks for {name}, a worker close by"
            yield label, partial(_submit, stage, name, close_by=True)
    for number, job in enumerate(picture.jobs.values()):
        if job.kind == "issue" and job.status in _ALIVE:
            yield f"the client comes to collect job {number}", partial(_collect, stage, job)


def _submit(stage: Stage, name: str, *, close_by: bool = False) -> None:
    hand = stage.worker if close_by else None
    try:
        outcome = stage.write(
            lambda tx: stage.gate.submit(tx, stage.requester(), stage.enrollment(name), stage.now, hand)
        )
    except ProfileUnreadable:
        return  # it was deleted
    if not isinstance(outcome, Submitted):
        raise Violation(f"the request was refused: {outcome}")
    stage.submissions += 1
    if isinstance(outcome.taken, Taken):
        stage.flights.append(outcome.taken.prepared)
    stage.remember(lines=stage.ledger.lines | {outcome.job_id: stage.line()})


def _collect(stage: Stage, job: JobRow) -> None:
    stage.write(lambda tx: collect(tx, JobId(job.id), stage.now))


def _operators(stage: Stage, picture: Picture) -> Iterator[Step]:
    for number, job in enumerate(picture.jobs.values()):
        if job.kind == "issue" and job.status in _ALIVE:
            yield f"job {number} is withdrawn", partial(_withdraw, stage, job)
    if stage.changes < stage.setting.changes:
        version = picture.in_force[PROFILE]
        for word, to in proposals(stage).items():
            if version is not None or to is not None:
                yield f"rita wants the profile {word}", partial(_propose, stage, to)


def proposals(stage: Stage) -> dict[str, Profile | None]:
    """The changes that rita may want. `back` is the profile as it was at first."""
    profile = stage.profile
    validity = profile.validity.model_copy(update={"max": timedelta(days=30), "default": timedelta(days=30)})
    return {
        "tighter": profile.model_copy(update={"validity": validity}),
        "without approval": profile.model_copy(update={"requires_approval": False, "approval": None}),
        "deleted": None,
        "back": profile,
    }


def _withdraw(stage: Stage, job: JobRow) -> None:
    rita = stage.people["rita"].id
    if stage.write(lambda tx: withdraw(tx, JobId(job.id), rita, stage.now, "withdrawn")):
        stage.remember(withdrawn=stage.ledger.withdrawn | {job.id})


def _propose(stage: Stage, to: Profile | None) -> None:
    rita = stage.people["rita"].id
    outcome = stage.write(lambda tx: profile_changes.propose(tx, PROFILE, to, rita, stage.now, stage.cache))
    if isinstance(outcome, profile_changes.Unchanged):
        return
    stage.changes += 1
    known = stage.ledger.lines
    new = {job: frozenset({str(rita)}) for job in stage.picture().jobs if job not in known}
    stage.remember(lines=known | new)


def _workers(stage: Stage, picture: Picture) -> Iterator[Step]:
    if any(job.kind == "issue" and job.status in _ALIVE for job in picture.jobs.values()):
        yield "a worker claims a job", partial(_claim, stage, picture)
    for number, flight in enumerate(stage.flights):
        whose = f"{number} (fence {_claim_of(flight).fence})"
        if isinstance(flight, Prepared):
            yield f"worker {whose} signs", partial(_sign, stage, number)
            yield f"worker {whose} dies before signing", partial(_die, stage, number)
            if stage.now < flight.until:
                yield f"worker {whose} cannot reach its key", partial(_sign, stage, number, broken=True)
        else:
            yield f"worker {whose} stores", partial(_store, stage, number)
            yield f"worker {whose} dies after signing", partial(_die, stage, number)


def _claim_of(flight: Prepared | Signed) -> ClaimedJob:
    return flight.claimed if isinstance(flight, Prepared) else flight.prepared.claimed


def _claim(stage: Stage, picture: Picture) -> None:
    ready = [job.run_after for job in picture.jobs.values() if job.status == "pending" and not job.held]
    if ready:  # a pause after a failure is seconds; nothing else ends in them
        stage.now = Millis(max(stage.now, min(ready)))
    _, prepared = run(stage.worker.claim_and_prepare(1))
    stage.flights += prepared


def _sign(stage: Stage, number: int, *, broken: bool = False) -> None:
    flight = stage.flights.pop(number)
    assert isinstance(flight, Prepared)
    # A ticket is spent once, and this moment is lived through many times: mint it again, for the same content.
    serial = Serial(certificates.serial_number(flight.intent.serial))
    ticket = flight.signer.prepare(flight.claimed, content_of(flight.plan, serial))
    if ticket.tbs_sha256 != flight.intent.tbs_sha256:
        raise Violation("the same content came out otherwise")
    stage.key.broken = broken
    signed = run(stage.worker.sign(replace(flight, ticket=ticket)))
    stage.key.broken = False
    if signed is not None:
        stage.flights.append(signed)


def _store(stage: Stage, number: int) -> None:
    flight = stage.flights.pop(number)
    assert isinstance(flight, Signed)
    run(stage.worker.store(flight))


def _die(stage: Stage, number: int) -> None:
    del stage.flights[number]


def _time(stage: Stage, picture: Picture) -> Iterator[Step]:
    running = [job for job in picture.jobs.values() if job.status == "running"]
    if any(job.lease_until is not None and stage.now < job.lease_until for job in running):
        yield "an hour passes", partial(_pass, stage, _LAPSE)
    if any(_still_good(approval, stage.now) for approval in picture.approvals.values()):
        yield "eight days pass", partial(_pass, stage, _EXPIRE)
    yield "the scheduler ticks", partial(_tick, stage)


def _still_good(approval: ApprovalRow, now: Millis) -> bool:
    if approval.status == "pending":
        return now < approval.expires_at
    return approval.ended_at is not None and now < approval.ended_at + approval.reuse_window


def _pass(stage: Stage, span: timedelta) -> None:
    stage.now = after(stage.now, span)


def _tick(stage: Stage) -> None:
    run(scheduler.tick(cast("Database", stage.database), stage.now))
