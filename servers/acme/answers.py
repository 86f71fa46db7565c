"""Turning refusals of policy into ACME problems, and results into responses."""

from collections.abc import Callable, Mapping
from typing import Final

from policy.acme import refusals
from policy.acme.refusals import AcmeRefused
from policy.profile_cache import ProfileUnreadable
from policy.rate_limits import RateLimited
from policy.reasons import Reason, ReasonCode
from servers.acme.problems import AcmeProblem, ProblemType, Subproblem
from servers.web.answer import Answer
from servers.web.problem import render
from servers.web.strict_json import JsonValue
from store.database import StorageFailed

_SIMPLE: Final[Mapping[type[AcmeRefused], tuple[ProblemType, int | None]]] = {
    refusals.NotFound: (ProblemType.MALFORMED, 404),
    refusals.NotAllowed: (ProblemType.UNAUTHORIZED, None),
    refusals.NoSuchAccount: (ProblemType.ACCOUNT_DOES_NOT_EXIST, None),
    refusals.AccountEnded: (ProblemType.UNAUTHORIZED, 401),
    refusals.KeyTaken: (ProblemType.MALFORMED, 409),
    refusals.KeyNotFresh: (ProblemType.BAD_PUBLIC_KEY, None),
    refusals.ContactRefused: (ProblemType.INVALID_CONTACT, None),
    refusals.ContactUnsupported: (ProblemType.UNSUPPORTED_CONTACT, None),
    refusals.ExternalAccountRequired: (ProblemType.EXTERNAL_ACCOUNT_REQUIRED, None),
    refusals.ExternalAccountRefused: (ProblemType.UNAUTHORIZED, None),
    refusals.AuthorizationEnded: (ProblemType.MALFORMED, None),
    refusals.OrderNotReady: (ProblemType.ORDER_NOT_READY, None),
}
_OF_IDENTIFIERS: Final = ProblemType.REJECTED_IDENTIFIER
_STORAGE_RETRY: Final = 5


def problem_of_refusal(
    error: AcmeRefused | RateLimited | ProfileUnreadable | StorageFailed, account_url: Callable[[str], str]
) -> AcmeProblem:
    """The problem document for what policy raised; every refusal has one (a test walks them)."""
    if isinstance(error, RateLimited):
        return AcmeProblem(ProblemType.RATE_LIMITED, str(error), retry_after=error.retry_after)
    if isinstance(error, ProfileUnreadable):
        return AcmeProblem(
            ProblemType.SERVER_INTERNAL, "the profile cannot be used now: ask the operator", status=503
        )
    if isinstance(error, StorageFailed):
        words = "the server cannot store anything now; nothing of the request was kept"
        return AcmeProblem(ProblemType.SERVER_INTERNAL, words, status=503, retry_after=_STORAGE_RETRY)
    if isinstance(error, refusals.IdentifiersRefused):
        return _of_reasons(error.reasons, ProblemType.MALFORMED)
    if isinstance(error, refusals.RequestRefused):
        return _of_reasons(error.reasons, ProblemType.BAD_CSR)
    kind, status = _SIMPLE[type(error)]
    headers = {"Location": account_url(error.account_id)} if isinstance(error, refusals.KeyTaken) else {}
    return AcmeProblem(kind, str(error), status=status, headers=headers)


def _of_reasons(reasons: tuple[Reason, ...], otherwise: ProblemType) -> AcmeProblem:
    """One problem for all reasons: at newOrder the names are rejected, at finalize the CSR is bad."""
    about_names = {ReasonCode.NAME_NOT_ALLOWED, ReasonCode.NAME_NOT_PROVABLE}
    kinds = [
        _OF_IDENTIFIERS if otherwise is ProblemType.MALFORMED and reason.code in about_names else otherwise
        for reason in reasons
    ]
    subproblems = [
        Subproblem(kind, reason.words, (reason.identifier.type.value, reason.identifier.value))
        for kind, reason in zip(kinds, reasons, strict=True)
        if reason.identifier is not None
    ]
    kind = kinds[0] if len(set(kinds)) == 1 else ProblemType.COMPOUND
    detail = "; ".join(reason.words for reason in reasons)
    return AcmeProblem(kind, detail, subproblems=subproblems if len(reasons) > 1 or subproblems else ())


def answer(
    body: JsonValue, status: int = 200, *, location: str | None = None, retry_after: str | None = None
) -> Answer:
    """A JSON answer."""
    headers = [("Content-Type", "application/json")]
    if location is not None:
        headers.append(("Location", location))
    if retry_after is not None:
        headers.append(("Retry-After", retry_after))
    return Answer(render(body), status, headers)
