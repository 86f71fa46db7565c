"""Changing profiles: a change is a job too, and one that loosens a gated profile waits for a second person.

Without this closure the gate would be worth as much as one operator's patience: loosen, issue, tighten.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final

from policy.approvals import circle
from policy.jobs import first
from policy.loosening import loosens
from policy.profile_cache import ProfileCache
from policy.profiles import Profile, canonical_json, digest, from_json
from store import approvals, audit, jobs, profiles, requests
from store.audit import AuditEvent
from store.clock import Millis, after
from store.database import Transaction
from store.ids import ApprovalId, JobId, PrincipalId, ProfileName, RequestId, new_id
from store.records import Approval, ApprovalStatus, JobKind, ProfileVersion, Request

_HAND: Final = "profile-change"  # the name under which these jobs are claimed: no worker does them
NO_DEFINITION: Final = sha256(b"").hexdigest()  # what a deletion proposes
_LEASE: Final = timedelta(seconds=60)
_STALE: Final = "the profile was changed meanwhile: look at it again and propose the change anew"
_DELETED: Final = "the profile was deleted"


@dataclass(frozen=True, slots=True)
class Applied:
    """The change is in force; `version` is the new one, None for a deletion."""

    name: ProfileName
    version: int | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The change loosens a gated profile, in the ways said, and waits for other people."""

    name: ProfileName
    approval_id: ApprovalId
    loosened: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The profile says this already."""

    name: ProfileName
    version: int


Outcome = Applied | Waiting | Unchanged


async def propose(
    tx: Transaction, name: ProfileName, to: Profile | None, by: PrincipalId, now: Millis, cache: ProfileCache
) -> Outcome:
    """Change profile `name` to what `to` says (None: delete it), at once or after approval.

    Raises ProfileUnreadable when there is nothing to delete, or what is in force cannot be read;
    ValueError when `to` is a profile of another name.
    """
    if to is not None and to.name != name:
        raise ValueError(f'a definition of profile "{to.name}" does not change profile "{name}"')
    in_force = await profiles.current(tx, name)
    if in_force is None and to is not None and await profiles.latest_number(tx, name) == 0:
        return await _create(tx, to, by, now)
    if in_force is None and to is None:
        await cache.current(tx, name)  # raises: there is no such profile
    # A deleted profile that comes back is measured against what it last was.
    number = in_force.version if in_force else await profiles.latest_number(tx, name)
    base, old = await cache.again(tx, name, number)
    if in_force is not None and to is not None and digest(to) == base.digest:
        return Unchanged(name, base.version)
    loosened = loosens(old, to)
    request = _pin(base, to, by, now, was_deleted=in_force is None)
    approval = None
    if loosened:
        assert old.approval is not None
        approval = Approval(
            id=ApprovalId(new_id(now)),
            digest=request.approval_digest,
            kind=request.kind,
            profile=name,
            profile_version=base.version,
            required=old.approval.approvers,
            role=circle(old.approval),
            status=ApprovalStatus.PENDING,
            requested_at=now,
            expires_at=after(now, old.approval.expires),
            reuse_window=0,
            ended_at=None,
        )
        await approvals.insert(tx, approval)
    await requests.insert(tx, request, frozenset())
    job = first(request, approval, now)
    await jobs.insert(tx, job)
    await audit.append(
        tx,
        now,
        by,
        AuditEvent.PROFILE_CHANGE_ASKED,
        name,
        job=job.id,
        base=base.version,
        loosened=list(loosened),
        approval=job.approval_id,
    )
    if approval is not None:
        return Waiting(name, approval.id, loosened)
    await carry_out(tx, job.id, now, cache)
    return Applied(name, None if to is None else await profiles.latest_number(tx, name))


async def carry_out(tx: Transaction, job_id: JobId, now: Millis, cache: ProfileCache) -> None:
    """Bring a pending change into force, or cancel it if the profile is not what it was proposed against."""
    pending = await jobs.get(tx, job_id)
    assert pending is not None
    request = await requests.get(tx, pending.request_id)
    in_force = await profiles.current(tx, request.profile)
    latest = await profiles.latest_number(tx, request.profile)
    proposal = json.loads(request.body)
    if latest != request.profile_version or (in_force is None) != proposal["was_deleted"]:
        await jobs.cancel(tx, job_id, now, _STALE)
        await audit.append(tx, now, "system", AuditEvent.JOB_CANCELLED, job_id, why=_STALE)
        return
    claimed = await jobs.claim_one(tx, job_id, _HAND, now, after(now, _LEASE))
    assert claimed is not None
    if proposal["definition"] is None:
        await profiles.delete(tx, request.profile, now)
        await audit.append(
            tx, now, request.principal_id, AuditEvent.PROFILE_DELETED, request.profile, job=job_id
        )
        await _cancel_open_requests(tx, request, now)
    else:
        to = from_json(proposal["definition"].encode())
        version = _version(to, latest + 1, request.principal_id, now)
        await profiles.insert_version(tx, version)
        cache.read(version)
        await audit.append(
            tx,
            now,
            request.principal_id,
            AuditEvent.PROFILE_CHANGED,
            request.profile,
            job=job_id,
            version=version.version,
            digest=version.digest,
        )
    await jobs.complete(tx, claimed, now)


async def _create(tx: Transaction, profile: Profile, by: PrincipalId, now: Millis) -> Applied:
    version = _version(profile, 1, by, now)
    await profiles.insert_version(tx, version)
    await audit.append(
        tx, now, by, AuditEvent.PROFILE_CREATED, version.name, version=1, digest=version.digest
    )
    return Applied(version.name, 1)


async def _cancel_open_requests(tx: Transaction, request: Request, now: Millis) -> None:
    for job in await jobs.open_of_profile(tx, request.profile):
        if await jobs.cancel(tx, job.id, now, _DELETED):
            await audit.append(tx, now, request.principal_id, AuditEvent.JOB_CANCELLED, job.id, why=_DELETED)
            if job.approval_id is not None:
                await approvals.end(tx, job.approval_id, ApprovalStatus.EXPIRED, now)


def _version(profile: Profile, number: int, by: PrincipalId, now: Millis) -> ProfileVersion:
    return ProfileVersion(
        name=ProfileName(profile.name),
        version=number,
        definition=canonical_json(profile).decode(),
        digest=digest(profile),
        requires_approval=profile.requires_approval,
        approvers=profile.approval.approvers if profile.approval else 0,
        created_at=now,
        created_by=by,
    )


def _pin(
    base: ProfileVersion, to: Profile | None, by: PrincipalId, now: Millis, *, was_deleted: bool
) -> Request:
    proposal = {
        "definition": None if to is None else canonical_json(to).decode(),
        "base": [base.version, base.digest],
        "was_deleted": was_deleted,
    }
    body = json.dumps(proposal, separators=(",", ":"), sort_keys=True).encode()
    # The database lets the job bring about a version of this digest and no other.
    proposed = NO_DEFINITION if to is None else digest(to)
    digest_of_all = sha256(
        b"\0".join([JobKind.CHANGE_PROFILE.value.encode(), base.name.encode(), by.encode(), body])
    ).hexdigest()
    return Request(
        id=RequestId(new_id(now)),
        kind=JobKind.CHANGE_PROFILE,
        protocol="operator",
        principal_id=by,
        account_id=None,
        profile=base.name,
        profile_version=base.version,
        body=body,
        identifiers="[]",
        not_before=None,
        not_after=None,
        digest=proposed,
        approval_digest=digest_of_all,
        source=None,
        created_at=now,
    )
