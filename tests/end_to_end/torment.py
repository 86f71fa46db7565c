"""`kill -9` at random moments under load; then everybody gets what was begun, and the rows are looked at.

test_kill.py does it for a moment, `make soak` (bench/soak.py) for long.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from conformance.acme import gate
from conformance.acme.stage import Stage, StageBroken, running_stage
from tests.common.acme_client import AcmeClient
from tests.common.responders import HTTP01Responder
from tests.end_to_end.checks import violations
from tests.end_to_end.load import Applicant, Ledger, trusting

_PROFILES = """
[[profile]]
name = "trusted"
issuer = "issuing"
identifiers = {dns = {any = true}}
acme = {mode = "trusted", trusted_without_external_account = "A server that lives for one test, on loopback."}
"""
# Who hurries does not wait a minute for a dead worker's lease, nor half of one for a dead process's challenge.
_HURRY = (
    "from datetime import timedelta; import policy.jobs; policy.jobs.LEASE = timedelta(seconds=4);"
    "import policy.acme.authorizations; policy.acme.authorizations._RETAKE_AFTER = 4000\n"
)
_UNLIMITED = dict.fromkeys(
    (
        "CERTCTL_LIMITS__ACCOUNTS_PER_ADDRESS",
        "CERTCTL_LIMITS__ORDERS_PER_ADDRESS",
        "CERTCTL_LIMITS__ORDERS_PER_ACCOUNT",
        "CERTCTL_LIMITS__FAILED_VALIDATIONS",
    ),
    "1000000/1h",
)


@dataclass(frozen=True)
class Plan:
    """How often, when, and under whose load. The seed gives the moments; the machine gives what happens in them."""

    kills: int
    seed: int
    hurried: bool = False
    """Whether leases are short, so that nobody waits for what a dead process held."""
    profiles: tuple[str, ...] = ("default",) * 4 + ("trusted",) * 4 + ("gated",) * 2
    """One account each, that orders certificates one after the other."""
    prelude: str = ""
    """Python that each server runs before it starts."""

    @property
    def patience(self) -> float:
        """Seconds in which all that was begun has to come to its end."""
        return 60 if self.hurried else 240


@dataclass
class Report:
    """What clients were told, and what is not as it should be: sentences."""

    ledger: Ledger = field(default_factory=Ledger)
    violations: list[str] = field(default_factory=list)


async def torment(folder: Path, plan: Plan, tell: Callable[[str], None] = print) -> Report:
    """Carry the plan out on a new CA in `folder`. Raises StageBroken if a server does not start or end."""
    async with HTTP01Responder() as http01:
        settings = _UNLIMITED | {"CERTCTL_ACME__HTTP01_PORT": str(http01.port)}
        prelude = _HURRY * plan.hurried + plan.prelude
        with running_stage(folder, settings=settings, prelude=prelude) as stage:
            stage.apply(_PROFILES)
            stage.token(gate.APPROVER)
            report = await _Torment(stage, http01, plan, tell).run()
            report.violations += violations(stage.rows, report.ledger)
            try:
                stage.certctl("audit", "verify")
            except StageBroken as error:
                report.violations.append(str(error))
            return report


class _Torment:
    def __init__(
        self, stage: Stage, http01: HTTP01Responder, plan: Plan, tell: Callable[[str], None]
    ) -> None:
        self._stage = stage
        self._http01 = http01
        self._plan = plan
        self._tell = tell
        self._stopping = asyncio.Event()
        self._up = asyncio.Event()
        self._done = asyncio.Event()
        self._applicants: list[Applicant] = []

    async def run(self) -> Report:
        """Load, kill, start again; at the end everybody gets what was begun, and all of it once more."""
        async with trusting(self._stage.root) as session, asyncio.TaskGroup() as group:
            self._applicants = [
                Applicant(
                    number,
                    profile,
                    self._http01,
                    AcmeClient(session, self._stage.directory(profile)),
                    self._stopping,
                    self._up,
                )
                for number, profile in enumerate(self._plan.profiles)
            ]
            self._up.set()
            tasks = [group.create_task(one.run()) for one in self._applicants]
            group.create_task(self._approve())
            await self._kill_again_and_again(tasks)
            self._stopping.set()
            await self._see_through(tasks)
            await self._see_through([group.create_task(one.collect_again()) for one in self._applicants])
            self._done.set()
        return Report(self._ledger(), [said for one in self._applicants for said in one.complaints])

    async def _kill_again_and_again(self, tasks: list[asyncio.Task[None]]) -> None:
        chance = random.Random(self._plan.seed)
        for number in range(1, self._plan.kills + 1):
            await self._progress(tasks, chance.randint(3, 30))
            await asyncio.sleep(chance.uniform(0, 0.3))
            self._up.clear()
            self._stage.server.kill()
            await asyncio.to_thread(self._stage.server.start)
            self._up.set()
            if any(task.done() for task in tasks):
                return
            told = self._ledger()
            self._tell(
                f"kill {number} of {self._plan.kills}: {told.begun} orders begun, {len(told.valid)} valid,"
                f" {told.interrupted} answers lost"
            )
        await self._progress(tasks, 10)

    async def _progress(self, tasks: list[asyncio.Task[None]], orders: int) -> None:
        """Until so many more orders were begun, or somebody was surprised."""
        wanted = self._ledger().begun + orders
        while self._ledger().begun < wanted and not any(task.done() for task in tasks):
            await asyncio.sleep(0.01)

    async def _see_through(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait for all of them, but no longer than the plan says; then they complain."""
        await asyncio.wait(tasks, timeout=self._plan.patience)
        for task, one in zip(tasks, self._applicants, strict=True):
            if not task.done():
                task.cancel()
                one.complain(f"waited for {self._plan.patience:.0f} seconds")

    async def _approve(self) -> None:
        """Say yes to every question, as another process that does not care whether the server lives."""
        while not self._done.is_set():
            waiting = self._stage.rows("SELECT id FROM approvals WHERE status = 'pending' LIMIT 1")
            if waiting:
                await asyncio.to_thread(gate.decide, self._stage, "approve", str(waiting[0][0]))
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._done.wait()

    def _ledger(self) -> Ledger:
        return reduce(Ledger.add, (one.ledger for one in self._applicants), Ledger())
