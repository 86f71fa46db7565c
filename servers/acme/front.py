"""The way of a request into ACME and out again: envelope, nonce, account, handler, answer.

Every answer carries a fresh nonce but that to GET of the directory, and links to the directory unless it is the
directory: errors included, whoever made them (RFC 8555 sections 6.5 and 7.1).
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from policy.acme.refusals import AccountEnded, AcmeRefused, NoSuchAccount
from policy.profile_cache import ProfileUnreadable
from policy.rate_limits import RateLimited
from servers.acme import jws
from servers.acme.answers import problem_of_refusal
from servers.acme.jwk import AccountKey, load_public_jwk
from servers.acme.known_accounts import KnownAccounts
from servers.acme.problems import AcmeProblem, ProblemType, problem_of, server_internal
from servers.acme.refusals import WireRefused
from servers.acme.services import AcmeServices
from servers.acme.urls import Urls
from servers.web.answer import Answer
from servers.web.body import read_body
from servers.web.front import of_problem
from servers.web.problem import ProblemError
from servers.web.strict_json import JsonObject, JsonRefused, load_object
from store.clock import Millis
from store.database import StorageFailed
from store.records import Account, AccountStatus

log = structlog.get_logger()
_MEDIA_TYPE: Final = "application/jose+json"


@dataclass(slots=True)
class Asked:
    """A request and what its path says."""

    request: web.Request
    parameters: dict[str, str]
    profile: str
    """Whose directory the answer links to: named in the path, or found by the handler, or the default."""


@dataclass(slots=True)
class Signed:
    """A request whose signature, URL and nonce were good. `account` is None for a `jwk` that was asked for."""

    asked: Asked
    payload: bytes
    url: str
    key: AccountKey
    account: Account | None
    now: Millis

    @property
    def source(self) -> str:
        """The address that the request came from, as limits and the record know it."""
        return self.asked.request.remote or "unknown"

    @property
    def parameters(self) -> dict[str, str]:
        """What stands in the path, by the names in its template."""
        return self.asked.parameters

    @property
    def owner(self) -> Account:
        """The account that signed."""
        assert self.account is not None
        return self.account

    def fields(self) -> JsonObject:
        """The payload as a JSON object. Raises AcmeProblem (malformed)."""
        try:
            return load_object(self.payload)
        except JsonRefused as error:
            raise AcmeProblem(ProblemType.MALFORMED, f"the payload is refused: {error}") from None

    def expect_empty(self) -> None:
        """Raise AcmeProblem unless this is a POST-as-GET (RFC 8555 section 6.3)."""
        if self.payload:
            raise AcmeProblem(ProblemType.MALFORMED, "POST-as-GET has an empty payload")


Handler = Callable[[Asked], Awaitable[Answer]]
SignedHandler = Callable[[Signed], Awaitable[Answer]]


class AcmeFront:
    """What all ACME handlers share."""

    def __init__(self, services: AcmeServices) -> None:
        self.services = services
        self.urls = Urls(services.external_url)
        self.accounts = KnownAccounts(services.database)

    def by_account(self, handler: SignedHandler) -> Handler:
        """A handler for requests signed by a valid account (`kid`)."""

        async def handle(asked: Asked) -> Answer:
            parsed = await self._open(asked)
            if parsed.kid is None:
                raise AcmeProblem(ProblemType.MALFORMED, "this resource is asked for with kid, not with jwk")
            return await handler(await self._by_kid(asked, parsed))

        return handle

    def by_key(self, handler: SignedHandler) -> Handler:
        """A handler for requests that bring their key along (`jwk`)."""

        async def handle(asked: Asked) -> Answer:
            parsed = await self._open(asked)
            if parsed.jwk is None:
                raise AcmeProblem(ProblemType.MALFORMED, "this resource is asked for with jwk, not with kid")
            return await handler(await self._by_jwk(asked, parsed))

        return handle

    def by_either(self, handler: SignedHandler) -> Handler:
        """A handler for requests of both kinds: revokeCert."""

        async def handle(asked: Asked) -> Answer:
            parsed = await self._open(asked)
            found = self._by_jwk if parsed.kid is None else self._by_kid
            return await handler(await found(asked, parsed))

        return handle

    async def _open(self, asked: Asked) -> jws.SignedRequest:
        request = asked.request
        # The usual spelling first: taking a media type apart costs more than reading the body.
        if request.headers.get("Content-Type") != _MEDIA_TYPE and request.content_type != _MEDIA_TYPE:
            raise AcmeProblem(
                ProblemType.MALFORMED, f"the Content-Type of a request is {_MEDIA_TYPE}", status=415
            )
        parsed = jws.parse(await read_body(request, self.services.body_bounds))
        # The URL that clients were given, whatever Host says: a proxy may have changed that.
        jws.check_url(parsed, self.urls.requested(request.raw_path))
        return parsed

    async def _by_kid(self, asked: Asked, parsed: jws.SignedRequest) -> Signed:
        assert parsed.kid is not None
        account_id = self.urls.account_of(parsed.kid)
        found = None if account_id is None else await self.accounts.get(account_id)
        if found is None:
            raise NoSuchAccount("there is no account of this URL")
        account, key = found
        now = await self._verify(parsed, key)
        if account.status is not AccountStatus.VALID:
            raise AccountEnded(f"the account is {account.status}")
        return Signed(asked, parsed.payload, parsed.url, key, account, now)

    async def _by_jwk(self, asked: Asked, parsed: jws.SignedRequest) -> Signed:
        key = load_public_jwk(parsed.jwk)
        now = await self._verify(parsed, key)
        return Signed(asked, parsed.payload, parsed.url, key, None, now)

    async def _verify(self, parsed: jws.SignedRequest, key: AccountKey) -> Millis:
        # Signature first: a stranger must not be able to spend somebody's nonce.
        jws.verify(parsed, key)
        now = self.services.clock()
        await self.services.nonces.spend(parsed.nonce, now)
        return now

    def finish(self, asked: Asked, response: Answer, *, directory: bool) -> None:
        """Give an answer, whoever made it, what the client needs for its next request."""
        if not directory or asked.request.method == "POST" or response.status >= 400:
            nonce = self.services.nonces.fresh(self.services.clock())
            response.headers.append(("Replay-Nonce", nonce))
        if response.status < 400:  # problem documents say so already
            response.headers.append(("Cache-Control", "no-store"))
        if not directory:
            index = self.urls.resource(asked.profile, "directory")
            response.headers.append(("Link", f'<{index}>;rel="index"'))

    def answer_to(self, error: Exception, path: str) -> Answer:
        """The problem document for whatever was raised."""
        return of_problem(self._problem_of(error, path))

    def _problem_of(self, error: Exception, path: str) -> ProblemError:
        match error:
            case ProblemError():
                return error
            case WireRefused():
                return problem_of(error)
            case AcmeRefused() | RateLimited() | ProfileUnreadable() | StorageFailed():
                if isinstance(error, StorageFailed | ProfileUnreadable):
                    log.error("acme.unavailable", path=path, error=str(error))
                return problem_of_refusal(error, self.urls.account)
            case web.RequestPayloadError():
                return AcmeProblem(ProblemType.MALFORMED, "the body of the request cannot be read")
            case web.HTTPException() if error.status >= 400:
                return AcmeProblem(ProblemType.MALFORMED, error.reason, status=error.status)
        reference = uuid.uuid4().hex[:12]
        log.error("acme.unforeseen", reference=reference, path=path, exc_info=error)
        return server_internal(reference)
