"""ACME problem documents (RFC 8555 section 6.7)."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.names import Identifier, IdentifierType
from servers.acme import refusals
from servers.acme.jws import SIGNATURE_ALGORITHMS, parse
from servers.acme.problems import (
    MEANINGS,
    REFUSALS,
    AcmeProblem,
    ProblemType,
    Subproblem,
    problem_of,
    server_internal,
)
from servers.acme.refusals import BadNonce, BadSignatureAlgorithm, WireRefused
from servers.web.problem import MAX_DETAIL
from tests.servers.acme.signing import key, request

# RFC 8555 section 6.7, and RFC 9773 section 7.4.
REGISTERED = {
    *("accountDoesNotExist", "alreadyRevoked", "badCSR", "badNonce", "badPublicKey", "badRevocationReason"),
    *("badSignatureAlgorithm", "caa", "compound", "connection", "dns", "externalAccountRequired"),
    *(
        "incorrectResponse",
        "invalidContact",
        "malformed",
        "orderNotReady",
        "rateLimited",
        "rejectedIdentifier",
    ),
    *("serverInternal", "tls", "unauthorized", "unsupportedContact", "unsupportedIdentifier"),
    *("userActionRequired", "alreadyReplaced"),
}


def document(problem: AcmeProblem) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(problem.problem.to_bytes())
    return value


def family(of: type[WireRefused]) -> set[type[WireRefused]]:
    return set(of.__subclasses__()).union(*(family(below) for below in of.__subclasses__()))


class TestTables:
    def test_the_types_are_the_registered_ones(self) -> None:
        """RFC 8555 section 6.7: a server must not make up types in this namespace."""
        assert {kind.value for kind in ProblemType} == REGISTERED

    def test_every_type_has_a_status_and_words(self) -> None:
        assert set(MEANINGS) == set(ProblemType)
        for meaning in MEANINGS.values():
            assert 400 <= meaning.status <= 599
            assert meaning.words

    def test_every_refusal_has_a_type(self) -> None:
        assert set(REFUSALS) == family(WireRefused)
        assert len(REFUSALS) == len([name for name in vars(refusals) if re.fullmatch(r"[A-Z]\w+", name)]) - 1

    @pytest.mark.parametrize(
        ("kind", "status"),
        [
            (ProblemType.BAD_NONCE, 400),  # section 6.5
            (ProblemType.BAD_SIGNATURE_ALGORITHM, 400),  # section 6.2
            (ProblemType.BAD_PUBLIC_KEY, 400),  # section 6.2
            (ProblemType.ACCOUNT_DOES_NOT_EXIST, 400),  # section 7.3.1
            (ProblemType.ORDER_NOT_READY, 403),  # section 7.4
            (ProblemType.USER_ACTION_REQUIRED, 403),  # section 7.3.3
            (ProblemType.ALREADY_REPLACED, 409),  # RFC 9773 section 5
            (ProblemType.SERVER_INTERNAL, 500),
        ],
    )
    def test_the_statuses_that_the_rfcs_fix(self, kind: ProblemType, status: int) -> None:
        assert AcmeProblem(kind).problem.status == status


class TestDocument:
    @pytest.mark.parametrize("kind", ProblemType)
    def test_every_type_renders(self, kind: ProblemType) -> None:
        meaning = MEANINGS[kind]
        assert document(AcmeProblem(kind)) == {
            "type": f"urn:ietf:params:acme:error:{kind.value}",
            "status": meaning.status,
            "detail": meaning.words,
        }

    def test_its_bytes(self) -> None:
        """acme.sh and others grep: compact, plain slashes, this order, nested members last."""
        problem = AcmeProblem(
            ProblemType.COMPOUND,
            "two names refused",
            instance="https://ca.test/help",
            members={"extra": 1},
            subproblems=[
                Subproblem(
                    ProblemType.REJECTED_IDENTIFIER, "not ours", Identifier(IdentifierType.DNS, "a.example")
                ),
                Subproblem(ProblemType.MALFORMED, identifier=("dns", "_b.example")),
            ],
        )
        assert problem.problem.to_bytes() == (
            b'{"type":"urn:ietf:params:acme:error:compound","status":403,"detail":"two names refused",'
            b'"instance":"https://ca.test/help","extra":1,"subproblems":['
            b'{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"not ours",'
            b'"identifier":{"type":"dns","value":"a.example"}},'
            b'{"type":"urn:ietf:params:acme:error:malformed","detail":"the request is malformed",'
            b'"identifier":{"type":"dns","value":"_b.example"}}]}'
        )

    def test_a_subproblem_may_be_about_no_identifier(self) -> None:
        value = document(
            AcmeProblem(ProblemType.COMPOUND, subproblems=[Subproblem(ProblemType.BAD_CSR, "weak key")])
        )
        assert value["subproblems"] == [{"type": "urn:ietf:params:acme:error:badCSR", "detail": "weak key"}]

    def test_an_identifier_stands_in_subproblems_only(self) -> None:
        """RFC 8555 section 6.7.1."""
        with pytest.raises(ValueError, match="subproblems only"):
            AcmeProblem(ProblemType.MALFORMED, members={"identifier": {}})

    def test_the_handler_may_know_a_better_status(self) -> None:
        """RFC 8555 section 7.3.6 wants 401 for a deactivated account."""
        assert document(AcmeProblem(ProblemType.UNAUTHORIZED, status=401))["status"] == 401

    def test_headers(self) -> None:
        problem = AcmeProblem(
            ProblemType.RATE_LIMITED, retry_after=120, headers={"Link": '<https://ca.test>;rel="help"'}
        )
        assert problem.headers == {"Retry-After": "120", "Link": '<https://ca.test>;rel="help"'}
        assert AcmeProblem(ProblemType.RATE_LIMITED, retry_after=-1).headers == {"Retry-After": "0"}
        assert AcmeProblem(ProblemType.RATE_LIMITED).headers == {}

    @given(st.sampled_from(ProblemType), st.text(), st.text())
    def test_any_words_make_a_document(self, kind: ProblemType, detail: str, name: str) -> None:
        sub = Subproblem(kind, detail, ("dns", name))
        value = document(AcmeProblem(kind, detail, subproblems=[sub]))
        for text in (value["detail"], value["subproblems"][0]["detail"]):
            assert text
            assert text.isprintable()
            assert len(text) <= MAX_DETAIL


class TestRefusals:
    def test_the_message_is_the_detail(self) -> None:
        value = document(problem_of(BadNonce("the nonce was used before")))
        assert value == {
            "type": "urn:ietf:params:acme:error:badNonce",
            "status": 400,
            "detail": "the nonce was used before",
        }

    def test_a_bad_algorithm_lists_the_good_ones(self) -> None:
        """RFC 8555 section 6.2."""
        with pytest.raises(BadSignatureAlgorithm) as caught:
            parse(request(key("ES256"), alg="none"))
        value = document(problem_of(caught.value))
        assert value["type"] == "urn:ietf:params:acme:error:badSignatureAlgorithm"
        assert value["algorithms"] == list(SIGNATURE_ALGORITHMS)

    @pytest.mark.parametrize("alg", ["\x1b[2J", "\u202e", '"}', "\ud83d", "A" * 50_000])
    def test_a_strangers_text_is_escaped_and_short(self, alg: str) -> None:
        with pytest.raises(WireRefused) as caught:
            parse(request(key("ES256"), alg=alg))
        body = problem_of(caught.value).problem.to_bytes()
        assert len(body) < 500
        assert body.isascii()
        assert json.loads(body)["detail"].isprintable()

    def test_the_unforeseen_tells_a_reference_only(self) -> None:
        value = document(server_internal("5f2c"))
        assert value["status"] == 500
        assert value["detail"].endswith("reference 5f2c")
