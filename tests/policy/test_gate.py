"""The gate from end to end below the front ends: asked, judged, waited, decided, signed or never signed."""

from collections.abc import AsyncIterator

import pytest
from cryptography import x509

from ca.csr import parse_csr
from policy import scheduler
from policy.approvals import DecisionRefused
from policy.enrollment import Enrollment, Refusal, Requester, Submitted, collect
from policy.profiles import GATED
from store.ids import ApprovalId, ProfileName
from store.records import ApprovalStatus, JobStatus, PrincipalKind, Verdict
from tests.common.world import World, make_csr, make_world


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as made:
        yield made


def submitted(outcome: Submitted | Refusal) -> Submitted:
    assert isinstance(outcome, Submitted), outcome
    return outcome


def question(outcome: Submitted | Refusal) -> ApprovalId:
    approval_id = submitted(outcome).approval_id
    assert approval_id is not None
    return approval_id


async def test_without_approval_a_claimed_job_becomes_a_certificate(world: World) -> None:
    outcome = submitted(await world.ask("a.example", profile="default"))
    assert outcome.status is JobStatus.PENDING
    assert await world.worker.turn() == 1
    certificate = await world.certificate(outcome.job_id)
    assert certificate is not None
    parsed = x509.load_der_x509_certificate(certificate.der)
    parsed.verify_directly_issued_by(world.issuer.certificate)
    assert f"{parsed.serial_number:x}" == certificate.serial
    assert (await world.job(outcome.job_id)).status is JobStatus.COMPLETED


async def test_a_gated_request_waits_and_no_worker_touches_it(world: World) -> None:
    outcome = submitted(await world.ask("a.example"))
    assert outcome.status is JobStatus.AWAITING_APPROVAL
    assert await world.worker.turn() == 0
    assert await world.certificate(outcome.job_id) is None


async def test_approved_and_collected(world: World) -> None:
    outcome = submitted(await world.ask("a.example"))
    await world.decide(question(outcome), "alice", Verdict.APPROVE, "known host")
    assert (await world.job(outcome.job_id)).held
    assert await world.worker.turn() == 0
    await world.write(lambda tx: collect(tx, outcome.job_id, world.now))
    assert await world.worker.turn() == 1
    assert await world.certificate(outcome.job_id) is not None


async def test_rejected_is_never_signed(world: World) -> None:
    outcome = submitted(await world.ask("a.example"))
    decided = await world.decide(question(outcome), "alice", Verdict.REJECT, "not our host")
    assert decided.approval.status is ApprovalStatus.REJECTED
    job = await world.job(outcome.job_id)
    assert job.status is JobStatus.CANCELLED
    assert job.error == "refused by alice: not our host"
    await world.write(lambda tx: collect(tx, outcome.job_id, world.now))
    assert await world.worker.turn() == 0
    with pytest.raises(DecisionRefused, match="ended"):
        await world.decide(question(outcome), "bob", Verdict.APPROVE)
    assert await world.certificate(outcome.job_id) is None


async def test_undecided_expires_and_is_cancelled(world: World) -> None:
    outcome = submitted(await world.ask("a.example"))
    world.pass_time(days=8)
    await scheduler.tick(world.database, world.now)
    assert (await world.approval(question(outcome))).status is ApprovalStatus.EXPIRED
    assert (await world.job(outcome.job_id)).status is JobStatus.CANCELLED


async def test_nobody_decides_in_their_own_line(world: World) -> None:
    await world.person("carol", "approver")
    outcome = submitted(await world.ask("a.example", by="carol"))
    with pytest.raises(DecisionRefused, match="line"):
        await world.decide(question(outcome), "carol", Verdict.APPROVE)


async def test_a_machine_and_a_person_without_the_role_do_not_decide(world: World) -> None:
    await world.person("robot", kind=PrincipalKind.MACHINE)
    outcome = submitted(await world.ask("a.example"))
    with pytest.raises(DecisionRefused, match="machine"):
        await world.decide(question(outcome), "robot", Verdict.APPROVE)
    with pytest.raises(DecisionRefused, match="approver"):
        await world.decide(question(outcome), "admin", Verdict.APPROVE)


async def test_coming_back_with_a_new_key_uses_the_approval_once(world: World) -> None:
    first = submitted(await world.ask("a.example"))
    await world.decide(question(first), "alice", Verdict.APPROVE)
    second = submitted(await world.ask("a.example"))
    assert second.approval_id == first.approval_id
    assert second.status is JobStatus.PENDING
    assert (await world.job(first.job_id)).status is JobStatus.CANCELLED
    assert await world.worker.turn() == 1
    assert await world.certificate(second.job_id) is not None
    third = submitted(await world.ask("a.example"))
    assert third.status is JobStatus.AWAITING_APPROVAL
    assert third.approval_id != first.approval_id


async def test_coming_back_before_anybody_decided_asks_nobody_again(world: World) -> None:
    first = submitted(await world.ask("a.example"))
    second = submitted(await world.ask("a.example"))
    assert second.approval_id == first.approval_id
    assert (await world.job(first.job_id)).status is JobStatus.CANCELLED
    other = submitted(await world.ask("b.example"))
    assert other.approval_id != first.approval_id


async def test_an_approval_not_collected_in_time_is_worth_nothing(world: World) -> None:
    first = submitted(await world.ask("a.example"))
    await world.decide(question(first), "alice", Verdict.APPROVE)
    world.pass_time(days=8)
    await world.write(lambda tx: collect(tx, first.job_id, world.now))
    assert await world.worker.turn() == 0
    await scheduler.tick(world.database, world.now)
    assert (await world.job(first.job_id)).status is JobStatus.CANCELLED
    again = submitted(await world.ask("a.example"))
    assert again.status is JobStatus.AWAITING_APPROVAL


async def test_a_profile_held_in_another_transaction_is_looked_up_again(world: World) -> None:
    name, csr = ProfileName("default"), parse_csr(make_csr("a.example"))
    held = await world.write(lambda tx: world.cache.held(tx, name))
    await world.put_profile(GATED.model_copy(update={"name": "default"}))
    requester = Requester(world.people["machine"].id, "test")
    enrollment = Enrollment(name, csr, csr.identifiers)
    outcome = submitted(
        await world.write(lambda tx: world.gate.submit(tx, requester, enrollment, world.now, held=held))
    )
    assert outcome.status is JobStatus.AWAITING_APPROVAL


async def test_names_that_were_not_authorized_are_refused(world: World) -> None:
    outcome = await world.ask("a.example", csr=make_csr("a.example", "b.example"))
    assert isinstance(outcome, Refusal)
    assert [reason.identifier.value for reason in outcome.reasons if reason.identifier] == ["b.example"]
