"""Breadth first through every state that can be reached, each visited once, the promise checked at each."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest
import structlog

from policy import scheduler, worker
from tests.common.ordered_ids import order_ids
from tests.policy.proof.actions import steps
from tests.policy.proof.canonical import canonical
from tests.policy.proof.invariants import Violation, check, check_content, check_step
from tests.policy.proof.picture import Picture
from tests.policy.proof.stage import Setting, Stage


@dataclass
class Report:
    """What a walk has seen."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    jobs: Counter[str] = field(default_factory=Counter)
    """In how many states a job of each status stood."""
    approvals: Counter[str] = field(default_factory=Counter)
    certified: int = 0
    """States with a certificate."""

    def __str__(self) -> str:
        return f"{self.states} states, {self.transitions} transitions, {self.depth} steps deep"


def walk(setting: Setting, sabotage: Callable[[Stage], None] | None = None) -> Report:
    """Visit every state of `setting`; Violation, with the way that led there, at the first that breaks the promise."""
    with bounded(setting.attempts):
        stage = Stage(setting)
        if sabotage is not None:
            sabotage(stage)
        return _Walk(stage).run()


@contextmanager
def bounded(attempts: int) -> Iterator[None]:
    """Few attempts per job, ids that sort in the order in which they were made, and no log lines."""
    config = structlog.get_config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "MAX_ATTEMPTS", attempts)
        patch.setattr(scheduler, "MAX_ATTEMPTS", attempts)
        order_ids(patch)
        structlog.configure(processors=[_drop])
        try:
            yield
        finally:
            structlog.configure(**config)


def _drop(*_: Any) -> NoReturn:
    raise structlog.DropEvent


class _Walk:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._report = Report()
        self._ways: dict[bytes, tuple[bytes, str] | None] = {}

    def run(self) -> Report:
        stage, report = self._stage, self._report
        start = stage.save()
        form = canonical(stage, stage.picture())
        self._ways[form] = None
        queue = deque([(start, form, 0)])
        while queue:
            state, form, report.depth = queue.popleft()
            stage.load(state)
            before = stage.picture()
            self._count(before)
            for label, deed in list(steps(stage, before)):
                report.transitions += 1
                stage.restore(state)
                stage.connection.execute("BEGIN")
                after = self._take(form, label, deed, before)
                reached = form if after is before else canonical(stage, after)
                if reached in self._ways:
                    stage.connection.execute("ROLLBACK")
                    continue
                self._ways[reached] = form, label
                queue.append((stage.save(), reached, report.depth + 1))
                stage.load(state)
        report.states = len(self._ways)
        return report

    def _take(self, form: bytes, label: str, deed: Callable[[], None], before: Picture) -> Picture:
        """The picture after one step, which must not break the promise."""
        stage = self._stage
        changes, state = stage.connection.total_changes, stage.outside()
        try:
            deed()
            if stage.broken_promise is not None:
                raise stage.broken_promise
            if stage.connection.total_changes == changes and stage.outside() == state:
                return before  # refused, or nothing to do
            after = stage.picture()
            check(after, stage.ledger)
            check_step(before, after)
            for row in after.certificates - before.certificates:
                check_content(after.jobs[row.job], row)
        except Violation as violation:
            raise Violation("\n".join([str(violation), *self._way(form), f"* {label}"])) from violation
        return after

    def _way(self, form: bytes) -> list[str]:
        labels: list[str] = []
        while (came := self._ways[form]) is not None:
            form, label = came
            labels.append(f"  {label}")
        return labels[::-1]

    def _count(self, picture: Picture) -> None:
        report = self._report
        report.jobs.update({job.status for job in picture.jobs.values()})
        report.approvals.update({approval.status for approval in picture.approvals.values()})
        report.certified += bool(picture.certificates)
