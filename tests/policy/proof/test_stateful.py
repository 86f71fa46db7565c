"""Anything in any order through the front door, on a real database file, with restarts, beside a model of it."""

import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from policy.approvals import DecisionRefused
from policy.enrollment import Submitted
from policy.profile_cache import ProfileUnreadable
from policy.profile_changes import Unchanged, Waiting
from policy.worker import Prepared, Signed, Taken
from store.clock import Millis
from store.database import DatabaseRefused
from store.records import Verdict
from tests.common.ordered_ids import order_ids
from tests.policy.proof import saboteurs
from tests.policy.proof.invariants import check, check_content, check_step
from tests.policy.proof.model import Model, Person, ProfileModel, Terms, ms
from tests.policy.proof.picture import Picture
from tests.policy.proof.real import Real

FULL = os.environ.get("CERTCTL_PROOF") == "full"

GROUP = "group:security"
PEOPLE = {
    "admin": set[str](),
    "rita": {"approver", GROUP},
    "carol": {"approver"},
    "alice": {"approver", GROUP},
    "bob": {"approver", GROUP},
    "stranger": set[str](),
    "robot": set[str](),
}
PROFILES = {
    "web": Terms(approvers=1),
    "pair": Terms(approvers=2, circle=GROUP),
    "keyed": Terms(approvers=1, keyed=True),
    "free": Terms(approvers=0),
}
CHANGES = [None, Terms(1), Terms(1, days=30), Terms(2), Terms(0), Terms(2, days=30)]
# Who asks, and who stands behind the credential that is used.
REQUESTERS = [("rita", ()), ("carol", ()), ("robot", ("rita",)), ("robot", ("carol",))]
SPANS = [
    timedelta(seconds=2),
    timedelta(seconds=61),
    timedelta(minutes=6),
    timedelta(days=3),
    timedelta(days=8),
]

who = st.sampled_from(sorted(PEOPLE))
any_number = st.integers(min_value=0, max_value=999)


class FrontDoor(RuleBasedStateMachine):
    """The real thing and the model, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        order_ids(self._patch)  # the same steps must lead to the same rows again
        self.real = Real()
        self.model = Model(self.real.now)
        self.flights: list[Prepared | Signed] = []
        self.before: Picture | None = None

    def teardown(self) -> None:
        self.real.close()
        self._patch.undo()

    @initialize()
    def populate(self) -> None:
        for name, circles in PEOPLE.items():
            self.real.person(name, frozenset(circles), machine=name == "robot")
            self.model.people[name] = Person(set(circles), machine=name == "robot")
        for name, terms in PROFILES.items():
            self.real.propose(name, terms, "admin")
            self.model.profiles[name] = ProfileModel([terms])

    # Clients

    @rule(
        profile=st.sampled_from(sorted(PROFILES)),
        name=st.sampled_from(["a.example", "b.example"]),
        key=st.integers(0, 1),
        by=st.sampled_from(REQUESTERS),
        close_by=st.booleans(),
    )
    def submit(
        self, profile: str, name: str, key: int, by: tuple[str, tuple[str, ...]], *, close_by: bool
    ) -> None:
        """A request comes, perhaps where a worker is close by, and nothing more is heard of that one for now."""
        requester, behind = by
        line = frozenset({requester, *behind})
        terms = self.model.terms(profile)
        try:
            outcome = self.real.submit(profile, name, key, requester, frozenset(behind), close_by=close_by)
        except ProfileUnreadable:
            assert terms is None
            return
        assert terms is not None
        assert isinstance(outcome, Submitted)
        number = len(self.model.profiles[profile].versions)
        about = (profile, number, requester, line, name, key if terms.keyed else None)
        self.model.submitted(outcome.job_id, outcome.approval_id, about, line, profile)
        assert (outcome.taken is not None) == (close_by and terms.approvers == 0)
        if isinstance(outcome.taken, Taken):
            self.model.claimed(outcome.job_id)
            self.flights.append(outcome.taken.prepared)
        self._remember_line(outcome.job_id, line)

    @precondition(lambda self: self.model.work)
    @rule(number=any_number)
    def collect(self, number: int) -> None:
        job = self._job(number)
        self.real.collect(job)
        self.model.collected(self.model.work[job])

    @precondition(lambda self: self.model.work)
    @rule(number=any_number)
    def withdraw(self, number: int) -> None:
        job = self._job(number)
        if self.model.work[job].change is not None:
            return
        could = self.model.withdrawn(self.model.work[job])
        assert self.real.withdraw(job, "admin") == could
        if could:
            self.real.remember(withdrawn=self.real.ledger.withdrawn | {job})

    # People

    @precondition(lambda self: self.model.questions)
    @rule(number=any_number, by=who, verdict=st.sampled_from(Verdict))
    def decide(self, number: int, by: str, verdict: Verdict) -> None:
        self._decide(list(self.model.questions)[number % len(self.model.questions)], by, verdict)

    @precondition(lambda self: any(q.status == "pending" for q in self.model.questions.values()))
    @rule(number=any_number, by=st.sampled_from(["alice", "bob", "rita", "carol"]))
    def agree(self, number: int, by: str) -> None:
        """As `decide`, but likelier to lead somewhere."""
        pending = [name for name, q in self.model.questions.items() if q.status == "pending"]
        self._decide(pending[number % len(pending)], by, Verdict.APPROVE)

    def _decide(self, question: str, by: str, verdict: Verdict) -> None:
        may = self.model.may_decide(question, by)
        if not may:
            with pytest.raises(DecisionRefused):
                self.real.decide(question, by, verdict)
            return
        self.real.decide(question, by, verdict)
        self.model.decided(question, by, verdict)
        word = question, self.real.people[by].id, verdict.value
        self.real.remember(words=self.real.ledger.words | {word})

    @rule(to=st.sampled_from(CHANGES), by=st.sampled_from(["admin", "alice", "rita"]))
    def change_profile(self, to: Terms | None, by: str) -> None:
        current = self.model.profiles["web"]
        try:
            outcome = self.real.propose("web", to, by)
        except ProfileUnreadable:
            assert to is None
            assert current.deleted
            return
        if isinstance(outcome, Unchanged):
            assert (to, current.deleted) == (current.versions[-1], False)
            return
        waiting = outcome if isinstance(outcome, Waiting) else None
        assert (waiting is not None) == self.model.loosens("web", to)
        (job,) = self.real.picture().jobs.keys() - self.model.work.keys()
        self._remember_line(job, frozenset({by}))
        self.model.proposed(job, None if waiting is None else waiting.approval_id, by, "web", to)

    @rule(name=st.sampled_from(["stranger", "alice"]), circle=st.sampled_from(["approver", GROUP]))
    def grant_or_take(self, name: str, circle: str) -> None:
        circles = self.model.people[name].circles
        (self.real.take if circle in circles else self.real.grant)(name, circle)
        circles ^= {circle}

    @precondition(lambda self: not self.model.people["bob"].disabled)
    @rule(chance=st.integers(0, 9))
    def disable(self, chance: int) -> None:
        if chance == 0:
            self.real.disable("bob")
            self.model.people["bob"].disabled = True

    # Workers, time and processes

    @rule()
    def turn(self) -> None:
        claimable = self.model.claimable()
        assert self.real.turn() == len(claimable)
        for job in claimable:
            self.model.claimed(job)
            self.model.stored(job, self.model.work[job].fence)

    @rule()
    def claim(self) -> None:
        """A worker claims a job, and nothing more is heard of it for now."""
        prepared = self.real.claim()
        assert bool(prepared) == bool(self.model.claimable())
        for one in prepared:
            assert one.claimed.job_id in self.model.claimable()
            self.model.claimed(one.claimed.job_id)
        self.flights += prepared

    @precondition(lambda self: self.flights)
    @rule(number=any_number, dies=st.booleans())
    def go_on(self, number: int, dies: bool) -> None:
        """A worker that was not heard of signs or stores, in time or late, or is never heard of again."""
        flight = self.flights.pop(number % len(self.flights))
        if dies:
            return
        if isinstance(flight, Prepared):
            signed = self.real.sign(flight)
            assert (signed is not None) == (self.model.now < flight.until)
            self.flights += [] if signed is None else [signed]
            return
        self.real.store(flight)
        claimed = flight.prepared.claimed
        self.model.stored(claimed.job_id, claimed.fence)

    @rule()
    def tick(self) -> None:
        self.real.tick()
        self.model.ticked()

    @rule(span=st.sampled_from(SPANS))
    def wait(self, span: timedelta) -> None:
        self.real.now = Millis(self.real.now + ms(span))
        self.model.now = self.real.now

    @rule()
    def restart(self) -> None:
        self.real.restart()

    # What must hold

    @invariant()
    def the_promise_holds(self) -> None:
        if self.real.broken_promise is not None:
            raise self.real.broken_promise
        picture = self.real.picture()
        check(picture, self.real.ledger)
        if self.before is not None:
            check_step(self.before, picture)
            for row in picture.certificates - self.before.certificates:
                check_content(picture.jobs[row.job], row)
        self.before = picture

    @invariant()
    def the_model_agrees(self) -> None:
        picture = self.real.picture()
        jobs = {
            j.id: (j.status, j.held and j.status == "pending", j.fence, j.approval)
            for j in picture.jobs.values()
        }
        work = self.model.work.items()
        assert jobs == {
            name: (w.status, w.held and w.status == "pending", w.fence, w.question) for name, w in work
        }
        assert {a.id: a.status for a in picture.approvals.values()} == {
            name: question.status for name, question in self.model.questions.items()
        }

    def _job(self, number: int) -> str:
        return list(self.model.work)[number % len(self.model.work)]

    def _remember_line(self, job: str, line: frozenset[str]) -> None:
        ids = frozenset(str(self.real.people[name].id) for name in line)
        self.real.remember(lines=self.real.ledger.lines | {job: ids})


SETTINGS = settings(
    max_examples=2000 if FULL else 40,
    stateful_step_count=50,
    deadline=None,
    derandomize=not FULL,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_the_front_door_keeps_the_promise() -> None:
    run_state_machine_as_test(FrontDoor, settings=SETTINGS)


@pytest.mark.parametrize(
    "away", [saboteurs.revive_withdrawn, saboteurs.let_anybody_decide, saboteurs.change_profiles_freely]
)
def test_the_front_door_with_a_check_away_is_found_out(
    away: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    away(monkeypatch)
    quick = settings(SETTINGS, phases=[Phase.generate], max_examples=200, derandomize=True)
    with pytest.raises((AssertionError, DatabaseRefused)):
        run_state_machine_as_test(FrontDoor, settings=quick)
