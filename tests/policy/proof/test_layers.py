"""Each of the four layers taken away in turn: the others still keep a refused request from being signed.

What "away" means is written in `saboteurs`. Where another layer is taken away as well, the name says so.
"""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ca.signer import SigningRefused
from policy import enrollment, scheduler
from policy.decisions import decide
from policy.enrollment import Submitted, collect
from policy.hand import Hand, NotTaken
from policy.jobs import LEASE
from policy.rules import Permitted, evaluate
from store import approvals, jobs, requests
from store.clock import after
from store.database import DatabaseRefused, Transaction
from store.ids import ApprovalId, JobId, PrincipalId, RequestId, new_id
from store.jobs import ClaimedJob
from store.records import Job, JobStatus, Verdict
from store.sqlite import run
from tests.policy.proof import saboteurs
from tests.policy.proof.invariants import check
from tests.policy.proof.stage import Setting, Stage
from tests.policy.proof.walk import bounded, walk

SMALL = Setting(submissions=1, names=1, attempts=1)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with bounded(attempts=2):
        yield Stage(Setting(submissions=4, names=1))


@pytest.fixture
def strict() -> Iterator[Stage]:
    """A profile that asks two."""
    with bounded(attempts=2):
        yield Stage(Setting(required=2, submissions=4, names=1))


def ask(stage: Stage, hand: Hand | None = None) -> Submitted:
    outcome = stage.write(
        lambda tx: stage.gate.submit(tx, stage.requester(), stage.enrollment("a.example"), stage.now, hand)
    )
    assert isinstance(outcome, Submitted)
    stage.remember(lines=stage.ledger.lines | {outcome.job_id: stage.line()})
    return outcome


def say(stage: Stage, outcome: Submitted, name: str, verdict: Verdict) -> None:
    assert outcome.approval_id is not None
    approval, person = outcome.approval_id, stage.people[name]
    stage.write(lambda tx: decide(tx, approval, person, verdict, "", stage.now, stage.cache))
    stage.remember(words=stage.ledger.words | {(approval, person.id, verdict.value)})


def refused(stage: Stage) -> Submitted:
    outcome = ask(stage)
    say(stage, outcome, "alice", Verdict.REJECT)
    return outcome


def do_everything(stage: Stage, outcome: Submitted) -> None:
    """All that client, worker and scheduler can do for a job."""
    stage.write(lambda tx: collect(tx, outcome.job_id, stage.now))
    for _ in range(3):
        _, prepared = run(stage.worker.claim_and_prepare(10))
        for one in prepared:
            signed = run(stage.worker.sign(one))
            if signed is not None:
                run(stage.worker.store(signed))
        stage.now = after(stage.now, LEASE * 2)
        stage.write(lambda tx: scheduler.reclaim_lapsed(tx, stage.now))


def try_everything(stage: Stage, outcome: Submitted) -> None:
    """Do it all, in vain."""
    do_everything(stage, outcome)
    nothing_signed(stage)


def nothing_signed(stage: Stage) -> None:
    assert not stage.picture().certificates
    assert not stage.ledger.signed
    assert stage.broken_promise is None


def status(stage: Stage, job_id: str) -> str:
    return stage.picture().jobs[job_id].status


def force(stage: Stage, sql: str) -> None:
    """A move that no code of ours makes."""
    stage.connection.execute(sql)


# Nothing taken away


def test_a_refused_request_is_not_signed(stage: Stage) -> None:
    outcome = refused(stage)
    try_everything(stage, outcome)
    check(stage.picture(), stage.ledger)
    assert status(stage, outcome.job_id) == "cancelled"


def test_an_approved_request_is_signed_once(stage: Stage) -> None:
    outcome = ask(stage)
    say(stage, outcome, "alice", Verdict.APPROVE)
    do_everything(stage, outcome)
    assert len(stage.picture().certificates) == len(stage.ledger.signed) == 1
    check(stage.picture(), stage.ledger)


# Layer 1, the gate


@pytest.mark.parametrize("guards", [True, False])
def test_without_the_gate_the_claim_refuses_what_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, guards: bool
) -> None:
    """Also where a worker close by is offered every job."""
    saboteurs.offer_everything(monkeypatch)
    if not guards:
        saboteurs.drop_guards(stage.connection)
    outcome = ask(stage, stage.worker)
    assert outcome.taken is None
    try_everything(stage, outcome)
    assert status(stage, outcome.job_id) == "awaiting_approval"


def test_without_gate_and_claim_the_database_refuses_what_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saboteurs.offer_everything(monkeypatch)
    saboteurs.claim_anything(monkeypatch)
    with pytest.raises(NotTaken, match="not a move of its state machine"):
        ask(stage, stage.worker)
    nothing_signed(stage)


def _stamp_as_free(patch: pytest.MonkeyPatch) -> None:
    def lenient(*asked: object) -> object:
        decision = evaluate(*asked)  # type: ignore[arg-type]
        return replace(decision, needs_approval=False) if isinstance(decision, Permitted) else decision

    patch.setattr(enrollment, "evaluate", lenient)


def test_without_the_gate_the_database_refuses_a_job_stamped_as_free(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stamp_as_free(monkeypatch)
    with pytest.raises(DatabaseRefused, match="the profile in force says"):
        ask(stage)
    assert not stage.picture().jobs
    nothing_signed(stage)


def test_without_gate_and_database_the_worker_refuses_a_job_stamped_as_free(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stamp_as_free(monkeypatch)
    saboteurs.drop_guards(stage.connection)
    outcome = ask(stage)
    assert outcome.status is JobStatus.PENDING
    try_everything(stage, outcome)
    assert status(stage, outcome.job_id) == "failed"


async def _slip_in(tx: Transaction, stage: Stage, like: Submitted) -> JobId:
    """A second request as `like`, with a job that is pending though its approval is not given."""
    job = await jobs.get(tx, like.job_id)
    assert job is not None
    request = await requests.get(tx, job.request_id)
    rita = PrincipalId(stage.people["rita"].id)
    again = replace(request, id=RequestId(new_id(stage.now)))
    await requests.insert(tx, again, frozenset({rita}))
    assert job.approval_id is not None
    approval = await approvals.get(tx, job.approval_id)
    assert approval is not None
    fresh = replace(approval, id=ApprovalId(new_id(stage.now)))
    await approvals.insert(tx, fresh)
    slipped = replace(
        job,
        id=JobId(new_id(stage.now)),
        request_id=again.id,
        approval_id=fresh.id,
        status=JobStatus.PENDING,
    )
    await jobs.insert(tx, slipped)
    return slipped.id


def test_without_the_gate_the_database_refuses_a_job_that_starts_before_the_answer(stage: Stage) -> None:
    outcome = ask(stage)
    with pytest.raises(DatabaseRefused, match="no approval stands for this request"):
        stage.write(lambda tx: _slip_in(tx, stage, outcome))
    try_everything(stage, outcome)


def test_without_gate_and_database_the_worker_refuses_a_job_that_starts_before_the_answer(
    stage: Stage,
) -> None:
    saboteurs.drop_guards(stage.connection)
    outcome = ask(stage)
    slipped = stage.write(lambda tx: _slip_in(tx, stage, outcome))
    try_everything(stage, outcome)
    assert status(stage, slipped) == "failed"


# Layer 2, the state machine


def test_without_the_state_machine_the_database_refuses_a_word_in_one_s_own_line(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saboteurs.let_anybody_decide(monkeypatch)
    outcome = ask(stage)
    with pytest.raises(DatabaseRefused, match="nobody decides in their own line"):
        say(stage, outcome, "rita", Verdict.APPROVE)
    try_everything(stage, outcome)


def test_without_state_machine_and_database_the_worker_does_not_count_a_word_in_one_s_own_line(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saboteurs.let_anybody_decide(monkeypatch)
    saboteurs.drop_guards(stage.connection)
    outcome = ask(stage)
    say(stage, outcome, "rita", Verdict.APPROVE)
    try_everything(stage, outcome)
    assert status(stage, outcome.job_id) == "failed"


def test_without_the_state_machine_the_database_refuses_a_word_after_the_refusal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saboteurs.let_anybody_decide(monkeypatch)
    outcome = refused(stage)
    with pytest.raises(DatabaseRefused, match="the question is closed"):
        say(stage, outcome, "bob", Verdict.APPROVE)
    try_everything(stage, outcome)


def test_without_the_state_machine_the_database_counts(
    strict: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saboteurs.one_word_is_enough(monkeypatch)
    outcome = ask(strict)
    with pytest.raises(DatabaseRefused, match="not enough persons have agreed"):
        say(strict, outcome, "alice", Verdict.APPROVE)
    try_everything(strict, outcome)


def test_without_state_machine_and_database_the_worker_counts(
    strict: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saboteurs.one_word_is_enough(monkeypatch)
    saboteurs.drop_guards(strict.connection)
    outcome = ask(strict)
    say(strict, outcome, "alice", Verdict.APPROVE)
    try_everything(strict, outcome)
    assert status(strict, outcome.job_id) == "failed"


@pytest.mark.parametrize("answer", ["none", "refused"])
def test_without_the_state_machine_the_database_refuses_a_job_that_is_let_go(
    stage: Stage, answer: str
) -> None:
    outcome = ask(stage) if answer == "none" else refused(stage)
    with pytest.raises(Exception, match=r"jobs: (no approval stands|not a move)"):
        force(stage, f"UPDATE jobs SET status = 'pending' WHERE id = '{outcome.job_id}'")
    try_everything(stage, outcome)


@pytest.mark.parametrize("answer", ["none", "refused"])
def test_without_state_machine_and_database_the_worker_refuses_a_job_that_is_let_go(
    stage: Stage, answer: str
) -> None:
    saboteurs.drop_guards(stage.connection)
    outcome = ask(stage) if answer == "none" else refused(stage)
    force(stage, f"UPDATE jobs SET status = 'pending' WHERE id = '{outcome.job_id}'")
    try_everything(stage, outcome)
    assert status(stage, outcome.job_id) == "failed"


# Layer 3, the claim


def test_without_the_claim_s_condition_the_database_refuses(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saboteurs.claim_anything(monkeypatch)
    outcome = ask(stage)
    with pytest.raises(DatabaseRefused, match="not a move of its state machine"):
        run(stage.worker.claim_and_prepare(10))
    assert status(stage, outcome.job_id) == "awaiting_approval"
    nothing_signed(stage)


def test_a_claim_cannot_be_made_up(stage: Stage) -> None:
    job = _job(stage, ask(stage))
    with pytest.raises(TypeError, match="comes from claiming"):
        ClaimedJob(object(), job)


def test_the_signer_knows_a_claim_from_something_like_it(stage: Stage) -> None:
    class Lookalike(ClaimedJob):
        __slots__ = ()

    forged = Lookalike(jobs._MINT, _job(stage, ask(stage)))
    with pytest.raises(SigningRefused, match="opens nothing"):
        stage.signer.prepare(forged, None)  # type: ignore[arg-type]
    nothing_signed(stage)


def test_with_a_forged_claim_the_worker_refuses(stage: Stage) -> None:
    outcome = refused(stage)
    forged = ClaimedJob(jobs._MINT, _job(stage, outcome))
    with pytest.raises(Exception, match="no longer held"):
        stage.write(lambda tx: stage.worker._prepare_or_fail(tx, forged, stage.now, stage.now))
    nothing_signed(stage)


def test_with_a_forged_claim_and_a_trusting_worker_the_database_refuses(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    saboteurs.trust_any_claim(monkeypatch)
    outcome = refused(stage)
    forged = ClaimedJob(jobs._MINT, replace(_job(stage, outcome), fence=1))
    with pytest.raises(DatabaseRefused, match="only a running job may intend to sign"):
        stage.write(lambda tx: stage.worker._prepare_or_fail(tx, forged, stage.now, stage.now))
    nothing_signed(stage)


def _job(stage: Stage, outcome: Submitted) -> Job:
    job = stage.write(lambda tx: jobs.get(tx, outcome.job_id))
    assert job is not None
    return job


def test_without_the_worker_s_own_count_the_walk_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    saboteurs.trust_any_claim(monkeypatch)
    walk(Setting(required=2, submissions=1, names=1))


# Layer 4, the database


@pytest.mark.parametrize("required", [1, 2])
def test_without_the_database_s_guards_the_walk_finds_nothing(required: int) -> None:
    setting = Setting(required=required, names=1, attempts=1)
    report = walk(setting, lambda stage: saboteurs.drop_guards(stage.connection))
    assert report.certified > 0


def test_without_the_database_s_guards_a_refused_request_is_not_signed(stage: Stage) -> None:
    saboteurs.drop_guards(stage.connection)
    outcome = refused(stage)
    try_everything(stage, outcome)
    assert status(stage, outcome.job_id) == "cancelled"


# Who may call what: each layer is entered by one door

DOORS = {
    "jobs.insert": {"policy/enrollment.py", "policy/profile_changes.py"},
    "jobs.claim": {"policy/worker.py"},
    "jobs.claim_at_once": {"policy/worker.py"},
    "jobs.claim_one": {"policy/profile_changes.py"},
    "jobs.approve": {"policy/decisions.py"},
    "jobs.release": {"policy/enrollment.py"},
    "jobs.complete": {"policy/worker.py", "policy/profile_changes.py"},
    "approvals.insert": {"policy/enrollment.py", "policy/profile_changes.py"},
    "approvals.insert_decision": {"policy/decisions.py"},
    "certificates.insert": {"policy/worker.py"},
    "certificates.insert_intent": {"policy/worker.py"},
    "profiles.insert_version": {"policy/profile_changes.py"},
    "profiles.delete": {"policy/profile_changes.py"},
}


def test_every_step_has_one_door() -> None:
    found: dict[str, set[str]] = {door: set() for door in DOORS}
    for folder in ("servers", "policy", "ca", "store"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
                if name in found:
                    found[name].add(str(path.relative_to(ROOT)))
                if isinstance(node, ast.ImportFrom) and node.module in {
                    f"store.{d.split('.')[0]}" for d in DOORS
                }:
                    names = {
                        f"{str(node.module).removeprefix('store.')}.{alias.name}" for alias in node.names
                    }
                    assert not names & DOORS.keys(), f"{path}: {names} are called by their module's name"
    assert found == DOORS
