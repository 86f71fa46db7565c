"""ACME authorizations and the attempt at a challenge (RFC 8555 section 7.5).

Most attempts end in milliseconds, before the client that asked for one has its answer: these are
written down once, with their end. One that takes longer is written down before the client hears of
it; if the process dies then, another one finds the attempt and makes it again. Whoever ends it
first has ended it.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog

from ca.names import Identifier, IdentifierType
from policy import rate_limits
from policy.acme.limits import AcmeLimits, bucket_of_name
from policy.acme.order_view import methods_of, named, standing
from policy.acme.refusals import AuthorizationEnded, NotAllowed, NotFound
from policy.enrollment import withdraw
from policy.profile_cache import ProfileCache
from policy.profile_gates import ACMERules
from policy.validation import CAARequest, NetworkRules, Problem, ValidationFailed, ValidationRecord, Validator
from policy.validation import Problem as ValidationProblem
from store import acme_accounts, acme_authorizations, acme_orders, audit
from store.audit import AuditEvent
from store.clock import Millis, after
from store.database import Database, StorageFailed, Transaction
from store.ids import AuthorizationId
from store.records import Account, Authorization, AuthorizationStatus

log = structlog.get_logger()
_RETAKE_AFTER: Final = 30_000  # ms; longer than any validation may take, so that nobody is overtaken
_RETAKE_SECONDS: Final = 5.0
_RETAKE_BATCH: Final = 100
_MOST_VERSIONS: Final = 1000
_NO_CAA_IDENTITY: Final = (
    "this profile asks CAA records, and this CA has no name that could stand in one: "
    "ask the operator to set [acme] caa_identities"
)
_OVER: Final = (AuthorizationStatus.EXPIRED, AuthorizationStatus.DEACTIVATED, AuthorizationStatus.REVOKED)
_TOO_LATE: Final = json.dumps(
    {"problem": ValidationProblem.SERVER_INTERNAL.value, "detail": "the check could not be made in time"}
)
_UNWRITTEN_SECONDS: Final = 0.3  # how long an attempt may run before it is written down


async def load(tx: Transaction, account: Account, authorization_id: AuthorizationId) -> Authorization:
    """The authorization. Raises NotFound, NotAllowed. One statement."""
    found = await acme_authorizations.get(tx, authorization_id)
    if found is None:
        raise NotFound("there is no such authorization")
    if found.account_id != account.id:
        raise NotAllowed("the authorization belongs to another account")
    return found


async def deactivate(
    tx: Transaction, account: Account, authorization_id: AuthorizationId, now: Millis
) -> Authorization:
    """Pending or valid -> deactivated, once and for all (RFC 8555 section 7.5.2).

    What waits to be signed on the strength of it is withdrawn. Raises NotFound, NotAllowed, AuthorizationEnded.
    """
    found = await load(tx, account, authorization_id)
    if found.status is AuthorizationStatus.DEACTIVATED:
        return found
    check_alive(found, now)
    if not await acme_authorizations.deactivate(tx, authorization_id):
        raise AuthorizationEnded("the authorization has just ended")
    await audit.append(tx, now, account.principal_id, AuditEvent.AUTHORIZATION_DEACTIVATED, authorization_id)
    for job_id in await acme_orders.waiting_jobs_on(tx, authorization_id):
        why = f"the authorization of {named(found)} was deactivated"
        await withdraw(tx, job_id, account.principal_id, now, why)
    return await load(tx, account, authorization_id)


def check_offered(authorization: Authorization, method: str) -> None:
    """Raise NotFound unless the authorization offers this challenge."""
    if method not in methods_of(authorization):
        raise NotFound("there is no such challenge")


def check_alive(authorization: Authorization, now: Millis) -> None:
    """Raise AuthorizationEnded unless it is pending or valid."""
    status = standing(authorization, now)
    if status not in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID):
        raise AuthorizationEnded(f"the authorization is {status}: make a new order")


class Attempts:
    """Makes the attempts of one process, and takes over those of processes that died."""

    def __init__(
        self,
        database: Database,
        validator: Validator,
        cache: ProfileCache,
        limits: AcmeLimits,
        account_url: Callable[[str], str],
        caa_identities: frozenset[str],
        clock: Callable[[], Millis],
    ) -> None:
        self._database = database
        self._validator = validator
        self._profiles = cache
        self._limits = limits
        self._account_url = account_url
        self._caa_identities = caa_identities
        self._clock = clock
        self._networks: dict[tuple[str, int], NetworkRules] = {}
        self._running: dict[AuthorizationId, asyncio.Task[Authorization | None]] = {}

    async def attempt(
        self, account: Account, authorization: Authorization, method: str, patience: float
    ) -> Authorization:
        """The authorization of `account` after an attempt by `method`, or as it stands when `patience` seconds are over.

        An authorization has one attempt: asked again, with whatever method, it is the same one.
        Raises AuthorizationEnded for one that is over without having been attempted.
        """
        now = self._clock()
        status = standing(authorization, now)
        if status in _OVER:
            check_alive(authorization, now)
        if status is not AuthorizationStatus.PENDING or authorization.attempt is not None:
            return authorization
        begun = replace(authorization, attempt=method, attempted_at=now)
        first = authorization.id not in self._running
        task = self._start(begun, account) if first else self._running[authorization.id]
        done, _ = await asyncio.wait([task], timeout=min(_UNWRITTEN_SECONDS, patience))
        if first and not (done and task.result()):
            # Also when it broke: then it is taken over like one whose process died.
            await self._database.write(
                lambda tx: acme_authorizations.attempt(tx, authorization.id, method, now)
            )
        if not done:
            done, _ = await asyncio.wait([task], timeout=max(patience - _UNWRITTEN_SECONDS, 0))
        ended = task.result() if done else None
        return ended or await acme_authorizations.get(self._database.single, authorization.id) or begun

    def _start(
        self, begun: Authorization, account: Account | None = None
    ) -> asyncio.Task[Authorization | None]:
        task = asyncio.ensure_future(self.make(begun, account))
        self._running[begun.id] = task
        task.add_done_callback(lambda _: self._running.pop(begun.id, None))
        return task

    async def run(self, stopping: asyncio.Event) -> None:
        """Take over what was interrupted, now and then, until `stopping` is set; then let attempts end."""
        while not stopping.is_set():
            try:
                await self.take_over()
            except StorageFailed as error:
                log.error("attempts.storage_failed", error=str(error))
            try:
                async with asyncio.timeout(_RETAKE_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                continue
        if self._running:
            await asyncio.wait(list(self._running.values()))

    async def take_over(self) -> None:
        """Make the attempts that were interrupted, once for all who look for them. Raises StorageFailed."""
        for authorization in await self._database.write(self._retake):
            if authorization.id not in self._running:
                self._start(authorization)

    async def _retake(self, tx: Transaction) -> list[Authorization]:
        now = self._clock()
        interrupted = await acme_authorizations.interrupted(tx, Millis(now - _RETAKE_AFTER), _RETAKE_BATCH)
        taken = []
        for one in interrupted:
            if standing(one, now) is AuthorizationStatus.EXPIRED:
                await acme_authorizations.invalidate(tx, one, _TOO_LATE)
            elif await acme_authorizations.retake(tx, one, now):
                taken.append(one)
        return taken

    async def make(
        self, authorization: Authorization, account: Account | None = None
    ) -> Authorization | None:
        """Validate, and write down how it ended; None if that failed or it had ended already. Raises nothing.

        `account` is the authorization's, where the caller has it.
        """
        try:
            account = account or await self._account_of(authorization)
            _, profile = await self._profiles.pinned(
                self._database.single, authorization.profile, authorization.profile_version
            )
            rules = profile.acme
            outcome = await self._validate(authorization, account, rules)
            return await self._database.write(lambda tx: self._end(tx, authorization, rules, outcome))
        except Exception as error:  # noqa: BLE001 - whoever waits looks for itself what has become of it
            log.error("attempt.broken", authorization=authorization.id, error=repr(error))
            return None

    async def _validate(
        self, authorization: Authorization, account: Account, rules: ACMERules
    ) -> ValidationFailed | ValidationRecord:
        assert authorization.attempt is not None
        identifier = Identifier(IdentifierType(authorization.type), authorization.value)
        try:
            record = await self._validator.validate(
                authorization.attempt,
                identifier,
                authorization.token,
                f"{authorization.token}.{account.thumbprint}",
                self._networks_of(authorization, rules),
            )
            if rules.caa and identifier.type is IdentifierType.DNS:
                if not self._caa_identities:
                    return ValidationFailed(Problem.CAA, _NO_CAA_IDENTITY)
                name = f"*.{identifier.value}" if authorization.wildcard else identifier.value
                asked = CAARequest(self._caa_identities, self._account_url(account.id), authorization.attempt)
                await self._validator.check_caa(Identifier(IdentifierType.DNS, name), asked)
        except ValidationFailed as failure:
            return failure
        return record

    def _networks_of(self, authorization: Authorization, rules: ACMERules) -> NetworkRules:
        """Made once per version of a profile: it takes networks apart."""
        version = authorization.profile, authorization.profile_version
        known = self._networks.get(version)
        if known is None:
            if len(self._networks) >= _MOST_VERSIONS:
                self._networks.clear()
            known = NetworkRules(allowed=rules.allowed_networks, denied=rules.denied_networks)
            self._networks[version] = known
        return known

    async def _account_of(self, authorization: Authorization) -> Account:
        account = await acme_accounts.get(self._database.single, authorization.account_id)
        assert account is not None
        return account

    async def _end(
        self,
        tx: Transaction,
        authorization: Authorization,
        rules: ACMERules,
        outcome: ValidationFailed | ValidationRecord,
    ) -> Authorization | None:
        now = self._clock()
        if isinstance(outcome, ValidationRecord):
            until = max(authorization.expires_at, after(now, rules.authorization_reuse))
            ended = await acme_authorizations.validate(tx, authorization, now, until)
            if ended is not None:
                await self._record(tx, authorization, AuditEvent.AUTHORIZATION_VALID, now)
            return ended
        problem = json.dumps({"problem": outcome.problem.value, "detail": outcome.detail})
        ended = await acme_authorizations.invalidate(tx, authorization, problem)
        if ended is None:
            return None
        await self._record(tx, authorization, AuditEvent.AUTHORIZATION_INVALID, now, why=outcome.detail)
        if outcome.problem is ValidationProblem.SERVER_INTERNAL:
            return ended  # our fault does not count against anybody
        whose = bucket_of_name(authorization.account_id, authorization.value)
        with suppress(rate_limits.RateLimited):  # the bucket is empty already: newOrder refuses
            await rate_limits.take(tx, self._limits.failed_validations, "failed validations", whose, now)
        return ended

    async def _record(
        self, tx: Transaction, authorization: Authorization, event: AuditEvent, now: Millis, **detail: str
    ) -> None:
        await audit.append(
            tx,
            now,
            f"account:{authorization.account_id}",
            event,
            authorization.id,
            name=authorization.value,
            method=authorization.attempt,
            **detail,
        )
