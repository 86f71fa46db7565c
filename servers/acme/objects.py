"""The JSON objects of RFC 8555 section 7.1, from what the tables hold."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from policy.acme.order_view import Ending, OrderStatus, OrderView, identifiers_of, methods_of, named, standing
from policy.validation import Problem as ValidationProblem
from servers.acme.problems import AcmeProblem, ProblemType, Subproblem
from servers.acme.urls import Urls
from servers.web.strict_json import JsonObject, JsonValue
from store.clock import Millis, to_datetime
from store.records import Account, Authorization, AuthorizationStatus

# policy.validation names its problems as RFC 8555 does; a test holds the two lists together.
VALIDATION_PROBLEMS: Final = {problem.value: ProblemType(problem.value) for problem in ValidationProblem}
_ENDINGS: Final = {
    Ending.AUTHORIZATION_FAILED: ProblemType.UNAUTHORIZED,
    Ending.EXPIRED: ProblemType.UNAUTHORIZED,
    Ending.REFUSED: ProblemType.UNAUTHORIZED,
    Ending.FAILED: ProblemType.SERVER_INTERNAL,
}
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_GOOD: Final = (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)


@lru_cache(maxsize=1024)
def timestamp(moment: Millis) -> str:
    """RFC 3339, UTC, whole seconds."""
    return to_datetime(moment).isoformat()[:19] + "Z"


def parse_timestamp(text: str) -> datetime:
    """The aware moment that an RFC 3339 text names; ValueError or OverflowError otherwise."""
    if not _RFC3339.fullmatch(text):  # fromisoformat reads much more than that
        raise ValueError("not an RFC 3339 date-time")
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def account_object(urls: Urls, account: Account, binding: JsonValue = None) -> JsonObject:
    """RFC 8555 section 7.1.2."""
    body: JsonObject = {
        "status": account.status.value,
        "contact": json.loads(account.contacts),
        "orders": urls.orders(account.id),
    }
    if account.terms_agreed:
        body["termsOfServiceAgreed"] = True
    if binding is not None:
        body["externalAccountBinding"] = binding
    return body


def order_object(urls: Urls, seen: OrderView, now: Millis) -> JsonObject:
    """RFC 8555 section 7.1.3. `certificate` stands there exactly when it can be downloaded."""
    order = seen.order
    body: JsonObject = {"status": seen.status}
    if seen.expires_at is not None:
        body["expires"] = timestamp(seen.expires_at)
    body["identifiers"] = [{"type": i.type, "value": i.value} for i in identifiers_of(order)]
    if order.not_before is not None:
        body["notBefore"] = timestamp(order.not_before)
    if order.not_after is not None:
        body["notAfter"] = timestamp(order.not_after)
    if seen.ending is not None:
        body["error"] = order_problem(seen, now)
    body["authorizations"] = [urls.authorization(a.id) for a in seen.authorizations]
    body["finalize"] = urls.finalize(order.id)
    if seen.status is OrderStatus.VALID:
        body["certificate"] = urls.certificate(order.id)
    return body


def order_problem(seen: OrderView, now: Millis) -> JsonObject:
    """Why an order is invalid: never empty, and said for each identifier where that is the reason."""
    assert seen.ending is not None
    failed = [a for a in seen.authorizations if standing(a, now) not in _GOOD]
    subproblems = (
        [_failure(a, standing(a, now)) for a in failed] if seen.ending is Ending.AUTHORIZATION_FAILED else []
    )
    kind = subproblems[0].type if len(subproblems) == 1 else _ENDINGS[seen.ending]
    return AcmeProblem(kind, seen.detail, subproblems=subproblems).problem.document()


def _failure(authorization: Authorization, status: AuthorizationStatus) -> Subproblem:
    identifier = authorization.type, named(authorization)
    if authorization.error is None:
        return Subproblem(ProblemType.UNAUTHORIZED, f"the authorization is {status}", identifier)
    said = json.loads(authorization.error)
    return Subproblem(VALIDATION_PROBLEMS[said["problem"]], said["detail"], identifier)


def authorization_object(urls: Urls, authorization: Authorization, now: Millis) -> JsonObject:
    """RFC 8555 section 7.1.4."""
    status = standing(authorization, now)
    body: JsonObject = {
        "identifier": {"type": authorization.type, "value": authorization.value},
        "status": status,
        "expires": timestamp(authorization.expires_at),
        "challenges": [challenge_object(urls, authorization, m) for m in _shown_methods(authorization)],
    }
    if authorization.wildcard:
        body["wildcard"] = True
    return body


def challenge_object(urls: Urls, authorization: Authorization, method: str) -> JsonObject:
    """RFC 8555 section 8. The status of a challenge is read off its authorization and the attempt."""
    body: JsonObject = {
        "type": method,
        "url": urls.challenge(authorization.id, method),
        "status": _challenge_status(authorization, method),
        "token": authorization.token,
    }
    if body["status"] == "valid" and authorization.validated_at is not None:
        body["validated"] = timestamp(authorization.validated_at)
    if body["status"] == "invalid" and authorization.error is not None:
        said = json.loads(authorization.error)
        body["error"] = AcmeProblem(VALIDATION_PROBLEMS[said["problem"]], said["detail"]).problem.document()
    return body


def _challenge_status(authorization: Authorization, method: str) -> str:
    if authorization.status is AuthorizationStatus.VALID:
        return "valid"
    if authorization.attempt != method:
        return "pending"
    return "invalid" if authorization.status is AuthorizationStatus.INVALID else "processing"


def _shown_methods(authorization: Authorization) -> Sequence[str]:
    """All that are offered; once ended, the one that was tried (RFC 8555 section 7.1.4)."""
    methods = methods_of(authorization)
    if authorization.status is AuthorizationStatus.PENDING and authorization.attempt is None:
        return methods
    if authorization.attempt is not None:
        return (authorization.attempt,)
    # Valid without an attempt: the profile trusts the account. Clients look for one challenge all the same.
    return methods[:1] if authorization.status is AuthorizationStatus.VALID else methods
