"""What the parts of an order add up to, by hand and by property (RFC 8555 section 7.1.6)."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.acme.order_view import (
    Ending,
    OrderStatus,
    OrderView,
    identifiers_of,
    named,
    standing,
    view,
    why_not_ready,
)
from store.clock import Millis
from store.ids import (
    AccountId,
    ApprovalId,
    AuthorizationId,
    JobId,
    OrderId,
    ProfileName,
    RequestId,
)
from store.records import (
    Approval,
    ApprovalStatus,
    Authorization,
    AuthorizationStatus,
    Job,
    JobKind,
    JobStatus,
    Order,
)

NOW = Millis(1_000_000)
LATER = Millis(2_000_000)
GOOD = {AuthorizationStatus.PENDING, AuthorizationStatus.VALID}
ORDER = Order(
    id=OrderId("o"),
    account_id=AccountId("a"),
    profile=ProfileName("p"),
    profile_version=1,
    identifiers=json.dumps([["dns", "*.a.test"], ["ip", "192.0.2.1"]]),
    not_before=None,
    not_after=None,
    expires_at=LATER,
    job_id=None,
    created_at=Millis(0),
)
PART = Authorization(
    id=AuthorizationId("z"),
    account_id=AccountId("a"),
    profile=ProfileName("p"),
    profile_version=1,
    type="dns",
    value="a.test",
    wildcard=False,
    status=AuthorizationStatus.PENDING,
    expires_at=LATER,
    token="t",
    methods="[]",
    attempt=None,
    attempted_at=None,
    validated_at=None,
    error=None,
    created_at=Millis(0),
)
JOB = Job(
    id=JobId("j"),
    kind=JobKind.ISSUE,
    request_id=RequestId("r"),
    status=JobStatus.PENDING,
    gated=False,
    approval_id=None,
    held=False,
    fence=0,
    worker=None,
    lease_until=None,
    attempts=0,
    run_after=Millis(0),
    error=None,
    created_at=Millis(0),
    updated_at=Millis(0),
)
APPROVAL = Approval(
    id=ApprovalId("q"),
    digest="d",
    kind=JobKind.ISSUE,
    profile=ProfileName("p"),
    profile_version=1,
    required=1,
    role="approver",
    status=ApprovalStatus.PENDING,
    requested_at=Millis(0),
    expires_at=Millis(3_000_000),
    reuse_window=500_000,
    ended_at=None,
)


def part(status: AuthorizationStatus, expires_at: int = LATER) -> Authorization:
    return replace(PART, status=status, expires_at=Millis(expires_at))


def parts(*statuses: AuthorizationStatus) -> list[Authorization]:
    return [part(status) for status in statuses]


S = AuthorizationStatus


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((S.PENDING,), OrderStatus.PENDING),
        ((S.PENDING, S.VALID), OrderStatus.PENDING),
        ((S.VALID, S.VALID), OrderStatus.READY),
        ((S.VALID, S.INVALID), OrderStatus.INVALID),
        ((S.PENDING, S.INVALID), OrderStatus.INVALID),
        ((S.VALID, S.DEACTIVATED), OrderStatus.INVALID),
        ((S.VALID, S.REVOKED), OrderStatus.INVALID),
        ((S.VALID, S.EXPIRED), OrderStatus.INVALID),
    ],
)
def test_without_a_job_the_authorizations_decide(statuses: tuple[S, ...], expected: OrderStatus) -> None:
    seen = view(ORDER, parts(*statuses), None, None, NOW)
    assert seen.status is expected
    assert (seen.ending is Ending.AUTHORIZATION_FAILED) == (expected is OrderStatus.INVALID)
    assert seen.expires_at == LATER


def test_an_order_whose_time_is_up_says_that_and_not_that_a_proof_failed() -> None:
    for status in GOOD:
        seen = view(ORDER, parts(status), None, None, LATER)
        assert (seen.status, seen.ending) == (OrderStatus.INVALID, Ending.EXPIRED)
    failed = view(ORDER, parts(S.INVALID), None, None, LATER)
    assert failed.ending is Ending.AUTHORIZATION_FAILED


def test_a_proof_that_ends_before_the_order_ends_it() -> None:
    early = [part(S.VALID), part(S.VALID, NOW)]
    seen = view(ORDER, early, None, None, NOW)
    assert (seen.status, seen.ending) == (OrderStatus.INVALID, Ending.AUTHORIZATION_FAILED)
    assert "a.test: expired" in seen.detail


@pytest.mark.parametrize(
    ("status", "expected", "ending"),
    [
        (JobStatus.PENDING, OrderStatus.PROCESSING, None),
        (JobStatus.RUNNING, OrderStatus.PROCESSING, None),
        (JobStatus.COMPLETED, OrderStatus.VALID, None),
        (JobStatus.CANCELLED, OrderStatus.INVALID, Ending.REFUSED),
        (JobStatus.FAILED, OrderStatus.INVALID, Ending.FAILED),
    ],
)
def test_with_a_job_the_job_decides(status: JobStatus, expected: OrderStatus, ending: Ending | None) -> None:
    job = replace(JOB, status=status, error="because")
    for now in (NOW, LATER):  # also when proofs and order have long expired
        seen = view(ORDER, parts(S.VALID), job, None, now)
        assert (seen.status, seen.ending) == (expected, ending)
        assert ("because" in seen.detail) == (ending is not None)


def test_while_it_is_carried_out_no_date_is_said_that_would_not_be_kept() -> None:
    assert view(ORDER, parts(S.VALID), JOB, None, NOW).expires_at == LATER
    assert view(ORDER, parts(S.VALID), JOB, None, LATER).expires_at is None


def test_it_waits_for_people_as_long_as_their_question_stands() -> None:
    job = replace(JOB, status=JobStatus.AWAITING_APPROVAL, gated=True, approval_id=APPROVAL.id)
    seen = view(ORDER, parts(S.VALID), job, APPROVAL, LATER)
    assert (seen.status, seen.expires_at) == (OrderStatus.PROCESSING, APPROVAL.expires_at)
    assert (seen.waits_for_people, seen.held) == (True, False)
    late = view(ORDER, parts(S.VALID), job, APPROVAL, APPROVAL.expires_at)
    assert (late.status, late.ending) == (OrderStatus.INVALID, Ending.REFUSED)
    assert "nobody decided in time" in late.detail


def test_approved_it_waits_for_its_requester_as_long_as_the_window_is_open() -> None:
    job = replace(JOB, held=True, gated=True, approval_id=APPROVAL.id)
    given_ = replace(APPROVAL, status=ApprovalStatus.APPROVED, ended_at=NOW)
    seen = view(ORDER, parts(S.VALID), job, given_, NOW)
    assert (seen.status, seen.expires_at) == (OrderStatus.PROCESSING, NOW + 500_000)
    assert (seen.waits_for_people, seen.held) == (False, True)
    late = view(ORDER, parts(S.VALID), job, given_, Millis(NOW + 500_000))
    assert (late.status, late.ending) == (OrderStatus.INVALID, Ending.REFUSED)
    released = view(ORDER, parts(S.VALID), replace(job, held=False), given_, Millis(NOW + 500_000))
    assert released.status is OrderStatus.PROCESSING


def test_names_as_they_stand_in_the_order() -> None:
    assert [name.value for name in identifiers_of(ORDER)] == ["*.a.test", "192.0.2.1"]
    assert named(PART) == "a.test"
    assert named(replace(PART, wildcard=True)) == "*.a.test"


def test_why_an_order_is_not_ready() -> None:
    for status in OrderStatus:
        words = why_not_ready(OrderView(ORDER, status, LATER, (), detail="so it is"))
        assert words
        assert ("so it is" in words) == (status is OrderStatus.INVALID)


@given(
    statuses=st.lists(st.sampled_from(list(AuthorizationStatus)), min_size=1, max_size=4),
    expiries=st.lists(st.integers(0, 4_000_000), min_size=4, max_size=4),
    order_expires=st.integers(0, 4_000_000),
    job_status=st.none() | st.sampled_from(list(JobStatus)),
    held=st.booleans(),
    approval_status=st.none() | st.sampled_from(list(ApprovalStatus)),
    ended_at=st.integers(0, 4_000_000),
    now=st.integers(0, 5_000_000),
)
def test_every_combination_adds_up(
    statuses: list[AuthorizationStatus],
    expiries: list[int],
    order_expires: int,
    job_status: JobStatus | None,
    held: bool,
    approval_status: ApprovalStatus | None,
    ended_at: int,
    now: int,
) -> None:
    pieces = [part(status, expiry) for status, expiry in zip(statuses, expiries, strict=False)]
    order = replace(ORDER, expires_at=Millis(order_expires))
    job = None if job_status is None else replace(JOB, status=job_status, held=held, error="because")
    approval = None
    if approval_status is not None:
        ended = None if approval_status is ApprovalStatus.PENDING else Millis(ended_at)
        approval = replace(APPROVAL, status=approval_status, ended_at=ended)
    seen = view(order, pieces, job, approval, Millis(now))
    # An order is valid exactly when there is a certificate, and invalid exactly when there is a reason.
    assert (seen.status is OrderStatus.VALID) == (job_status is JobStatus.COMPLETED)
    assert (seen.status is OrderStatus.INVALID) == (seen.ending is not None) == bool(seen.detail)
    if seen.status is OrderStatus.READY:
        assert {standing(one, Millis(now)) for one in pieces} == {AuthorizationStatus.VALID}
        assert now < order_expires
    if seen.status in (OrderStatus.PENDING, OrderStatus.READY, OrderStatus.PROCESSING):
        # What still waits is never past the end that it names (RFC 8555 section 7.1.3).
        assert seen.expires_at is None or seen.expires_at > now
        assert seen.expires_at is not None or job is not None
    assert not (seen.held and seen.waits_for_people)
