"""A small world for tests: a real database, a real issuing CA, people, the gate and a worker; time by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ca import hierarchy
from ca.certificate import Issuer
from ca.csr import parse_csr
from ca.keys import KeyAlgorithm
from ca.keys.file import generate
from ca.names import parse_identifier
from ca.signer import Signer
from policy import profile_changes
from policy.decisions import Decided, decide
from policy.enrollment import Enrollment, Gate, Refusal, Requester, Submitted
from policy.profile_cache import ProfileCache
from policy.profiles import DEFAULT, GATED, Profile
from policy.worker import Worker
from store import approvals, certificates, issuers, jobs, principals
from store.clock import Millis, after, to_millis
from store.database import Database, Transaction
from store.ids import ApprovalId, IssuerName, JobId, PrincipalId, ProfileName, new_id
from store.jobs import ClaimedJob
from store.open import open_database
from store.records import (
    Approval,
    Certificate,
    IssuerRecord,
    Job,
    Principal,
    PrincipalKind,
    Verdict,
)

T = TypeVar("T")
START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def make_csr(*names: str, key: Any = None, common_name: str | None = None) -> bytes:
    """A DER certification request for DNS names, signed by `key` (a new P-256 key if None)."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(subject))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def make_issuer(
    name: str = "issuing", algorithm: KeyAlgorithm = KeyAlgorithm.P256, bits: int | None = None
) -> tuple[Issuer, Any]:
    """A two-tier hierarchy and the key of its issuing CA."""
    root_key, key = generate(KeyAlgorithm.P256), generate(algorithm, bits)
    begin, end = START - timedelta(days=1), START + timedelta(days=3650)
    root = hierarchy.create_root(root_key, subject=_name("Test Root"), not_before=begin, not_after=end)
    certificate = hierarchy.create_issuing(
        root,
        root_key,
        public_key=key.public_key,
        subject=_name("Test Issuing"),
        not_before=begin,
        not_after=end,
    )
    return Issuer(name=name, certificate=certificate, chain=(certificate,)), key


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass
class World:
    """Everything below the front ends. `now` moves only when a test moves it."""

    database: Database
    issuer: Issuer
    key: Any
    cache: ProfileCache = field(default_factory=ProfileCache)
    now: Millis = field(default_factory=lambda: to_millis(START))
    people: dict[str, Principal] = field(default_factory=dict)

    @property
    def gate(self) -> Gate:
        return Gate(self.cache)

    @property
    def worker(self) -> Worker:
        signer = Signer(self.issuer, self.key, ClaimedJob)
        return Worker(self.database, {IssuerName("issuing"): signer}, self.cache, "w1", lambda: self.now)

    def pass_time(self, **span: float) -> None:
        """Move the clock by a timedelta's arguments."""
        self.now = after(self.now, timedelta(**span))

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self.database.write(work)

    async def person(self, name: str, *roles: str, kind: PrincipalKind = PrincipalKind.PERSON) -> Principal:
        """A new principal with roles."""
        principal = Principal(PrincipalId(new_id(self.now)), name, kind, self.now, None, None)
        await self.write(lambda tx: principals.insert(tx, principal, roles))
        self.people[name] = principal
        return principal

    async def put_profile(self, profile: Profile, by: str = "admin") -> profile_changes.Outcome:
        """Propose `profile`."""
        return await self.write(
            lambda tx: profile_changes.propose(
                tx, ProfileName(profile.name), profile, self.people[by].id, self.now, self.cache
            )
        )

    async def ask(
        self, *names: str, profile: str = "gated", by: str = "machine", csr: bytes | None = None
    ) -> Submitted | Refusal:
        """Submit a request for DNS names on behalf of `by`."""
        identifiers = frozenset(parse_identifier("dns", name) for name in names)
        enrollment = Enrollment(ProfileName(profile), parse_csr(csr or make_csr(*names)), identifiers)
        requester = Requester(self.people[by].id, "test", account=by)
        return await self.write(lambda tx: self.gate.submit(tx, requester, enrollment, self.now))

    async def decide(self, approval: ApprovalId, by: str, verdict: Verdict, note: str = "") -> Decided:
        """`by` decides."""
        return await self.write(
            lambda tx: decide(tx, approval, self.people[by], verdict, note, self.now, self.cache)
        )

    async def job(self, job_id: JobId) -> Job:
        found = await self.database.read(lambda tx: jobs.get(tx, job_id))
        assert found is not None
        return found

    async def approval(self, approval_id: ApprovalId) -> Approval:
        found = await self.database.read(lambda tx: approvals.get(tx, approval_id))
        assert found is not None
        return found

    async def certificate(self, job_id: JobId) -> Certificate | None:
        return await self.database.read(lambda tx: certificates.of_job(tx, job_id))


@asynccontextmanager
async def make_world(url: str) -> AsyncIterator[World]:
    """A world in the database at `url`, with profiles `default` and `gated` and four principals.

    admin is an operator and nothing else; alice and bob are approvers; machine is what asks.
    """
    database = await open_database(url)
    issuer, key = make_issuer()
    world = World(database, issuer, key)
    try:
        record = IssuerRecord(
            IssuerName("issuing"),
            issuer.certificate.public_bytes(serialization.Encoding.DER),
            issuer.chain_pem.decode(),
            "issuing.key",
            world.now,
        )
        await world.write(lambda tx: issuers.insert(tx, record))
        await world.person("admin", "admin")
        await world.person("alice", "approver")
        await world.person("bob", "approver")
        await world.person("machine", kind=PrincipalKind.MACHINE)
        await world.put_profile(DEFAULT)
        await world.put_profile(GATED)
        yield world
    finally:
        await database.close()


def sqlite_url(folder: Path) -> str:
    """The URL of a database file in `folder`."""
    return f"sqlite:///{folder / 'certctl.db'}"
