"""The way of a request into ACME and out again: envelope, nonce, account, handler, answer.

Every answer to a POST carries a fresh nonce, errors included, whoever made them; every answer but
the directory's links to the directory (RFC 8555 sections 6.5 and 7.1).
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

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
from servers.web.problem import ProblemError
from servers.web.strict_json import JsonObject, JsonRefused, load_object
from store.clock import Millis
from store.database import StorageFailed
from store.records import Account, AccountStatus

log = structlog.get_logger()
PROFILE: Final = web.RequestKey("profile", str)
"""Where a handler leaves the profile of the object that it was asked for."""
_MEDIA_TYPE: Final = "application/jose+json"


@dataclass(frozen=True, slots=True)
class Signed:
    """A request whose signature, URL and nonce were good. `account` is None for a `jwk` that was asked for."""

    request: web.Request
    payload: bytes
    url: str
    key: AccountKey
    account: Account | None
    now: Millis

    @property
    def source(self) -> str:
        """The address that the request came from, as limits and the record know it."""
        return self.request.remote or "unknown"

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


SignedHandler = Callable[[Signed], Awaitable[web.StreamResponse]]


class AcmeFront:
    """What all ACME handlers share."""

    def __init__(self, services: AcmeServices) -> None:
        self.services = services
        self.urls = Urls(services.external_url)
        self.accounts = KnownAccounts(services.database)

    def by_account(self, handler: SignedHandler) -> Handler:
        """A handler for requests signed by a valid account (`kid`)."""

        async def handle(request: web.Request) -> web.StreamResponse:
            parsed = await self._open(request)
            if parsed.kid is None:
                raise AcmeProblem(ProblemType.MALFORMED, "this resource is asked for with kid, not with jwk")
            return await handler(await self._by_kid(request, parsed))

        return handle

    def by_key(self, handler: SignedHandler) -> Handler:
        """A handler for requests that bring their key along (`jwk`)."""

        async def handle(request: web.Request) -> web.StreamResponse:
            parsed = await self._open(request)
            if parsed.jwk is None:
                raise AcmeProblem(ProblemType.MALFORMED, "this resource is asked for with jwk, not with kid")
            return await handler(await self._by_jwk(request, parsed))

        return handle

    def by_either(self, handler: SignedHandler) -> Handler:
        """A handler for requests of both kinds: revokeCert."""

        async def handle(request: web.Request) -> web.StreamResponse:
            parsed = await self._open(request)
            found = self._by_jwk if parsed.kid is None else self._by_kid
            return await handler(await found(request, parsed))

        return handle

    async def _open(self, request: web.Request) -> jws.SignedRequest:
        if request.content_type != _MEDIA_TYPE:
            raise AcmeProblem(
                ProblemType.MALFORMED, f"the Content-Type of a request is {_MEDIA_TYPE}", status=415
            )
        parsed = jws.parse(await request.read())
        # The URL that clients were given, whatever Host says: a proxy may have changed that.
        jws.check_url(parsed, self.urls.requested(request.raw_path))
        return parsed

    async def _by_kid(self, request: web.Request, parsed: jws.SignedRequest) -> Signed:
        assert parsed.kid is not None
        account_id = self.urls.account_of(parsed.kid)
        found = None if account_id is None else await self.accounts.get(account_id)
        if found is None:
            raise NoSuchAccount("there is no account of this URL")
        account, key = found
        now = await self._verify(parsed, key)
        if account.status is not AccountStatus.VALID:
            raise AccountEnded(f"the account is {account.status}")
        return Signed(request, parsed.payload, parsed.url, key, account, now)

    async def _by_jwk(self, request: web.Request, parsed: jws.SignedRequest) -> Signed:
        key = load_public_jwk(parsed.jwk)
        now = await self._verify(parsed, key)
        return Signed(request, parsed.payload, parsed.url, key, None, now)

    async def _verify(self, parsed: jws.SignedRequest, key: AccountKey) -> Millis:
        # Signature first: a stranger must not be able to spend somebody's nonce.
        jws.verify(parsed, key)
        now = self.services.clock()
        await self.services.nonces.spend(parsed.nonce, now)
        return now

    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors become problem documents."""
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - nothing leaves without being a problem document
            problem = self._problem_of(request, error)
            response = web.Response(
                body=problem.problem.to_bytes(),
                status=problem.problem.status,
                headers={**problem.headers, "Content-Type": "application/problem+json"},
            )
        return response

    def profile_of(self, request: web.Request) -> str:
        """The profile that the request's directory is of: named in the path, found by the handler, or the default."""
        named = request.match_info.get("profile")
        return request.get(PROFILE, self.services.default_profile) if named is None else named.lower()

    def decorate(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give an answer, whoever made it, what the client needs for its next request."""
        headers = response.headers
        if (request.method == "POST" or response.status >= 400) and "Replay-Nonce" not in headers:
            headers["Replay-Nonce"] = self.services.nonces.fresh(self.services.clock())
        headers["Cache-Control"] = "no-store"
        if not request.path.endswith("/directory"):
            headers.add("Link", f'<{self.urls.resource(self.profile_of(request), "directory")}>;rel="index"')

    def _problem_of(self, request: web.Request, error: Exception) -> ProblemError:
        match error:
            case ProblemError():
                return error
            case WireRefused():
                return problem_of(error)
            case AcmeRefused() | RateLimited() | ProfileUnreadable() | StorageFailed():
                if isinstance(error, StorageFailed | ProfileUnreadable):
                    log.error("acme.unavailable", path=request.path, error=str(error))
                return problem_of_refusal(error, self.urls.account)
            case web.HTTPException() if error.status >= 400:
                return _of_framework(request, error)
        reference = uuid.uuid4().hex[:12]
        log.error("acme.unforeseen", reference=reference, path=request.path, exc_info=error)
        return server_internal(reference)


def _of_framework(request: web.Request, error: web.HTTPException) -> AcmeProblem:
    """What aiohttp itself refuses: unknown paths, wrong methods, bodies too large."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        words = "this resource is asked for by POST" + (
            ", also to read it" if request.method == "GET" else ""
        )
        headers = {"Allow": ", ".join(sorted(error.allowed_methods))}
        return AcmeProblem(ProblemType.MALFORMED, words, status=405, headers=headers)
    words = "there is no such resource" if error.status == 404 else error.reason
    return AcmeProblem(ProblemType.MALFORMED, words, status=error.status)
