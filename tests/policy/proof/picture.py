"""The database as an auditor sees it: raw rows, read with plain SQL, without a line of the code under proof."""

import json
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A question, and who said what to it: (principal, verdict) pairs."""

    id: str
    digest: str
    kind: str
    profile: str
    profile_version: int
    required: int
    status: str
    expires_at: int
    reuse_window: int
    ended_at: int | None
    words: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job with what its request asks and how far it has come: `tbs` of its intent, `issued` if it has a certificate."""

    id: str
    kind: str
    status: str
    gated: bool
    approval: str | None
    held: bool
    fence: int
    attempts: int
    lease_until: int | None
    run_after: int
    requester: str
    identifiers: str
    profile: str
    profile_version: int
    digest: str
    approval_digest: str
    body: bytes
    tbs: str | None
    serial: str | None
    issued: bool


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A certificate and what it claims to stand on."""

    issuer: str
    serial: str
    job: str
    approval: str | None
    profile: str
    profile_version: int
    fence: int
    tbs: str
    der: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything the invariants are about; rows in the order in which they were made."""

    approvals: dict[str, ApprovalRow]
    jobs: dict[str, JobRow]
    certificates: frozenset[CertificateRow]
    versions: dict[tuple[str, int], str]
    in_force: dict[str, int | None]

    def approvers(self, profile: str, version: int) -> int:
        """How many persons that version asks, as its own text says; 0 when it asks nobody."""
        return _approvers(self.versions[profile, version])


@lru_cache
def _approvers(text: str) -> int:
    definition = json.loads(text)
    return int(definition["approval"]["approvers"]) if definition["requires_approval"] else 0


def look(connection: sqlite3.Connection) -> Picture:
    """Read it all."""
    words: dict[str, set[tuple[str, str]]] = {}
    for approval, who, verdict in _rows(
        connection, "SELECT approval_id, principal_id, verdict FROM approval_decisions"
    ):
        words.setdefault(approval, set()).add((who, verdict))
    approvals = [
        ApprovalRow(*[*row, frozenset(words.get(row[0], ()))])
        for row in _rows(
            connection,
            "SELECT id, digest, kind, profile, profile_version, required, status, expires_at, reuse_window,"
            " ended_at FROM approvals ORDER BY id",
        )
    ]
    jobs = [
        JobRow(*[*row[:3], bool(row[3]), row[4], bool(row[5]), *row[6:-1], bool(row[-1])])
        for row in _rows(
            connection,
            "SELECT j.id, j.kind, j.status, j.gated, j.approval_id, j.held, j.fence, j.attempts, j.lease_until,"
            " j.run_after, r.principal_id, r.identifiers, r.profile, r.profile_version, r.digest,"
            " r.approval_digest, r.body, i.tbs_sha256, i.serial, c.serial IS NOT NULL"
            " FROM jobs j JOIN requests r ON r.id = j.request_id LEFT JOIN intents i ON i.job_id = j.id"
            " LEFT JOIN certificates c ON c.job_id = j.id ORDER BY j.id",
        )
    ]
    certificates = _rows(
        connection,
        "SELECT issuer, serial, job_id, approval_id, profile, profile_version, fence, tbs_sha256, der"
        " FROM certificates",
    )
    return Picture(
        {row.id: row for row in approvals},
        {row.id: row for row in jobs},
        frozenset(CertificateRow(*row) for row in certificates),
        {
            (name, version): definition
            for name, version, definition in _rows(
                connection, "SELECT name, version, definition FROM profile_versions"
            )
        },
        {
            name: None if deleted else version
            for name, version, deleted in _rows(
                connection, "SELECT name, version, deleted_at IS NOT NULL FROM profiles"
            )
        },
    )


def _rows(connection: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()
