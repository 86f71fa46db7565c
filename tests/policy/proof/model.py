"""The gate in miniature, written from the design and not from the code: what must come of each step.

Times are milliseconds. Nothing here reads the database.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final


def ms(span: timedelta) -> int:
    """A span in milliseconds."""
    return round(span.total_seconds() * 1000)


LEASE: Final = ms(timedelta(seconds=60))
EXPIRES: Final = ms(timedelta(days=7))
WINDOW: Final = ms(timedelta(days=7))
MOST_ATTEMPTS: Final = 6


@dataclass(frozen=True)
class Terms:
    """What a profile says, as far as the model goes: how many must agree, for how long it issues."""

    approvers: int
    days: int = 90
    keyed: bool = False
    """The approval speaks for one key, and cannot be used by a later request."""
    circle: str = "approver"
    """Who may decide: a role, or a group."""


@dataclass
class ProfileModel:
    """The versions of a profile, the newest last; `deleted` while none is in force."""

    versions: list[Terms]
    deleted: bool = False


@dataclass
class Person:
    """Somebody, or a machine, with what they may do now."""

    circles: set[str] = field(default_factory=set)
    machine: bool = False
    disabled: bool = False


@dataclass
class Question:
    """An approval: `about` is everything it is bound to."""

    about: tuple[object, ...]
    required: int
    circle: str
    expires_at: int
    window: int
    status: str = "pending"
    ended_at: int = 0
    words: dict[str, str] = field(default_factory=dict)


@dataclass
class Work:
    """A job. `change` is what a profile change proposes: (profile, base version, was deleted, new terms)."""

    line: frozenset[str]
    status: str
    profile: str
    question: str | None = None
    held: bool = False
    fence: int = 0
    attempts: int = 0
    lease_until: int = 0
    run_after: int = 0
    change: tuple[str, int, bool, Terms | None] | None = None


@dataclass
class Model:
    """Everything, by the ids that the real thing gave."""

    now: int
    people: dict[str, Person] = field(default_factory=dict)
    profiles: dict[str, ProfileModel] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)

    # Asking

    def terms(self, profile: str) -> Terms | None:
        """What is in force."""
        found = self.profiles[profile]
        return None if found.deleted else found.versions[-1]

    def covering(self, about: tuple[object, ...]) -> str | None:
        """The approval asked for or given for exactly this, which nobody has used."""
        for name, question in self.questions.items():
            live = self.live(name)
            waits = live is not None and (
                live.status == "awaiting_approval" or (live.status, live.held) == ("pending", True)
            )
            if question.about == about and waits and self._usable(question):
                return name
        return None

    def live(self, question: str) -> Work | None:
        """The job that leans on it and was not cancelled."""
        return next(
            (w for w in self.work.values() if w.question == question and w.status != "cancelled"), None
        )

    def _usable(self, question: Question) -> bool:
        if question.status == "pending":
            return self.now < question.expires_at
        return question.status == "approved" and self.now < question.ended_at + question.window

    def submitted(
        self, job: str, question: str | None, about: tuple[object, ...], line: frozenset[str], profile: str
    ) -> None:
        """A request was accepted as `job`; `question` is the approval that the real thing says it leans on."""
        terms = self.terms(profile)
        assert terms is not None
        work = Work(line, "pending", profile, run_after=self.now)
        if terms.approvers == 0:
            assert question is None
        else:
            earlier = self.covering(about)
            assert question is not None
            if earlier is not None:
                assert question == earlier, "somebody was asked twice for the same thing"
                superseded = self.live(earlier)
                assert superseded is not None
                superseded.status = "cancelled"
            else:
                assert question not in self.questions, "an approval was used that is none for this"
                window = 0 if terms.keyed else WINDOW
                self.questions[question] = Question(
                    about, terms.approvers, terms.circle, self.now + EXPIRES, window
                )
            work.question = question
            if self.questions[question].status == "pending":
                work.status = "awaiting_approval"
        self.work[job] = work

    # Deciding

    def may_decide(self, question: str, who: str) -> bool:
        """Whether `who` may say anything about it now."""
        asked, person, work = self.questions[question], self.people[who], self.live(question)
        return (
            not person.machine
            and asked.circle in person.circles
            and not person.disabled
            and (work is None or who not in work.line)
            and who not in asked.words
            and asked.status == "pending"
            and self.now < asked.expires_at
        )

    def decided(self, question: str, who: str, verdict: str) -> None:
        """`who` has said it."""
        asked, work = self.questions[question], self.live(question)
        asked.words[who] = verdict
        if verdict == "reject":
            self._end(question, "rejected")
            if work is not None:
                work.status = "cancelled"
        elif len(asked.words) == asked.required:
            self._end(question, "approved")
            if work is not None and work.change is not None:
                self._carry_out(work)
            elif work is not None:
                work.status, work.held, work.run_after = "pending", asked.window > 0, self.now

    def _end(self, question: str, status: str) -> None:
        self.questions[question].status = status
        self.questions[question].ended_at = self.now

    # Changing profiles

    def loosens(self, profile: str, to: Terms | None) -> bool:
        """Whether other people must agree."""
        old = self.profiles[profile].versions[-1]
        if old.approvers == 0:
            return False
        return to is None or to.approvers < old.approvers or to.days > old.days

    def proposed(self, job: str, question: str | None, by: str, profile: str, to: Terms | None) -> None:
        """A change was asked for; without a question it is in force."""
        old = self.profiles[profile]
        change = profile, len(old.versions), old.deleted, to
        work = Work(frozenset({by}), "awaiting_approval", profile, question, change=change)
        self.work[job] = work
        if question is None:
            self._carry_out(work)
        else:
            terms = old.versions[-1]
            asked = Question((job,), terms.approvers, terms.circle, self.now + EXPIRES, 0)
            self.questions[question] = asked

    def _carry_out(self, work: Work) -> None:
        assert work.change is not None
        profile, base, was_deleted, to = work.change
        current = self.profiles[profile]
        if (len(current.versions), current.deleted) != (base, was_deleted):
            work.status = "cancelled"
            return
        work.status, work.fence = "completed", 1
        if to is not None:
            current.versions.append(to)
            current.deleted = False
            return
        current.deleted = True
        for other in self.work.values():
            if other.profile == profile and other.change is None:
                self.withdrawn(other)

    # Working, withdrawing, waiting

    def collected(self, work: Work) -> None:
        """Its requester is here."""
        if (
            work.status == "pending"
            and work.held
            and work.question
            and self._usable(self.questions[work.question])
        ):
            work.held, work.run_after = False, self.now

    def claimable(self) -> set[str]:
        """The jobs that a worker may have now."""
        return {
            name
            for name, work in self.work.items()
            if work.change is None
            and work.status == "pending"
            and not work.held
            and work.run_after <= self.now
        }

    def claimed(self, job: str) -> None:
        """A worker has it."""
        work = self.work[job]
        work.status, work.lease_until = "running", self.now + LEASE
        work.fence += 1
        work.attempts += 1

    def stored(self, job: str, fence: int) -> None:
        """A worker comes with a certificate, perhaps too late."""
        work = self.work[job]
        if (work.status, work.fence) == ("running", fence):
            work.status = "completed"

    def withdrawn(self, work: Work) -> bool:
        """Whether it could still be withdrawn."""
        if work.status not in {"awaiting_approval", "pending"}:
            return False
        work.status = "cancelled"
        if work.question is not None and self.questions[work.question].status == "pending":
            self._end(work.question, "expired")
        return True

    def ticked(self) -> None:
        """The scheduler has done what is due."""
        for name, question in self.questions.items():
            if question.status == "pending" and question.expires_at <= self.now:
                work = self.live(name)
                self._end(name, "expired")
                if work is not None:
                    work.status = "cancelled"
        for work in self.work.values():
            if work.status == "pending" and work.held and work.question:
                question = self.questions[work.question]
                if question.ended_at + question.window <= self.now:
                    work.status = "cancelled"
            elif work.status == "running" and work.lease_until <= self.now:
                self._given_up(work)

    def _given_up(self, work: Work) -> None:
        if work.attempts >= MOST_ATTEMPTS:
            work.status = "failed"
        else:
            work.status = "pending"
            work.run_after = self.now + min(1000 << (work.attempts - 1), 300_000)
