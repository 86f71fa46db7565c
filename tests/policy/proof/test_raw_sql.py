"""Layer 4 alone: whoever can run SQL as the application does still gets nothing signed that was not approved.

Each attempt is made three times: with every guard in place, with the one guard alone that it is meant
for, and with none. So it is that guard that refuses it, and nothing else that happens to.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from policy import approvals as approval_moves
from policy import jobs as job_moves
from policy.profile_changes import NO_DEFINITION as PROPOSED_NOTHING
from store.migrations.guards import GUARDS_0001, NO_DEFINITION
from store.records import ApprovalStatus, JobStatus
from tests.common.postgres import postgres_url
from tests.common.world import sqlite_url
from tests.policy.proof.attempts import ATTEMPTS
from tests.policy.proof.attempts.attempt import Attempt, certificate, claimed, filled, intent, job, word
from tests.policy.proof.raw import Raw, Refused, connect, drop_guards, undone
from tests.policy.proof.scene import Scene, build

MESSAGES = {guard.name: guard.message for guard in GUARDS_0001}
ONE_OF_EACH_JOB = {
    JobStatus.AWAITING_APPROVAL: "awaiting",
    JobStatus.PENDING: "ready",
    JobStatus.RUNNING: "running",
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "rejected",
}
ONE_OF_EACH_APPROVAL = {
    ApprovalStatus.PENDING: "awaiting",
    ApprovalStatus.APPROVED: "held",
    ApprovalStatus.REJECTED: "rejected",
    ApprovalStatus.EXPIRED: "expired",
}


ENGINES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))
SPELLED = [
    *(pytest.param("sqlite", one, id=f"sqlite-{one}") for one in ATTEMPTS if one.engine in {None, "sqlite"}),
    *(
        pytest.param("postgresql", one, id=f"postgresql-{one}", marks=pytest.mark.postgres)
        for one in ATTEMPTS
        if one.engine in {None, "postgresql"}
    ),
]
"""Each attempt on the engines that can spell it."""


class Place(NamedTuple):
    """A bare connection, and what to call the rows that are there."""

    raw: Raw
    scene: Scene

    def execute(self, text: str) -> None:
        self.raw.execute(filled(text, self.scene))


@pytest.fixture(scope="module", params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The scene, once for all attempts: each is undone."""
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("raw")
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "certctl.db")
        url = sqlite_url(folder)
    else:
        url = postgres_url(request)
    scene = build(url)
    raw = connect(url)
    yield Place(raw, scene)
    raw.close()


@pytest.mark.parametrize(("place", "attempt"), SPELLED, indirect=["place"])
def test_the_database_refuses(attempt: Attempt, place: Place) -> None:
    raw = place.raw
    with undone(raw):
        for statement in attempt.before:
            place.execute(statement)
        with pytest.raises(Refused):
            place.execute(attempt.sql)
    with undone(raw):
        drop_guards(raw, keep=[attempt.guard])
        for statement in attempt.before:
            place.execute(statement)
        with pytest.raises(Refused) as refused:
            place.execute(attempt.sql)
        assert MESSAGES[attempt.guard] in str(refused.value)
    if not attempt.doubly:
        with undone(raw):
            drop_guards(raw)
            for statement in (*attempt.before, attempt.sql):
                place.execute(statement)


def test_every_guard_is_tried() -> None:
    assert {attempt.guard for attempt in ATTEMPTS} == set(MESSAGES)


def test_a_deletion_is_proposed_in_the_words_that_the_guard_knows() -> None:
    assert PROPOSED_NOTHING == NO_DEFINITION


@pytest.mark.parametrize("source", JobStatus)
@pytest.mark.parametrize("target", JobStatus)
def test_the_guard_on_jobs_is_the_table_of_moves(source: JobStatus, target: JobStatus, place: Place) -> None:
    row = f"jobs SET status = '{target}' WHERE id = '<job_{ONE_OF_EACH_JOB[source]}>'"
    _same_as_table(place, "jobs_moves", row, allowed=target == source or target in job_moves.MOVES[source])


@pytest.mark.parametrize("source", ApprovalStatus)
@pytest.mark.parametrize("target", ApprovalStatus)
def test_the_guard_on_approvals_is_the_table_of_moves(
    source: ApprovalStatus, target: ApprovalStatus, place: Place
) -> None:
    row = f"approvals SET status = '{target}' WHERE id = '<approval_{ONE_OF_EACH_APPROVAL[source]}>'"
    allowed = target == source or target in approval_moves.MOVES[source]
    _same_as_table(place, "approvals_moves", row, allowed=allowed)


def _same_as_table(place: Place, guard: str, row: str, *, allowed: bool) -> None:
    with undone(place.raw):
        drop_guards(place.raw, keep=[guard])
        if allowed:
            place.execute(f"UPDATE {row}")
        else:
            with pytest.raises(Refused, match="not a move of its state machine"):
                place.execute(f"UPDATE {row}")


def test_what_is_allowed_goes_through(place: Place) -> None:
    """The way that the application takes, step by step: guards that refuse everything would prove nothing."""
    with undone(place.raw):
        for statement in (
            word("alice", "free"),
            "UPDATE approvals SET status = 'approved', ended_at = 1795608000000 WHERE id = 'free'",
            job("pending", "spare-awaiting", "free"),
            claimed("new-job"),
            intent("new-job"),
            certificate("running"),
            "UPDATE jobs SET status = 'completed' WHERE id = '<job_running>'",
        ):
            place.execute(statement)
        assert place.raw.value("SELECT count(*) FROM intents WHERE job_id = 'new-job'") == 1


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_no_word_of_sqlite_s_makes_a_guard_quiet(place: Place) -> None:
    for clause in ("IGNORE", "REPLACE", "FAIL", "ABORT", "ROLLBACK"):
        with undone(place.raw), pytest.raises(Refused, match="not a move"):
            place.execute(f"UPDATE OR {clause} jobs SET status = 'pending' WHERE id = '<job_rejected>'")
