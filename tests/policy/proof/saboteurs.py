"""Ways to take a part of the gate away, for showing that the rest holds, or that the proof would notice."""

import sqlite3
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, select, update

from policy import decisions, enrollment, profile_changes, worker
from policy.approvals import usable
from policy.hand import Hand
from store import approvals, jobs
from store.clock import Millis
from store.database import Transaction
from store.records import Approval, ApprovalStatus, Job, JobKind, JobStatus, Request
from store.schema import jobs as table
from store.statements import Statement, columns_of, one_of


def drop_guards(connection: sqlite3.Connection) -> None:
    """Layer 4 away: no trigger is left."""
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")


def claim_anything(patch: Any) -> None:
    """Layer 3 away: the claim takes jobs that wait for approval, and the worker does not ask about approvals."""
    open_job = (table.c.kind == JobKind.ISSUE.value) & table.c.status.in_(
        one_of(JobStatus.AWAITING_APPROVAL.value, JobStatus.PENDING.value)
    )
    claimable = select(table.c.id).where(open_job).limit(bindparam("most"))
    claim = (
        update(table)
        .values(
            status=JobStatus.RUNNING.value,
            fence=table.c.fence + 1,
            attempts=table.c.attempts + 1,
            worker=bindparam("by"),
            lease_until=bindparam("until"),
            updated_at=bindparam("now"),
        )
        .returning(*columns_of(Job, table))
    )
    patch.setattr(jobs, "_CLAIM", Statement(claim.where(table.c.id.in_(claimable.scalar_subquery()))))
    at_once = Statement(claim.where(open_job, table.c.id == bindparam("key")))
    patch.setattr(jobs, "_CLAIM_AT_ONCE", at_once)
    trust_any_claim(patch)


def offer_everything(patch: Any) -> None:
    """A part of layer 1 away: the gate offers every job to the worker close by, whatever it waits for."""
    submit = enrollment.Gate.submit

    async def generous(
        gate: enrollment.Gate, tx: Transaction, who: Any, what: Any, now: Millis, hand: Hand | None = None
    ) -> enrollment.Submitted | enrollment.Refusal:
        outcome = await submit(gate, tx, who, what, now)
        if hand is None or isinstance(outcome, enrollment.Refusal):
            return outcome
        return replace(outcome, taken=await hand.take(tx, outcome.job_id))

    patch.setattr(enrollment.Gate, "submit", generous)


def trust_any_claim(patch: Any) -> None:
    """A part of layer 3 away: the worker does not ask whether an approval stands."""
    patch.setattr(worker, "check_stands", lambda *_: None)


def let_anybody_decide(patch: Any) -> None:
    """A part of layer 2 away: nobody is refused a decision."""
    patch.setattr(decisions, "check_may_decide", lambda *_: None)


def one_word_is_enough(patch: Any) -> None:
    """A part of layer 2 away: the count is not kept."""
    patch.setattr(decisions, "tally", lambda _required, _words: ApprovalStatus.APPROVED)


def change_profiles_freely(patch: Any) -> None:
    """The closure away: no change counts as loosening."""
    patch.setattr(profile_changes, "loosens", lambda _old, _new: ())


def revive_withdrawn(patch: Any) -> None:
    """An approval whose job was withdrawn serves the next request all the same."""

    async def covering(tx: Transaction, request: Request, now: Millis) -> Approval | None:
        for approval in await approvals.covering(tx, request.approval_digest):
            if usable(approval, now) and await jobs.live_of_approval(tx, approval.id) is None:
                return approval
        return None

    patch.setattr(enrollment, "_covering", covering)
