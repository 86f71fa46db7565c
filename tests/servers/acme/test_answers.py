"""Every way in which policy turns something down has a problem document (RFC 8555 section 6.7)."""

import json
from inspect import isclass

import pytest

from ca.names import Identifier, IdentifierType
from policy.acme import order_view, refusals
from policy.acme.order_view import Ending
from policy.acme.refusals import AcmeRefused, IdentifiersRefused, KeyTaken, RequestRefused
from policy.profile_cache import ProfileUnreadable
from policy.rate_limits import RateLimited
from policy.reasons import Reason, ReasonCode
from policy.validation import Problem as ValidationProblem
from servers.acme import objects
from servers.acme.answers import answer, problem_of_refusal
from servers.acme.objects import VALIDATION_PROBLEMS, parse_timestamp
from servers.acme.problems import AcmeProblem, ProblemType
from store.database import StorageFailed

NAME = Identifier(IdentifierType.DNS, "a.test")
# What RFC 8555 says of each: the type and the status.
EXPECTED: dict[str, tuple[str, int]] = {
    "AcmeRefused": ("", 0),  # the family itself
    "NotFound": ("malformed", 404),
    "NotAllowed": ("unauthorized", 403),
    "NoSuchAccount": ("accountDoesNotExist", 400),  # section 7.3.1
    "AccountEnded": ("unauthorized", 401),  # section 7.3.6
    "KeyTaken": ("malformed", 409),  # section 7.3.5
    "KeyNotFresh": ("badPublicKey", 400),  # section 11.1
    "ContactRefused": ("invalidContact", 400),  # section 7.3
    "ContactUnsupported": ("unsupportedContact", 400),  # section 7.3
    "ExternalAccountRequired": ("externalAccountRequired", 403),  # section 7.3.4
    "ExternalAccountRefused": ("unauthorized", 403),  # section 7.3.4
    "IdentifiersRefused": ("rejectedIdentifier", 403),  # section 7.4
    "AuthorizationEnded": ("malformed", 400),
    "OrderNotReady": ("orderNotReady", 403),  # section 7.4
    "RequestRefused": ("badCSR", 400),  # section 7.4
}


def family() -> dict[str, type[AcmeRefused]]:
    return {
        name: kind for name, kind in vars(refusals).items() if isclass(kind) and issubclass(kind, AcmeRefused)
    }


def made(kind: type[AcmeRefused]) -> AcmeRefused:
    if kind is KeyTaken:
        return KeyTaken("7")
    if issubclass(kind, IdentifiersRefused | RequestRefused):
        return kind((Reason(ReasonCode.NAME_NOT_ALLOWED, "not a.test", NAME),))
    return kind("words for the user")


def problem(error: AcmeRefused | RateLimited | ProfileUnreadable | StorageFailed) -> AcmeProblem:
    return problem_of_refusal(error, lambda account: f"https://ca.test/acct/{account}")


def test_every_refusal_has_its_problem() -> None:
    assert set(family()) == set(EXPECTED)
    for name, kind in family().items():
        if kind is AcmeRefused:
            continue
        found = problem(made(kind))
        assert (found.type.value, found.problem.status) == EXPECTED[name], name
        assert found.problem.detail


def test_a_taken_key_says_whose_it_is() -> None:
    assert problem(KeyTaken("7")).headers["Location"] == "https://ca.test/acct/7"


@pytest.mark.parametrize("code", ReasonCode)
def test_every_reason_has_its_problem_at_new_order_and_at_finalize(code: ReasonCode) -> None:
    reason = Reason(code, "it is so", NAME)
    at_finalize = problem(RequestRefused((reason,)))
    assert (at_finalize.type, at_finalize.problem.status) == (ProblemType.BAD_CSR, 400)
    at_order = problem(IdentifiersRefused((reason,)))
    about_names = code in (ReasonCode.NAME_NOT_ALLOWED, ReasonCode.NAME_NOT_PROVABLE)
    expected = (ProblemType.REJECTED_IDENTIFIER, 403) if about_names else (ProblemType.MALFORMED, 400)
    assert (at_order.type, at_order.problem.status) == expected
    for found in (at_finalize, at_order):
        document = json.loads(found.problem.to_bytes())
        assert document["detail"] == "it is so"
        (subproblem,) = document["subproblems"]
        assert subproblem["identifier"] == {"type": "dns", "value": "a.test"}


def test_reasons_of_several_kinds_are_a_compound() -> None:
    reasons = (
        Reason(ReasonCode.NAME_NOT_ALLOWED, "one", NAME),
        Reason(ReasonCode.VALIDITY_NOT_ALLOWED, "two"),
    )
    found = problem(IdentifiersRefused(reasons))
    assert found.type is ProblemType.COMPOUND
    assert found.problem.detail == "one; two"
    assert len(json.loads(found.problem.to_bytes())["subproblems"]) == 1


def test_without_an_identifier_there_is_no_subproblem() -> None:
    found = problem(RequestRefused((Reason(ReasonCode.KEY_WEAK, "it is weak"),)))
    assert "subproblems" not in found.problem.document()


@pytest.mark.parametrize(
    ("error", "kind", "status", "retry"),
    [
        (RateLimited("orders", 17), ProblemType.RATE_LIMITED, 429, "17"),
        (ProfileUnreadable("secret"), ProblemType.SERVER_INTERNAL, 503, None),
        (StorageFailed("secret"), ProblemType.SERVER_INTERNAL, 503, "5"),
    ],
)
def test_what_is_wrong_here_says_when_to_come_back_and_nothing_else(
    error: RateLimited | ProfileUnreadable | StorageFailed,
    kind: ProblemType,
    status: int,
    retry: str | None,
) -> None:
    found = problem(error)
    assert (found.type, found.problem.status, found.headers.get("Retry-After")) == (kind, status, retry)
    assert "secret" not in found.problem.detail


def test_every_failed_validation_has_its_problem() -> None:
    assert set(VALIDATION_PROBLEMS) == {one.value for one in ValidationProblem}
    assert {one.value for one in VALIDATION_PROBLEMS.values()} == set(VALIDATION_PROBLEMS)


def test_every_ending_of_an_order_has_its_problem() -> None:
    assert set(objects._ENDINGS) == set(Ending)
    assert Ending is order_view.Ending


def test_an_answer_leaves_out_what_is_none() -> None:
    found = answer({"a": "/"}, 201, location="https://ca.test/", retry_after=None)
    assert found.status == 201
    assert found.body == b'{"a":"/"}'
    assert found.headers == [("Content-Type", "application/json"), ("Location", "https://ca.test/")]
    assert answer({}, retry_after="3").headers[-1] == ("Retry-After", "3")


@pytest.mark.parametrize("text", ["2026-11-25T12:00:00", "2026-11-25", "", "٢٠٢٦-11-25T12:00:00Z"])
def test_a_date_is_one_of_rfc_3339(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_timestamp(text)
