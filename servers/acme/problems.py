"""The ACME problem types (RFC 8555 section 6.7, RFC 9773 section 7.4) and which refusal becomes which.

An `AcmeProblem` is raised where a handler knows what the client should read. A `WireRefused` is turned into one by
`problem_of`, and an exception that nobody foresaw into `server_internal`, which tells a reference and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from servers.acme.refusals import (
    BadNonce,
    BadPublicKey,
    BadSignature,
    BadSignatureAlgorithm,
    MalformedJws,
    WireRefused,
    WrongUrl,
)
from servers.web.problem import Problem, ProblemError
from servers.web.strict_json import JsonObject, JsonValue

NAMESPACE: Final = "urn:ietf:params:acme:error:"


class ProblemType(StrEnum):
    """The last part of the URN; only what IANA has registered may stand here (RFC 8555 section 6.7)."""

    ACCOUNT_DOES_NOT_EXIST = "accountDoesNotExist"
    ALREADY_REPLACED = "alreadyReplaced"
    ALREADY_REVOKED = "alreadyRevoked"
    BAD_CSR = "badCSR"
    BAD_NONCE = "badNonce"
    BAD_PUBLIC_KEY = "badPublicKey"
    BAD_REVOCATION_REASON = "badRevocationReason"
    BAD_SIGNATURE_ALGORITHM = "badSignatureAlgorithm"
    CAA = "caa"
    COMPOUND = "compound"
    CONNECTION = "connection"
    DNS = "dns"
    EXTERNAL_ACCOUNT_REQUIRED = "externalAccountRequired"
    INCORRECT_RESPONSE = "incorrectResponse"
    INVALID_CONTACT = "invalidContact"
    MALFORMED = "malformed"
    ORDER_NOT_READY = "orderNotReady"
    RATE_LIMITED = "rateLimited"
    REJECTED_IDENTIFIER = "rejectedIdentifier"
    SERVER_INTERNAL = "serverInternal"
    TLS = "tls"
    UNAUTHORIZED = "unauthorized"
    UNSUPPORTED_CONTACT = "unsupportedContact"
    UNSUPPORTED_IDENTIFIER = "unsupportedIdentifier"
    USER_ACTION_REQUIRED = "userActionRequired"

    @property
    def urn(self) -> str:
        """The `type` member of the document."""
        return NAMESPACE + self.value


class _Meaning(NamedTuple):
    status: int  # unless the handler knows better
    words: str  # the detail, unless the handler says more


MEANINGS: Final[Mapping[ProblemType, _Meaning]] = {
    ProblemType.ACCOUNT_DOES_NOT_EXIST: _Meaning(400, "there is no account for this key"),
    ProblemType.ALREADY_REPLACED: _Meaning(409, "an earlier order already replaces this certificate"),
    ProblemType.ALREADY_REVOKED: _Meaning(400, "the certificate is revoked already"),
    ProblemType.BAD_CSR: _Meaning(400, "the certificate request cannot be accepted"),
    ProblemType.BAD_NONCE: _Meaning(
        400, "the nonce cannot be accepted; try again with the one in this answer"
    ),
    ProblemType.BAD_PUBLIC_KEY: _Meaning(400, "the public key cannot be accepted"),
    ProblemType.BAD_REVOCATION_REASON: _Meaning(400, "this revocation reason cannot be given"),
    ProblemType.BAD_SIGNATURE_ALGORITHM: _Meaning(400, "the signature algorithm is not supported"),
    ProblemType.CAA: _Meaning(403, "a CAA record forbids this CA to issue for the name"),
    ProblemType.COMPOUND: _Meaning(403, "several things are wrong; see subproblems"),
    ProblemType.CONNECTION: _Meaning(400, "the server to be validated could not be reached"),
    ProblemType.DNS: _Meaning(400, "a DNS query failed during validation"),
    ProblemType.EXTERNAL_ACCOUNT_REQUIRED: _Meaning(
        403, "a new account needs an externalAccountBinding here"
    ),
    ProblemType.INCORRECT_RESPONSE: _Meaning(403, "the answer to the challenge is not the expected one"),
    ProblemType.INVALID_CONTACT: _Meaning(400, "a contact address is not valid"),
    ProblemType.MALFORMED: _Meaning(400, "the request is malformed"),
    ProblemType.ORDER_NOT_READY: _Meaning(403, "the order is not ready to be finalized"),
    ProblemType.RATE_LIMITED: _Meaning(429, "too many requests of this kind; try again later"),
    ProblemType.REJECTED_IDENTIFIER: _Meaning(403, "this CA does not issue for the identifier"),
    ProblemType.SERVER_INTERNAL: _Meaning(500, "the server failed; this is not the fault of the request"),
    ProblemType.TLS: _Meaning(400, "the TLS connection failed during validation"),
    ProblemType.UNAUTHORIZED: _Meaning(403, "this account may not do that"),
    ProblemType.UNSUPPORTED_CONTACT: _Meaning(400, "only mailto: contacts are supported"),
    ProblemType.UNSUPPORTED_IDENTIFIER: _Meaning(400, "identifiers of this type are not supported"),
    ProblemType.USER_ACTION_REQUIRED: _Meaning(403, "a person has to act first; see instance"),
}


@dataclass(frozen=True, slots=True)
class Subproblem:
    """One of several errors, with the identifier that it is about (RFC 8555 section 6.7.1)."""

    type: ProblemType
    detail: str = ""
    identifier: tuple[str, str] | None = None  # (type, value), as in ca.names.Identifier

    def document(self) -> JsonObject:
        """The JSON object inside `subproblems`; it has no status of its own."""
        meaning = MEANINGS[self.type]
        document = Problem(meaning.status, self.detail or meaning.words, self.type.urn).document()
        del document["status"]
        if self.identifier is not None:
            kind, value = self.identifier
            document["identifier"] = {"type": kind, "value": value}
        return document


class AcmeProblem(ProblemError):
    """An error with an ACME type; status and detail come from MEANINGS unless given."""

    def __init__(
        self,
        type: ProblemType,  # noqa: A002 - the name of the member in RFC 9457
        detail: str = "",
        *,
        status: int | None = None,
        subproblems: Sequence[Subproblem] = (),
        instance: str | None = None,
        members: Mapping[str, JsonValue] | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`members` are extension members; `retry_after` is in seconds; `headers` are further response headers."""
        meaning = MEANINGS[type]
        extra = dict(members or {})
        if "identifier" in extra:
            raise ValueError("identifier stands in subproblems only (RFC 8555 section 6.7.1)")
        if subproblems:
            extra["subproblems"] = [subproblem.document() for subproblem in subproblems]
        problem = Problem(
            status or meaning.status, detail or meaning.words, type.urn, instance=instance, members=extra
        )
        retry = {} if retry_after is None else {"Retry-After": str(max(0, retry_after))}
        super().__init__(problem, retry | dict(headers or {}))
        self.type = type


REFUSALS: Final[Mapping[type[WireRefused], ProblemType]] = {
    MalformedJws: ProblemType.MALFORMED,
    BadSignatureAlgorithm: ProblemType.BAD_SIGNATURE_ALGORITHM,
    BadPublicKey: ProblemType.BAD_PUBLIC_KEY,
    BadSignature: ProblemType.UNAUTHORIZED,
    WrongUrl: ProblemType.UNAUTHORIZED,  # section 6.4 demands this one
    BadNonce: ProblemType.BAD_NONCE,
}


def problem_of(refusal: WireRefused) -> AcmeProblem:
    """Return the answer to a refused request; every kind of refusal has one."""
    members: dict[str, JsonValue] = {}
    if isinstance(refusal, BadSignatureAlgorithm):
        members["algorithms"] = list(refusal.algorithms)  # section 6.2
    return AcmeProblem(REFUSALS[type(refusal)], str(refusal), members=members)


def server_internal(reference: str) -> AcmeProblem:
    """Return the answer to an unforeseen exception; `reference` is what the log has it under."""
    words = MEANINGS[ProblemType.SERVER_INTERNAL].words
    return AcmeProblem(ProblemType.SERVER_INTERNAL, f"{words}; reference {reference}")
