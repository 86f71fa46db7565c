"""The worker: claims pending jobs and has them signed, by the signers that `policy.signers` made for it.

Nobody else in a running server imports `ca.signer`.

    claim        pending -> running, one statement; makes the ClaimedJob. `take` makes it for one job
                 in the transaction that submits it, `claim_and_prepare` for what waits
    prepare      the certificate is built again from the pinned request, and linted -> Ticket
    intent       what is about to be signed is durable, in the same commit as the claim
    sign         the key is used
    store        certificate, end of the job and record in one commit

A worker that dies leaves a running job whose lease runs out; the next one signs the same content
under the same serial. A worker that comes back late finds its fencing number spent.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

import structlog

from ca.certificate import CertificateContent, random_serial
from ca.csr import CsrRefused
from ca.signer import Signer, SigningRefused, Ticket
from policy.approvals import NotApproved, check_stands
from policy.enrollment import facts_of, identifiers_from, read_csr
from policy.hand import NotTaken
from policy.jobs import LEASE, MAX_ATTEMPTS, backoff
from policy.profile_cache import ProfileCache, ProfileUnreadable
from policy.rules import CertificatePlan, IssuanceRequest, Permitted, evaluate
from store import approvals, audit, certificates, jobs, principals, requests
from store.audit import AuditEvent
from store.clock import Millis, after, to_datetime, to_millis
from store.database import Database, StorageFailed, Transaction
from store.ids import ApprovalId, IssuerName, JobId, Serial
from store.jobs import JOBS_READY, ClaimedJob, LostClaim
from store.records import Certificate, Intent, PrincipalKind, Request

log = structlog.get_logger()
BATCH: Final = 32
_IDLE_SECONDS: Final = 1.0
_TROUBLE_SECONDS: Final = 5.0


class CannotIssue(Exception):
    """This job can never be carried out; the message becomes its error."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A claimed job whose intent is recorded: all that is left is to sign, before `until`, and to store."""

    claimed: ClaimedJob
    until: Millis
    request: Request
    plan: CertificatePlan
    spki_sha256: str
    intent: Intent
    signer: Signer[ClaimedJob]
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Signed:
    """What the key has signed, in DER; nothing says so yet but the intent."""

    prepared: Prepared
    der: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """What `Worker.take` has claimed and prepared."""

    worker: "Worker"
    prepared: Prepared

    def begin(self) -> asyncio.Future[bool]:
        """Have it signed and stored; whether it was. Only once the claim is durable."""
        return self.worker.begin(self.prepared)


class Worker:
    """Carries out issuing jobs with the keys that it was given."""

    def __init__(
        self,
        database: Database,
        signers: Mapping[IssuerName, Signer[ClaimedJob]],
        cache: ProfileCache,
        name: str,
        clock: Callable[[], Millis],
    ) -> None:
        self._database = database
        self._signers = signers
        self._profiles = cache
        self._name = name
        self._clock = clock
        self._begun: set[asyncio.Future[bool]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, woken by new jobs and, for other processes' jobs, every second.

        Ends when what was begun has ended too.
        """
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                with self._database.signals.expect(JOBS_READY) as ready:
                    waiting: list[asyncio.Future[Any]] = [ready, stopped]
                    try:
                        busy = await self.turn()
                    except StorageFailed as error:
                        log.error("worker.storage_failed", error=str(error))
                        await asyncio.wait([stopped], timeout=_TROUBLE_SECONDS)
                        continue
                    except Exception as error:  # noqa: BLE001 - one bad row must not end all issuing
                        log.error("worker.turn_failed", error=repr(error))
                        await asyncio.wait([stopped], timeout=_TROUBLE_SECONDS)
                        continue
                    if not busy:
                        await asyncio.wait(
                            waiting, timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                        )
            if self._begun:
                await asyncio.wait(self._begun)
        finally:
            stopped.cancel()

    async def turn(self) -> int:
        """Claim what is pending, up to a batch, and carry it out; how many jobs that were."""
        count, prepared = await self.claim_and_prepare(BATCH)
        await asyncio.gather(*[self._sign_and_store(one) for one in prepared])
        return count

    async def claim_and_prepare(self, most: int) -> tuple[int, list[Prepared]]:
        """Claim up to `most` jobs and record what will be signed for them; how many were claimed, and what is ready.

        A job that cannot be carried out fails here.
        """
        now = self._clock()
        until = after(now, LEASE)

        async def work(tx: Transaction) -> tuple[int, list[Prepared]]:
            claimed = await jobs.claim(tx, self._name, now, until, most)
            prepared = [await self._prepare_or_fail(tx, job, now, until) for job in claimed]
            return len(claimed), [one for one in prepared if one is not None]

        return await self._database.write(work)

    async def take(self, tx: Transaction, job_id: JobId) -> Taken | None:
        """As `claim_and_prepare`, for one job, in the transaction that has just made it (`policy.hand`).

        Raises NotTaken where `claim_and_prepare` would have broken off: the job is to be submitted all the same.
        """
        now = self._clock()
        until = after(now, LEASE)
        try:
            claimed = await jobs.claim_at_once(tx, job_id, self._name, now, until)
            prepared = None if claimed is None else await self._prepare_or_fail(tx, claimed, now, until)
        except Exception as error:
            log.error("worker.not_taken", job=job_id, error=repr(error))
            raise NotTaken(repr(error)) from error
        return None if prepared is None else Taken(self, prepared)

    def begin(self, prepared: Prepared) -> asyncio.Future[bool]:
        """Sign and store, whoever waits for it or not; whether there is a certificate now."""
        task = asyncio.ensure_future(self._carry_on(prepared))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return task

    async def _carry_on(self, prepared: Prepared) -> bool:
        try:
            return await self._sign_and_store(prepared)
        except Exception as error:  # noqa: BLE001 - perhaps nobody waits; the lease runs out, and it is tried again
            log.error("worker.broken", job=prepared.claimed.job_id, error=repr(error))
            return False

    async def _prepare_or_fail(
        self, tx: Transaction, claimed: ClaimedJob, now: Millis, until: Millis
    ) -> Prepared | None:
        try:
            return await self._prepare(tx, claimed, now, until)
        except (CannotIssue, NotApproved, SigningRefused, ProfileUnreadable, CsrRefused) as error:
            await jobs.fail(tx, claimed, now, str(error))
            await audit.append(tx, now, self._actor, AuditEvent.JOB_FAILED, claimed.job_id, why=str(error))
            return None

    async def _prepare(self, tx: Transaction, claimed: ClaimedJob, now: Millis, until: Millis) -> Prepared:
        request = await requests.get(tx, claimed.request_id)
        if claimed.approval_id is not None:
            await _check_approved(tx, claimed.approval_id, request)
        version, profile = await self._profiles.pinned(tx, request.profile, request.profile_version)
        signer = self._signers.get(IssuerName(profile.issuer))
        if signer is None:
            raise CannotIssue(
                f'profile {version.name} names the issuer "{profile.issuer}", which is not here'
            )
        # 1. Judged again, from the pinned request: a key may have been blocked while people thought.
        csr = read_csr(request.body)
        asked = IssuanceRequest(
            csr,
            identifiers_from(request.identifiers),
            None if request.not_before is None else to_datetime(request.not_before),
            None if request.not_after is None else to_datetime(request.not_after),
        )
        # The first to hold the job cannot have been preceded.
        recorded = None if claimed.fence == 1 else await certificates.intent(tx, claimed.job_id)
        moment = now if recorded is None else recorded.recorded_at
        decision = evaluate(profile, asked, await facts_of(tx, profile, csr), to_datetime(moment))
        if not isinstance(decision, Permitted):
            raise CannotIssue("; ".join(reason.words for reason in decision.reasons))
        if decision.needs_approval != claimed.gated:
            raise CannotIssue("the profile and the job disagree about approval")
        # 2. Built and linted; nothing is signed yet.
        plan = decision.content
        if plan.not_after > signer.issuer.not_after:
            plan = replace(plan, not_after=signer.issuer.not_after)
        serial = Serial(random_serial()) if recorded is None else certificates.serial_number(recorded.serial)
        ticket = signer.prepare(claimed, content_of(plan, serial))
        # 3. What will be signed is written down first. After a crash it must come out the same.
        intent = Intent(
            job_id=claimed.job_id,
            issuer=IssuerName(signer.issuer.name),
            serial=certificates.serial_text(serial),
            tbs_sha256=ticket.tbs_sha256,
            not_before=to_millis(plan.not_before),
            not_after=to_millis(plan.not_after),
            recorded_at=moment,
        )
        if recorded is None:
            await certificates.insert_intent(tx, intent)
        elif recorded != intent:
            raise CannotIssue("the issuer has changed since this certificate was first prepared: ask again")
        return Prepared(claimed, until, request, plan, csr.spki_sha256.hex(), intent, signer, ticket)

    async def _sign_and_store(self, one: Prepared) -> bool:
        signed = await self.sign(one)
        return signed is not None and await self.store(signed)

    async def sign(self, one: Prepared) -> Signed | None:
        """Use the key; None if that failed (the job is tried again) or the lease has run out meanwhile."""
        # 4. The key is used, here and nowhere else. Whose lease has run out may have lost the job by now.
        if self._clock() >= one.until:
            log.warning("worker.too_late", job=one.claimed.job_id)
            return None
        try:
            return Signed(one, one.signer.issue(one.ticket))
        except Exception as error:  # noqa: BLE001 - a signer out of reach must not end the worker
            log.error("worker.sign_failed", job=one.claimed.job_id, error=repr(error))
            await self._retry(one.claimed, "the signer did not answer")
            return None

    async def store(self, signed: Signed) -> bool:
        """Make what was signed a certificate, unless the job was lost meanwhile; whether it is one."""
        # 5. Certificate, end of the job and record: all or nothing.
        one, now = signed.prepared, self._clock()
        certificate = _certificate(signed, now)

        async def work(tx: Transaction) -> None:
            names = tuple((name.type.value, name.value) for name in one.plan.identifiers)
            await certificates.insert(tx, certificate, names)
            await jobs.complete(tx, one.claimed, now)
            await audit.append(
                tx,
                now,
                self._actor,
                AuditEvent.CERTIFICATE_ISSUED,
                one.claimed.job_id,
                serial=certificate.serial,
                sha256=certificate.sha256,
                tbs_sha256=certificate.tbs_sha256,
                fence=one.claimed.fence,
            )

        try:
            await self._database.write(work)
        except LostClaim as error:
            log.warning("worker.lost_claim", job=one.claimed.job_id, error=str(error))
        except StorageFailed as error:
            # The lease will run out and the job be done again, with the same serial and content.
            log.error("worker.storage_failed", job=one.claimed.job_id, error=str(error))
        except Exception as error:  # noqa: BLE001 - a guard of the database said no: never issue, never stop
            log.error("worker.store_refused", job=one.claimed.job_id, error=repr(error))
            await self._retry(one.claimed, "the database refused the certificate")
        else:
            return True
        return False

    async def _retry(self, claimed: ClaimedJob, why: str) -> None:
        now = self._clock()

        async def put_back(tx: Transaction) -> None:
            if claimed.attempts >= MAX_ATTEMPTS:
                await jobs.fail(tx, claimed, now, f"{why}; gave up after {claimed.attempts} attempts")
                await audit.append(tx, now, self._actor, AuditEvent.JOB_FAILED, claimed.job_id, why=why)
            else:
                await jobs.retry(tx, claimed, now, after(now, backoff(claimed.attempts)), why)
                await audit.append(tx, now, self._actor, AuditEvent.JOB_RETRIED, claimed.job_id, why=why)

        try:
            await self._database.write(put_back)
        except (LostClaim, StorageFailed) as error:
            log.warning("worker.not_put_back", job=claimed.job_id, error=str(error))

    @property
    def _actor(self) -> str:
        return f"worker:{self._name}"


def content_of(plan: CertificatePlan, serial: Serial) -> CertificateContent:
    """What the certificate will say: the plan under a serial."""
    return CertificateContent(
        serial=serial,
        not_before=plan.not_before,
        not_after=plan.not_after,
        subject=plan.subject,
        spki=plan.spki,
        identifiers=plan.identifiers,
        key_usage=plan.key_usage,
        extended_key_usage=plan.extended_key_usage,
        must_staple=plan.must_staple,
    )


async def _check_approved(tx: Transaction, approval_id: ApprovalId, request: Request) -> None:
    decisions = await approvals.decisions(tx, approval_id)
    deciders = [await principals.get(tx, decision.principal_id) for decision in decisions]
    persons = frozenset(p.id for p in deciders if p is not None and p.kind is PrincipalKind.PERSON)
    line = await requests.line(tx, request.id)
    check_stands(await approvals.get(tx, approval_id), request, line, decisions, persons)


def _certificate(signed: Signed, now: Millis) -> Certificate:
    one, der = signed.prepared, signed.der
    request, intent = one.request, one.intent
    return Certificate(
        issuer=intent.issuer,
        serial=intent.serial,
        job_id=one.claimed.job_id,
        request_id=request.id,
        approval_id=one.claimed.approval_id,
        profile=request.profile,
        profile_version=request.profile_version,
        principal_id=request.principal_id,
        account_id=request.account_id,
        fence=one.claimed.fence,
        der=der,
        tbs_sha256=one.ticket.tbs_sha256,
        sha256=sha256(der).hexdigest(),
        spki_sha256=one.spki_sha256,
        subject=one.plan.subject.hex(),
        not_before=intent.not_before,
        not_after=intent.not_after,
        issued_at=now,
        revoked_at=None,
        revocation_reason=None,
        revoked_by=None,
    )
