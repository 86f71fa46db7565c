"""`kill -9` at random moments under load: what clients were told stays true, and nothing is half there.

Five kills here; `make soak` is the long form of the same, with leases as long as they really are.
"""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.end_to_end.answers_early import PLANT
from tests.end_to_end.checks import violations
from tests.end_to_end.torment import Plan, Report, torment

pytestmark = pytest.mark.client
KILLS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the CA of this file is."""
    return tmp_path_factory.mktemp("kill")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    """What came of it, once the server has ended."""
    plan = Plan(KILLS, random.SystemRandom().randrange(1_000_000), hurried=True)
    print(plan)
    return asyncio.run(torment(folder, plan))


def test_what_clients_were_told_survives_kill_9(report: Report) -> None:
    assert report.violations == []
    ledger = report.ledger
    assert len(ledger.valid) == len(ledger.downloaded) == ledger.begun > KILLS * 3
    assert ledger.interrupted >= KILLS


ONE_JOB = "(SELECT job_id FROM certificates ORDER BY serial LIMIT 1)"
DAMAGE = {
    f"DELETE FROM certificates WHERE job_id = {ONE_JOB}": "was told valid and has no certificate",
    f"DELETE FROM acme_orders WHERE job_id = {ONE_JOB}": "was told valid and has no certificate",
    f"DELETE FROM intents WHERE job_id = {ONE_JOB}": "has no intent",
    f"UPDATE intents SET serial = '1' WHERE job_id = {ONE_JOB}": "has no intent",
    f"DELETE FROM requests WHERE id = (SELECT request_id FROM jobs WHERE id = {ONE_JOB})": "has no request",
    f"DELETE FROM jobs WHERE id = {ONE_JOB}": "has no job",
    f"UPDATE jobs SET fence = fence + 1 WHERE id = {ONE_JOB}": "has no job that was completed under",
    f"UPDATE jobs SET status = 'running' WHERE id = {ONE_JOB}": "is running",
    f"UPDATE certificates SET tbs_sha256 = '' WHERE job_id = {ONE_JOB}": "is not what its row says",
    "UPDATE certificates SET der = (SELECT der FROM certificates LIMIT 1)": "is in",
    "UPDATE issuers SET certificate = (SELECT der FROM certificates LIMIT 1)": "not signed by the issuer",
    "UPDATE approvals SET status = 'rejected'": "with its approval rejected",
    f"UPDATE acme_orders SET job_id = NULL WHERE job_id = {ONE_JOB}": "belongs to no order",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_check_would_have_failed(damage: str, folder: Path, report: Report) -> None:
    found = in_file(folder, report, damage)
    assert any(DAMAGE[damage] in sentence for sentence in found), found


def in_file(folder: Path, report: Report, damage: str = "") -> list[str]:
    """What is not as it should be in the file of a server that has ended, once this statement has damaged a copy."""
    with (
        closing(sqlite3.connect(folder / "ca" / "certctl.db")) as file,
        closing(sqlite3.connect(":memory:")) as copy,
    ):
        file.backup(copy)
        copy.execute("PRAGMA ignore_check_constraints = ON")
        for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            copy.execute(f"DROP TRIGGER {name}")
        if damage:
            assert copy.execute(damage).rowcount > 0
        return violations(lambda query: copy.execute(query).fetchall(), report.ledger)


async def test_a_server_that_answers_before_it_commits_would_be_found(tmp_path: Path) -> None:
    plan = Plan(KILLS, seed=1, hurried=True, profiles=("trusted",) * 4, prelude=PLANT)
    report = await torment(tmp_path, plan)
    # The server has ended in good order by now: what is not there is lost.
    found = in_file(tmp_path, report)
    assert any("was told valid and has no certificate" in sentence for sentence in found), found
    assert any("was told what no crash excuses" in sentence for sentence in report.violations)
