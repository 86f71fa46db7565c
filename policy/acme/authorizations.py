"""ACME authorizations and the attempt at a challenge (RFC 8555 section 7.5).

An attempt is written down before it is made. If the process dies in the middle, another one finds
it and makes it again; whoever ends it first has ended it.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Final

import structlog

from ca.names import Identifier, IdentifierType
from policy import rate_limits
from policy.acme.limits import AcmeLimits
from policy.acme.orders import standing
from policy.acme.refusals import NotAllowed, NotFound
from policy.profile_cache import ProfileCache
from policy.profile_gates import ACMERules
from policy.validation import CAARequest, NetworkRules, ValidationFailed, ValidationRecord, Validator
from store import acme_accounts, acme_authorizations, audit
from store.audit import AuditEvent
from store.clock import Millis, after
from store.database import Database, StorageFailed, Transaction
from store.ids import AuthorizationId
from store.records import Account, Authorization, AuthorizationStatus

log = structlog.get_logger()
_RETAKE_AFTER: Final = 30_000  # ms; longer than any validation may take, so that nobody is overtaken
_RETAKE_SECONDS: Final = 5.0
_RETAKE_BATCH: Final = 100


def ended_topic(authorization_id: AuthorizationId) -> str:
    """The topic on which the end of an attempt is announced."""
    return f"authorization.ended.{authorization_id}"


async def load(tx: Transaction, account: Account, authorization_id: AuthorizationId) -> Authorization:
    """The authorization. Raises NotFound, NotAllowed."""
    found = await acme_authorizations.get(tx, authorization_id)
    if found is None:
        raise NotFound("there is no such authorization")
    if found.account_id != account.id:
        raise NotAllowed("the authorization belongs to another account")
    return found


async def deactivate(
    tx: Transaction, account: Account, authorization_id: AuthorizationId, now: Millis
) -> Authorization:
    """Pending or valid -> deactivated (RFC 8555 section 7.5.2). Raises NotFound, NotAllowed."""
    await load(tx, account, authorization_id)
    if not await acme_authorizations.deactivate(tx, authorization_id):
        raise NotAllowed("the authorization has ended already")
    await audit.append(tx, now, account.principal_id, AuditEvent.AUTHORIZATION_DEACTIVATED, authorization_id)
    return await load(tx, account, authorization_id)


async def begin(
    tx: Transaction, account: Account, authorization_id: AuthorizationId, method: str, now: Millis
) -> tuple[Authorization, bool]:
    """The authorization, and whether an attempt by `method` begins now.

    Asked again it is the same attempt. Raises NotFound (also for a method that is not offered), NotAllowed.
    """
    authorization = await load(tx, account, authorization_id)
    if method not in json.loads(authorization.methods):
        raise NotFound("there is no such challenge")
    if standing(authorization, now) is not AuthorizationStatus.PENDING or authorization.attempt is not None:
        return authorization, False
    begun = await acme_authorizations.attempt(tx, authorization_id, method, now)
    return begun or await load(tx, account, authorization_id), begun is not None


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
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, authorization: Authorization) -> None:
        """Make the attempt that was begun, beside everything else."""
        task = asyncio.ensure_future(self.make(authorization))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self, stopping: asyncio.Event) -> None:
        """Take over what was interrupted, now and then, until `stopping` is set; then let attempts end."""
        while not stopping.is_set():
            try:
                for authorization in await self._database.write(self._retake):
                    self.start(authorization)
            except StorageFailed as error:
                log.error("attempts.storage_failed", error=str(error))
            try:
                async with asyncio.timeout(_RETAKE_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                continue
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _retake(self, tx: Transaction) -> list[Authorization]:
        now = self._clock()
        interrupted = await acme_authorizations.interrupted(tx, Millis(now - _RETAKE_AFTER), _RETAKE_BATCH)
        return [one for one in interrupted if await acme_authorizations.retake(tx, one, now)]

    async def make(self, authorization: Authorization) -> None:
        """Validate, and write down how it ended. Raises nothing: an attempt that breaks is taken over later."""
        try:
            failure = await self._validate(authorization)
            await self._database.write(lambda tx: self._end(tx, authorization, failure))
        except Exception as error:  # noqa: BLE001 - nobody waits for this task
            log.error("attempt.broken", authorization=authorization.id, error=repr(error))

    async def _validate(self, authorization: Authorization) -> ValidationFailed | ValidationRecord:
        account, rules = await self._database.read(lambda tx: self._circumstances(tx, authorization))
        assert authorization.attempt is not None
        identifier = Identifier(IdentifierType(authorization.type), authorization.value)
        try:
            record = await self._validator.validate(
                authorization.attempt,
                identifier,
                authorization.token,
                f"{authorization.token}.{account.thumbprint}",
                NetworkRules(allowed=rules.allowed_networks, denied=rules.denied_networks),
            )
            if rules.caa and self._caa_identities and identifier.type is IdentifierType.DNS:
                name = f"*.{identifier.value}" if authorization.wildcard else identifier.value
                asked = CAARequest(self._caa_identities, self._account_url(account.id), authorization.attempt)
                await self._validator.check_caa(Identifier(IdentifierType.DNS, name), asked)
        except ValidationFailed as failure:
            return failure
        return record

    async def _circumstances(
        self, tx: Transaction, authorization: Authorization
    ) -> tuple[Account, ACMERules]:
        account = await acme_accounts.get(tx, authorization.account_id)
        assert account is not None
        _, profile = await self._profiles.pinned(tx, authorization.profile, authorization.profile_version)
        return account, profile.acme

    async def _end(
        self, tx: Transaction, authorization: Authorization, outcome: ValidationFailed | ValidationRecord
    ) -> None:
        now = self._clock()
        tx.announce(ended_topic(authorization.id))
        if isinstance(outcome, ValidationRecord):
            _, profile = await self._profiles.pinned(tx, authorization.profile, authorization.profile_version)
            until = max(authorization.expires_at, after(now, profile.acme.authorization_reuse))
            if await acme_authorizations.validate(tx, authorization.id, now, until):
                await self._record(tx, authorization, AuditEvent.AUTHORIZATION_VALID, now)
            return
        problem = json.dumps({"problem": outcome.problem.value, "detail": outcome.detail})
        if not await acme_authorizations.invalidate(tx, authorization.id, problem):
            return
        await self._record(tx, authorization, AuditEvent.AUTHORIZATION_INVALID, now, why=outcome.detail)
        whose = f"{authorization.account_id}:{authorization.value}"
        try:
            await rate_limits.take(tx, self._limits.failed_validations, "failed validations", whose, now)
        except rate_limits.RateLimited:
            return  # the bucket is empty already: newOrder refuses

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
