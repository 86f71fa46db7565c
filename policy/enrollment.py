"""The gate: the one place where a request becomes a job.

Every front end hands over what it has authenticated and gets back a job or the reasons why not. It
all happens in the caller's transaction: the job, the approval it waits for, the rows of the protocol
and the record are there together, or none of them is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

from ca.csr import CertificateRequest, parse_csr
from ca.names import Identifier, IdentifierType
from policy.approvals import circle, usable
from policy.hand import Hand, Taken
from policy.jobs import first
from policy.profile_cache import Held, ProfileCache
from policy.profile_gates import ApprovalCovers, ApprovalRules
from policy.profiles import Profile
from policy.reasons import Reason
from policy.rules import CertificatePlan, Facts, IssuanceRequest, Refused, evaluate
from store import approvals, audit, certificates, jobs, requests
from store.audit import AuditEvent
from store.clock import Millis, after, to_datetime, to_millis
from store.database import Transaction
from store.ids import ApprovalId, JobId, PrincipalId, ProfileName, RequestId, new_id
from store.json_text import encoder
from store.records import Approval, ApprovalStatus, Job, JobKind, JobStatus, ProfileVersion, Request

# The worker reads again what the front end has just read: the same bytes are the same request.
read_csr: Final = lru_cache(maxsize=64)(parse_csr)
_encode: Final = encoder(sort_keys=True)
_SUPERSEDED: Final = "a later request of the same requester for the same names took its place"


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks. `line` are the principals behind the credentials used: they never decide this request."""

    principal: PrincipalId
    protocol: str
    line: frozenset[PrincipalId] = frozenset()
    account: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What is asked: a parsed request for `authorized` names under a profile; the dates are wishes."""

    profile: ProfileName
    csr: CertificateRequest
    authorized: frozenset[Identifier]
    not_before: datetime | None = None
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job that carries the request on, and whether it waits for people.

    `taken` if a worker has it already: to be begun once the transaction is durable.
    """

    job_id: JobId
    status: JobStatus
    approval_id: ApprovalId | None
    taken: Taken | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing will be issued. Only the record has changed."""

    reasons: tuple[Reason, ...]


class Gate:
    """Decides what becomes of requests. One per process; it keeps parsed profiles and nothing else."""

    def __init__(self, cache: ProfileCache) -> None:
        self._profiles = cache

    async def submit(
        self,
        tx: Transaction,
        requester: Requester,
        enrollment: Enrollment,
        now: Millis,
        hand: Hand | None = None,
        *,
        held: Held | None = None,
    ) -> Submitted | Refusal:
        """Judge the request by the profile version in force and make its job.

        `held` spares a second look at what the caller has looked up, and holds, in the same transaction. A job that
        needs nobody's approval is offered to `hand`; the other workers hear of it if there is none, or it does not
        take it.

        Raises ProfileUnreadable when the profile is gone or cannot be read: nothing is stored. NotTaken as
        `Hand.take` does.
        """
        if held is None or held.tx is not tx or held.version.name != enrollment.profile:
            held = await self._profiles.held(tx, enrollment.profile)
        _, version, profile = held
        asked = IssuanceRequest(
            enrollment.csr, enrollment.authorized, enrollment.not_before, enrollment.not_after
        )
        decision = evaluate(profile, asked, await facts_of(tx, profile, enrollment.csr), to_datetime(now))
        if isinstance(decision, Refused):
            await _record_refusal(tx, requester, enrollment, decision, now)
            return Refusal(decision.reasons)

        request = _pin(requester, enrollment, version, profile, decision.content, now)
        if not decision.needs_approval:
            await requests.insert(tx, request, requester.line)
            started = await _start(tx, request, requester, None, now)
            taken = None if hand is None else await hand.take(tx, started.job_id)
            if taken is None:
                tx.announce(jobs.JOBS_READY)
                return started
            return Submitted(started.job_id, started.status, None, taken)
        assert profile.approval is not None
        approval = await _covering(tx, request, now)
        asked_before = approval is not None
        if approval is None:
            approval = _question(request, profile.approval, now)
            await approvals.insert(tx, approval)
        await requests.insert(tx, request, requester.line)
        started = await _start(tx, request, requester, approval, now, asked_before=asked_before)
        if started.status is JobStatus.PENDING:
            tx.announce(jobs.JOBS_READY)
        return started


async def facts_of(tx: Transaction, profile: Profile, csr: CertificateRequest) -> Facts:
    """What the tables know about the key of `csr`."""
    spki_sha256 = csr.spki_sha256.hex()
    blocked, is_account_key = await certificates.about_key(tx, spki_sha256)
    used = None if profile.keys.allow_reuse else await certificates.key_used(tx, spki_sha256)
    return Facts(key_blocked=blocked, key_is_account_key=is_account_key, key_used_before=used)


async def collect(tx: Transaction, job_id: JobId, now: Millis) -> Job:
    """The job, after letting it run if it was approved and only waited for its requester to come back.

    Raises KeyError when there is no such job.
    """
    job = await jobs.get(tx, job_id)
    if job is None:
        raise KeyError(job_id)
    if not (job.held and job.status is JobStatus.PENDING and job.approval_id is not None):
        return job
    approval = await approvals.get(tx, job.approval_id)
    if approval is None or not usable(approval, now):
        return job  # the scheduler cancels it
    await jobs.release(tx, job_id, now)
    return await jobs.get(tx, job_id) or job


async def withdraw(tx: Transaction, job_id: JobId, by: PrincipalId, now: Millis, why: str) -> bool:
    """Cancel a job that nobody has claimed, and close the question it asked. Whether it was still open.

    An approval that was given is worth nothing from then on: no later request may lean on it.
    """
    job = await jobs.get(tx, job_id)
    if job is None or not await jobs.cancel(tx, job_id, now, why):
        return False
    await audit.append(tx, now, by, AuditEvent.JOB_CANCELLED, job_id, why=why)
    if job.approval_id is not None and await approvals.end(tx, job.approval_id, ApprovalStatus.EXPIRED, now):
        await audit.append(tx, now, by, AuditEvent.APPROVAL_EXPIRED, job.approval_id, why=why)
    return True


def identifiers_json(identifiers: frozenset[Identifier]) -> str:
    """Names in one order and one spelling, as rows and digests hold them."""
    return _encode(sorted([i.type.value, i.value] for i in identifiers))


def identifiers_from(text: str) -> frozenset[Identifier]:
    """The names that `identifiers_json` wrote down."""
    return frozenset(Identifier(IdentifierType(type_), value) for type_, value in json.loads(text))


def _pin(
    requester: Requester,
    enrollment: Enrollment,
    version: ProfileVersion,
    profile: Profile,
    plan: CertificatePlan,
    now: Millis,
) -> Request:
    identifiers = identifiers_json(enrollment.authorized)
    not_before, not_after = _optional_millis(enrollment.not_before), _optional_millis(enrollment.not_after)
    asked = {
        "kind": JobKind.ISSUE.value,
        "principal": requester.principal,
        "account": requester.account,
        # An approval speaks for one line: who may not decide must not change under those who did.
        "line": sorted(requester.line | {requester.principal}),
        "profile": [version.name, version.version, version.digest],
        "identifiers": identifiers,
        "subject": plan.subject.hex(),
        "key_usage": sorted(profile.key_usage),
        "extended_key_usage": sorted(plan.extended_key_usage),
        "must_staple": plan.must_staple,
        "not_before": not_before,
        "not_after": not_after,
    }
    digest = _digest(asked | {"key": enrollment.csr.spki_sha256.hex()})
    any_key = profile.approval is not None and profile.approval.covers is ApprovalCovers.NAMES
    return Request(
        id=RequestId(new_id(now)),
        kind=JobKind.ISSUE,
        protocol=requester.protocol,
        principal_id=requester.principal,
        account_id=requester.account,
        profile=version.name,
        profile_version=version.version,
        body=enrollment.csr.der,
        identifiers=identifiers,
        not_before=not_before,
        not_after=not_after,
        digest=digest,
        approval_digest=_digest(asked) if any_key else digest,
        source=requester.source,
        created_at=now,
    )


def _question(request: Request, rules: ApprovalRules, now: Millis) -> Approval:
    return Approval(
        id=ApprovalId(new_id(now)),
        digest=request.approval_digest,
        kind=request.kind,
        profile=request.profile,
        profile_version=request.profile_version,
        required=rules.approvers,
        role=circle(rules),
        status=ApprovalStatus.PENDING,
        requested_at=now,
        expires_at=after(now, rules.expires),
        reuse_window=after(Millis(0), rules.reuse_window),
        ended_at=None,
    )


async def _covering(tx: Transaction, request: Request, now: Millis) -> Approval | None:
    """The approval asked for or given for exactly this, not yet used: whose earlier job now makes way."""
    for approval in await approvals.covering(tx, request.approval_digest):
        if not usable(approval, now):
            continue
        earlier = await jobs.live_of_approval(tx, approval.id)
        # What was withdrawn stays withdrawn. What runs, ran or failed has used its approval up.
        if earlier is None or not _waits(earlier):
            continue
        if await jobs.cancel(tx, earlier.id, now, _SUPERSEDED):
            await audit.append(
                tx, now, request.principal_id, AuditEvent.JOB_CANCELLED, earlier.id, why=_SUPERSEDED
            )
            return approval
    return None


def _waits(job: Job) -> bool:
    """Whether nothing has been done for the job: it waits for people, or for its requester."""
    return job.status is JobStatus.AWAITING_APPROVAL or (job.status is JobStatus.PENDING and job.held)


async def _start(
    tx: Transaction,
    request: Request,
    requester: Requester,
    approval: Approval | None,
    now: Millis,
    *,
    asked_before: bool = False,
) -> Submitted:
    job = first(request, approval, now)
    await jobs.insert(tx, job)
    if asked_before:
        event = AuditEvent.REQUEST_COVERED
    else:
        waits = job.status is JobStatus.AWAITING_APPROVAL
        event = AuditEvent.REQUEST_HELD if waits else AuditEvent.REQUEST_ACCEPTED
    await audit.append(
        tx,
        now,
        requester.principal,
        event,
        job.id,
        request=request.id,
        digest=request.digest,
        profile=f"{request.profile}/{request.profile_version}",
        approval=job.approval_id,
        source=requester.source,
    )
    return Submitted(job.id, job.status, job.approval_id)


async def _record_refusal(
    tx: Transaction, requester: Requester, enrollment: Enrollment, decision: Refused, now: Millis
) -> None:
    await audit.append(
        tx,
        now,
        requester.principal,
        AuditEvent.REQUEST_REFUSED,
        enrollment.profile,
        names=identifiers_json(enrollment.authorized),
        reasons=[reason.words for reason in decision.reasons],
        source=requester.source,
    )


def _optional_millis(moment: datetime | None) -> Millis | None:
    return None if moment is None else to_millis(moment)


def _digest(asked: Mapping[str, object]) -> str:
    return sha256(_encode(asked).encode()).hexdigest()
