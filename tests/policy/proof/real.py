"""The real thing on a database file, driven step by step from plain functions; it can be restarted."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca.certificate import Issuer
from ca.csr import CertificateRequest, parse_csr
from ca.signer import Signer
from policy import profile_changes, scheduler
from policy.decisions import decide
from policy.enrollment import Enrollment, Gate, Refusal, Requester, Submitted, collect, withdraw
from policy.profile_cache import ProfileCache
from policy.profile_gates import ApprovalCovers, ApprovalRules
from policy.profiles import DEFAULT, Profile
from policy.worker import Prepared, Signed, Worker
from store import issuers, principals
from store.clock import Millis, to_millis
from store.database import Database, Transaction
from store.ids import ApprovalId, IssuerName, JobId, PrincipalId, ProfileName, new_id
from store.jobs import ClaimedJob
from store.open import open_database
from store.records import IssuerRecord, Principal, PrincipalKind, Verdict
from tests.common.recording_key import RecordingKey
from tests.common.world import START, make_csr, make_issuer, sqlite_url
from tests.policy.proof.invariants import Ledger, Violation, check_signing
from tests.policy.proof.model import Terms
from tests.policy.proof.picture import Picture, look

T = TypeVar("T")


class Real:
    """A database in a folder of its own, and one process that works on it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        shutil.copy(_template(), Path(self._folder.name) / "certctl.db")
        self._runner = asyncio.Runner()
        self._database: Database
        self._eye = sqlite3.connect(Path(self._folder.name) / "certctl.db", isolation_level=None)
        issuer, key = authority()
        self._signer = Signer(issuer, RecordingKey(key, self._heard), ClaimedJob)
        self.now = to_millis(START)
        self.people: dict[str, Principal] = {}
        self.ledger = Ledger()
        self.broken_promise: Violation | None = None
        self._start()
        der = issuer.certificate.public_bytes(Encoding.DER)
        record = IssuerRecord(IssuerName("issuing"), der, issuer.chain_pem.decode(), "key", self.now)
        self._write(lambda tx: issuers.insert(tx, record))

    def _start(self) -> None:
        self._database = self.run(open_database(sqlite_url(Path(self._folder.name)), upgrade=False))
        self.cache = ProfileCache()
        self._gate = Gate(self.cache)
        signers = {IssuerName("issuing"): self._signer}
        self._worker = Worker(self._database, signers, self.cache, "w", lambda: self.now)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def _write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return self.run(self._database.write(work))

    def restart(self) -> None:
        """End the process and start another one."""
        self.run(self._database.close())
        self._start()

    def close(self) -> None:
        self.run(self._database.close())
        self._runner.close()
        self._eye.close()
        self._folder.cleanup()

    def picture(self) -> Picture:
        """What is committed, through another connection."""
        return look(self._eye)

    def _heard(self, tbs: bytes) -> None:
        try:
            job = check_signing(self.picture(), self.ledger, tbs)
        except Violation as violation:
            self.broken_promise = violation
            return
        self.remember(signed=self.ledger.signed | {(sha256(tbs).hexdigest(), job)})

    def remember(self, **changes: Any) -> None:
        self.ledger = replace(self.ledger, **changes)

    # People and profiles

    def person(self, name: str, circles: frozenset[str], *, machine: bool) -> None:
        kind = PrincipalKind.MACHINE if machine else PrincipalKind.PERSON
        principal = Principal(PrincipalId(new_id(self.now)), name, kind, self.now, None, None)
        self._write(lambda tx: principals.insert(tx, principal, tuple(circles)))
        self.people[name] = principal

    def grant(self, name: str, circle: str) -> None:
        self._write(lambda tx: principals.grant(tx, self.people[name].id, circle))

    def take(self, name: str, circle: str) -> None:
        self._write(lambda tx: principals.withdraw(tx, self.people[name].id, circle))

    def disable(self, name: str) -> None:
        self._write(lambda tx: principals.disable(tx, self.people[name].id, self.now))

    def propose(self, name: str, terms: Terms | None, by: str) -> profile_changes.Outcome:
        to = None if terms is None else definition(name, terms)
        who = self.people[by].id
        return self._write(
            lambda tx: profile_changes.propose(tx, ProfileName(name), to, who, self.now, self.cache)
        )

    # Requests and decisions

    def submit(
        self, profile: str, name: str, key: int, by: str, line: frozenset[str], *, close_by: bool
    ) -> Submitted | Refusal:
        csr = request(name, key)
        requester = Requester(
            self.people[by].id, "test", frozenset(self.people[who].id for who in line), account=by
        )
        enrollment = Enrollment(ProfileName(profile), csr, csr.identifiers)
        hand = self._worker if close_by else None
        return self._write(lambda tx: self._gate.submit(tx, requester, enrollment, self.now, hand))

    def decide(self, question: str, who: str, verdict: Verdict) -> None:
        """As the principal was when it was made: what changed since is for the code to notice."""
        person = self.people[who]
        self._write(lambda tx: decide(tx, ApprovalId(question), person, verdict, "", self.now, self.cache))

    def collect(self, job: str) -> None:
        self._write(lambda tx: collect(tx, JobId(job), self.now))

    def withdraw(self, job: str, by: str) -> bool:
        who = self.people[by].id
        return self._write(lambda tx: withdraw(tx, JobId(job), who, self.now, "withdrawn"))

    # Work and time

    def turn(self) -> int:
        return self.run(self._worker.turn())

    def claim(self) -> list[Prepared]:
        _, prepared = self.run(self._worker.claim_and_prepare(1))
        return prepared

    def sign(self, prepared: Prepared) -> Signed | None:
        return self.run(self._worker.sign(prepared))

    def store(self, signed: Signed) -> None:
        self.run(self._worker.store(signed))

    def tick(self) -> None:
        self.run(scheduler.tick(self._database, Millis(self.now)))


def definition(name: str, terms: Terms) -> Profile:
    """The profile that says `terms`."""
    covers = ApprovalCovers.KEY if terms.keyed else ApprovalCovers.NAMES
    fields: dict[str, Any] = {"covers": covers} | ({"reuse_window": "0s"} if terms.keyed else {})
    fields |= {"group": terms.circle.removeprefix("group:")} if terms.circle.startswith("group:") else {}
    rules = ApprovalRules(approvers=terms.approvers, **fields) if terms.approvers else None
    validity = {"max": f"{terms.days}d", "default": f"{min(terms.days, 30)}d"}
    return Profile(
        **DEFAULT.model_dump(
            exclude={"name", "requires_approval", "approval", "validity"}, exclude_none=True
        ),
        name=name,
        requires_approval=rules is not None,
        approval=rules,
        validity=validity,  # type: ignore[arg-type]
    )


@cache
def request(name: str, key: int) -> CertificateRequest:
    """The request for `name` with key number `key`."""
    return parse_csr(make_csr(name, key=_key(key)))


@cache
def _key(_: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def authority() -> tuple[Issuer, Any]:
    """One hierarchy for all."""
    return make_issuer()


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp())

    async def migrated() -> None:
        await (await open_database(sqlite_url(folder))).close()

    asyncio.run(migrated())
    return folder / "certctl.db"
