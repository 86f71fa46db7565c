"""What the tables hold, as frozen values. Field names are column names; times are `Millis`."""

from dataclasses import dataclass
from enum import StrEnum

from store.clock import Millis
from store.ids import (
    AccountId,
    ApprovalId,
    AuthorizationId,
    CredentialId,
    IssuerName,
    JobId,
    OrderId,
    PrincipalId,
    ProfileName,
    RequestId,
)


class PrincipalKind(StrEnum):
    """A person may decide; a machine never does."""

    PERSON = "person"
    MACHINE = "machine"


class JobKind(StrEnum):
    """What a completed job has brought about."""

    ISSUE = "issue"
    CHANGE_PROFILE = "change_profile"


class JobStatus(StrEnum):
    """The states of a job; the moves between them are `policy.jobs.MOVES`."""

    AWAITING_APPROVAL = "awaiting_approval"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ApprovalStatus(StrEnum):
    """The states of an approval; the moves between them are `policy.approvals.MOVES`."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


class Verdict(StrEnum):
    """What one principal said of one approval."""

    APPROVE = "approve"
    REJECT = "reject"


class AccountStatus(StrEnum):
    """RFC 8555 section 7.1.6, account objects."""

    VALID = "valid"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"


class AuthorizationStatus(StrEnum):
    """RFC 8555 section 7.1.6; `expired` is read off the clock, never stored."""

    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody or something that can be held to account."""

    id: PrincipalId
    name: str
    kind: PrincipalKind
    created_at: Millis
    created_by: PrincipalId | None
    disabled_at: Millis | None


@dataclass(frozen=True, slots=True)
class Credential:
    """An API token of a principal: only its SHA-256 is kept, and the first characters for people."""

    id: CredentialId
    principal_id: PrincipalId
    prefix: str
    created_at: Millis
    created_by: PrincipalId | None
    expires_at: Millis | None
    revoked_at: Millis | None


@dataclass(frozen=True, slots=True)
class IssuerRecord:
    """An issuing CA: its certificate and the chain that leads to, and includes, the root (PEM)."""

    name: IssuerName
    certificate: bytes
    chain: str
    key_file: str
    created_at: Millis


@dataclass(frozen=True, slots=True)
class ProfileVersion:
    """One immutable version of a profile. `definition` is canonical JSON, `digest` its SHA-256 in hex."""

    name: ProfileName
    version: int
    definition: str
    digest: str
    requires_approval: bool
    approvers: int
    created_at: Millis
    created_by: PrincipalId | None


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, pinned: signing rebuilds the certificate from this row and nothing else.

    `body` is the DER certification request of an `issue`, the canonical JSON of a `change_profile`.
    `identifiers` is a JSON list of [type, value]. `digest` covers all that was asked (of a `change_profile`:
    the definition proposed, nothing for a deletion); `approval_digest` covers what an approval is bound to
    (the key left out where the profile says names).
    """

    id: RequestId
    kind: JobKind
    protocol: str
    principal_id: PrincipalId
    account_id: str | None
    profile: ProfileName
    profile_version: int
    body: bytes
    identifiers: str
    not_before: Millis | None
    not_after: Millis | None
    digest: str
    approval_digest: str
    source: str | None
    created_at: Millis


@dataclass(frozen=True, slots=True)
class Job:
    """One request on its way. `held` jobs are approved and wait for their requester to come back."""

    id: JobId
    kind: JobKind
    request_id: RequestId
    status: JobStatus
    gated: bool
    approval_id: ApprovalId | None
    held: bool
    fence: int
    worker: str | None
    lease_until: Millis | None
    attempts: int
    run_after: Millis
    error: str | None
    created_at: Millis
    updated_at: Millis


@dataclass(frozen=True, slots=True)
class Approval:
    """A question put to people, bound by digest to what was asked.

    Once given it may be used for `reuse_window` milliseconds, once.
    """

    id: ApprovalId
    digest: str
    kind: JobKind
    profile: ProfileName
    profile_version: int
    required: int
    role: str
    status: ApprovalStatus
    requested_at: Millis
    expires_at: Millis
    reuse_window: int
    ended_at: Millis | None


@dataclass(frozen=True, slots=True)
class Decision:
    """One principal's word on one approval. There is no second one."""

    approval_id: ApprovalId
    principal_id: PrincipalId
    verdict: Verdict
    note: str
    decided_at: Millis


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be signed, recorded before the key is used. `serial` in lower-case hex."""

    job_id: JobId
    issuer: IssuerName
    serial: str
    tbs_sha256: str
    not_before: Millis
    not_after: Millis
    recorded_at: Millis


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was issued. `serial` in lower-case hex; `chain` is the issuer's."""

    issuer: IssuerName
    serial: str
    job_id: JobId
    request_id: RequestId
    approval_id: ApprovalId | None
    profile: ProfileName
    profile_version: int
    principal_id: PrincipalId
    account_id: str | None
    fence: int
    der: bytes
    tbs_sha256: str
    sha256: str
    spki_sha256: str
    subject: str
    not_before: Millis
    not_after: Millis
    issued_at: Millis
    revoked_at: Millis | None
    revocation_reason: int | None
    revoked_by: PrincipalId | None


@dataclass(frozen=True, slots=True)
class Account:
    """An ACME account (RFC 8555 section 7.1.2). `contacts` is a JSON list; `jwk` canonical JSON."""

    id: AccountId
    principal_id: PrincipalId
    thumbprint: str
    jwk: str
    status: AccountStatus
    contacts: str
    terms_agreed: bool
    eab_kid: str | None
    created_at: Millis
    updated_at: Millis


@dataclass(frozen=True, slots=True)
class Order:
    """An ACME order as far as it cannot be derived: its status is read off authorizations and job."""

    id: OrderId
    account_id: AccountId
    profile: ProfileName
    profile_version: int
    identifiers: str
    not_before: Millis | None
    not_after: Millis | None
    expires_at: Millis
    job_id: JobId | None
    created_at: Millis


@dataclass(frozen=True, slots=True)
class Authorization:
    """An ACME authorization with its challenges: one token, one attempt, the method that was chosen."""

    id: AuthorizationId
    account_id: AccountId
    profile: ProfileName
    profile_version: int
    type: str
    value: str
    wildcard: bool
    status: AuthorizationStatus
    expires_at: Millis
    token: str
    methods: str
    attempt: str | None
    attempted_at: Millis | None
    validated_at: Millis | None
    error: str | None
    created_at: Millis


@dataclass(frozen=True, slots=True)
class ExternalAccountKey:
    """A key that binds an ACME account to a person's word (RFC 8555 section 7.3.4). The key is sealed."""

    kid: str
    name: str
    sealed_key: bytes
    reusable: bool
    profile: ProfileName | None
    name_patterns: str
    created_by: PrincipalId
    created_at: Millis
    expires_at: Millis | None
    revoked_at: Millis | None
    used_at: Millis | None

    def __repr__(self) -> str:
        """Without the key, sealed though it is."""
        return f"ExternalAccountKey(kid={self.kid!r}, name={self.name!r})"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the append-only record; `hash` covers the row and its predecessor in its chain."""

    chain: str
    seq: int
    at: Millis
    actor: str
    action: str
    subject: str
    detail: str
    prev_hash: str
    hash: str
