"""A proof that cannot fail proves nothing: with a check taken out, the walk must find the way to the harm."""

import pytest

from policy import scheduler
from store import approvals
from store.clock import Millis, to_millis
from store.database import DatabaseRefused, Transaction
from store.records import ApprovalStatus
from tests.common.world import START
from tests.policy.proof import saboteurs
from tests.policy.proof.invariants import Violation
from tests.policy.proof.stage import Setting, Stage
from tests.policy.proof.walk import walk

SMALL = Setting(submissions=1, names=1, attempts=1)


def _drop_guards(stage: Stage) -> None:
    saboteurs.drop_guards(stage.connection)


def test_a_claim_of_unapproved_jobs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    saboteurs.claim_anything(monkeypatch)
    with pytest.raises(
        Violation, match=r"is running, undecided(?s:.*)asks for(?s:.*)\* a worker claims a job"
    ):
        walk(SMALL, _drop_guards)


def test_a_worker_close_by_that_takes_what_waits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    saboteurs.offer_everything(monkeypatch)
    saboteurs.claim_anything(monkeypatch)
    with pytest.raises(
        Violation, match=r"is running, undecided\n\* the client asks(?s:.*), a worker close by"
    ):
        walk(SMALL, _drop_guards)


def test_a_decision_in_one_s_own_line_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    saboteurs.let_anybody_decide(monkeypatch)
    with pytest.raises(Violation, match=r"rita was let decide"):
        walk(SMALL, _drop_guards)


def test_a_signature_with_too_few_words_is_found_at_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    saboteurs.one_word_is_enough(monkeypatch)
    saboteurs.trust_any_claim(monkeypatch)
    with pytest.raises(Violation, match=r"1 of 2 persons agreed(?s:.*)\* worker 0 \(fence 1\) signs"):
        walk(Setting(required=2, submissions=1, names=1, attempts=1), _drop_guards)


def test_a_profile_loosened_by_one_hand_is_found_at_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    saboteurs.change_profiles_freely(monkeypatch)
    with pytest.raises(
        Violation, match=r"has no approval\n  rita wants the profile without approval(?s:.*)signs"
    ):
        walk(Setting(submissions=1, names=1, attempts=1, changes=1), _drop_guards)


def test_an_approval_that_outlives_a_withdrawal_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    saboteurs.revive_withdrawn(monkeypatch)
    with pytest.raises(Violation, match=r"was withdrawn, and another job leans on its approval"):
        walk(Setting(names=1, attempts=1))


def test_a_worker_whose_clock_stands_still_is_found() -> None:
    def stop_clock(stage: Stage) -> None:
        stage.worker._clock = lambda: to_millis(START)

    with pytest.raises(Violation, match=r"signs for a job that is (?s:.*)an hour passes(?s:.*)\* worker 0"):
        walk(Setting(submissions=1, names=1, forget_late=False), stop_clock)


def test_an_expiry_that_leaves_its_job_open_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end_only(tx: Transaction, now: Millis) -> int:
        for approval in await approvals.due(tx, now, 100):
            await approvals.end(tx, approval.id, ApprovalStatus.EXPIRED, now)
        return 0

    monkeypatch.setattr(scheduler, "STEPS", (end_only,))
    with pytest.raises(Violation, match=r"awaiting_approval on an approval that is expired"):
        walk(SMALL)


def test_the_database_stops_a_claim_of_unapproved_jobs_before_the_walk_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saboteurs.claim_anything(monkeypatch)
    with pytest.raises(DatabaseRefused, match="not a move of its state machine"):
        walk(SMALL)
