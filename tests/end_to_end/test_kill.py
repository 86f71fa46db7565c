"""`kill -9` at random moments under load: what clients were told stays true, and nothing is half there.

A few kills in `make test`; CERTCTL_KILLS=50 (`make soak`) for the long form, with leases as long as they really are.
"""

import asyncio
import os
import random
from contextlib import suppress
from functools import reduce
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509

from conformance.acme import gate
from conformance.acme.stage import Stage, running_stage
from tests.common.acme_client import AcmeClient
from tests.common.responders import HTTP01Responder
from tests.end_to_end.load import Applicant, Ledger, digest, in_groups, trusting

KILLS = int(os.environ.get("CERTCTL_KILLS", "5"))
SHORT = KILLS < 10
PROFILES = """
[[profile]]
name = "trusted"
issuer = "issuing"
identifiers = {dns = {any = true}}
acme = {mode = "trusted", trusted_without_external_account = "A server that lives for one test, on loopback."}
"""
# The short form does not wait a minute for a dead worker's lease, nor half of one for a dead process's challenge.
HURRY = (
    "from datetime import timedelta; import policy.jobs; policy.jobs.LEASE = timedelta(seconds=4);"
    "import policy.acme.authorizations; policy.acme.authorizations._RETAKE_AFTER = 4000"
)
SETTLE_SECONDS = 60 if SHORT else 240
UNLIMITED = dict.fromkeys(
    (
        "CERTCTL_LIMITS__ACCOUNTS_PER_ADDRESS",
        "CERTCTL_LIMITS__ORDERS_PER_ADDRESS",
        "CERTCTL_LIMITS__ORDERS_PER_ACCOUNT",
        "CERTCTL_LIMITS__FAILED_VALIDATIONS",
    ),
    "1000000/1h",
)


@pytest.mark.client
async def test_what_clients_were_told_survives_kill_9(tmp_path: Path) -> None:
    async with HTTP01Responder() as http01:
        settings = UNLIMITED | {"CERTCTL_ACME__HTTP01_PORT": str(http01.port)}
        prelude = HURRY if SHORT else ""
        with running_stage(tmp_path, settings=settings, prelude=prelude) as stage:
            stage.apply(PROFILES)
            stage.token(gate.APPROVER)
            ledger = await _torment(stage, http01)
            assert len(ledger.valid) == len(ledger.downloaded) == ledger.begun > KILLS * 3
            assert ledger.interrupted >= KILLS
            print(f"{KILLS} kills, {len(ledger.valid)} certificates, {ledger.interrupted} answers lost")
            _check_told(stage, ledger)
            _check_whole(stage)
            _check_settled(stage)
            assert stage.certctl("audit", "verify")["intact"]


async def _torment(stage: Stage, http01: HTTP01Responder) -> Ledger:
    """Load, kill, start again; at the end everybody gets what was begun. What clients were told."""
    stopping, done = asyncio.Event(), asyncio.Event()
    async with trusting(stage.root) as session:
        applicants = [
            Applicant(number, profile, http01, AcmeClient(session, stage.directory(profile)), stopping)
            for number, profile in enumerate(["default"] * 4 + ["trusted"] * 4 + ["gated"] * 2)
        ]
        tasks = [asyncio.create_task(one.run()) for one in applicants]
        approving = asyncio.create_task(_approve(stage, done))
        try:
            chance = random.SystemRandom()
            for _ in range(KILLS):
                await _progress(applicants, tasks, chance.randint(3, 30))
                await asyncio.sleep(chance.uniform(0, 0.3))
                stage.server.kill()
                await asyncio.to_thread(stage.server.start)
            await _progress(applicants, tasks, 10)
        finally:
            stopping.set()
            await in_groups(tasks, SETTLE_SECONDS)
            done.set()
            await approving
        await in_groups([asyncio.create_task(one.collect_again()) for one in applicants], SETTLE_SECONDS)
    return reduce(Ledger.add, (one.ledger for one in applicants))


async def _progress(applicants: list[Applicant], tasks: list[asyncio.Task[None]], orders: int) -> None:
    """Until so many more orders were begun, or somebody was surprised."""

    def begun() -> int:
        return sum(one.ledger.begun for one in applicants)

    wanted = begun() + orders
    while begun() < wanted and not any(task.done() for task in tasks):
        await asyncio.sleep(0.01)


async def _approve(stage: Stage, done: asyncio.Event) -> None:
    """Say yes to every question, as another process that does not care whether the server lives."""
    while not done.is_set():
        waiting = stage.rows("SELECT id FROM approvals WHERE status = 'pending' LIMIT 1")
        if waiting:
            await asyncio.to_thread(gate.decide, stage, "approve", str(waiting[0][0]))
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await done.wait()


def _check_told(stage: Stage, ledger: Ledger) -> None:
    """No order was told `valid` whose certificate is not there, as it was downloaded."""
    rows = stage.rows(
        "SELECT o.id, c.sha256, j.status FROM acme_orders o"
        " JOIN jobs j ON j.id = o.job_id JOIN certificates c ON c.job_id = j.id"
    )
    there = {order: (digest_, status) for order, digest_, status in rows}
    for url, der in ledger.downloaded.items():
        assert there[url.rpartition("/")[2]] == (digest(der), "completed")


def _check_whole(stage: Stage) -> None:
    """No certificate lacks its request, its job or its intent; no serial was used twice; the issuer signed them all."""
    issuer = x509.load_der_x509_certificate(stage.rows("SELECT certificate FROM issuers")[0][0])
    serials = set[str]()
    found = stage.rows(
        "SELECT c.serial, c.der, c.tbs_sha256, c.fence, i.serial, i.tbs_sha256, j.status, j.fence, r.id"
        " FROM certificates c LEFT JOIN jobs j ON j.id = c.job_id LEFT JOIN intents i ON i.job_id = c.job_id"
        " LEFT JOIN requests r ON r.id = c.request_id AND r.id = j.request_id"
    )
    for serial, der, tbs, fence, intended, intended_tbs, status, job_fence, request in found:
        leaf = x509.load_der_x509_certificate(der)
        leaf.verify_directly_issued_by(issuer)
        assert f"{leaf.serial_number:x}" == serial == intended
        assert sha256(leaf.tbs_certificate_bytes).hexdigest() == tbs == intended_tbs
        assert (status, fence) == ("completed", job_fence)
        assert request is not None
        serials.add(serial)
    assert len(serials) == len(found)
    assert stage.rows("SELECT count(*), count(DISTINCT serial) FROM intents") == [(len(found), len(found))]
    gated = "SELECT count(*) FROM jobs j LEFT JOIN approvals a ON a.id = j.approval_id WHERE j.gated"
    assert stage.rows(f"{gated} AND j.status = 'completed' AND a.status IS NOT 'approved'") == [(0,)]


def _check_settled(stage: Stage) -> None:
    """Nothing is under way any more: every order was seen through, so every job has ended, and ended well."""
    ended = dict(stage.rows("SELECT status, count(*) FROM jobs WHERE kind = 'issue' GROUP BY status"))
    assert set(ended) == {"completed"}
    # A finalize whose answer was lost was asked again: one job for each order, not two.
    assert (
        stage.rows(
            "SELECT job_id FROM acme_orders GROUP BY job_id HAVING count(*) > 1 AND job_id IS NOT NULL"
        )
        == []
    )
