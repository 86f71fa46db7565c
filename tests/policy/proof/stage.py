"""The whole machine below the front ends on one in-memory SQLite, steppable, and able to go back.

Real are the schema with its triggers, the gate, the decisions, the profile changes, the worker, the
scheduler and the CA key. Only the clock, the disk and the workers' processes are in the prover's hand.
"""

import asyncio
import sqlite3
import tempfile
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from cryptography.hazmat.primitives.serialization import Encoding

from ca.certificate import Issuer
from ca.csr import parse_csr
from ca.names import parse_identifier
from ca.signer import Signer
from policy import profile_changes
from policy.enrollment import Enrollment, Gate, Requester
from policy.profile_cache import ProfileCache
from policy.profile_gates import ApprovalCovers, ApprovalRules
from policy.profiles import GATED, Profile
from policy.worker import Prepared, Signed, Worker
from store import issuers, principals
from store.chain import Chain
from store.clock import Millis, to_millis
from store.database import Database, DatabaseRefused, Signals, Transaction
from store.ids import IssuerName, PrincipalId, ProfileName, new_id
from store.jobs import ClaimedJob
from store.open import open_database
from store.records import IssuerRecord, Principal, PrincipalKind
from store.sqlite import SqliteTransaction, run
from tests.common.recording_key import RecordingKey
from tests.common.world import START, make_csr, make_issuer, sqlite_url
from tests.policy.proof.invariants import Ledger, Violation, check_signing
from tests.policy.proof.picture import Picture, look

T = TypeVar("T")
PROFILE = ProfileName("gated")
NAMES = ("a.example", "b.example", "c.example")
APPROVERS = ("alice", "bob")


@dataclass(frozen=True)
class Setting:
    """How large a world is walked: which profile, and how often each costly thing may happen."""

    required: int = 1
    covers: ApprovalCovers = ApprovalCovers.NAMES
    requester: str = "rita"
    """`rita` asks herself; `machine` asks with a credential that rita made."""
    submissions: int = 2
    changes: int = 0
    attempts: int = 2
    names: int = 2
    """How many different names may be asked for; asking for a name again is coming back for it."""
    forget_late: bool = True
    """Whether states are the same that differ in workers who were too late for the key: by their clock, nothing else."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything there is at one moment: the database (compressed), the clock, what workers hold, what was seen."""

    image: bytes
    now: Millis
    chain: tuple[str, int, str]
    flights: tuple[Prepared | Signed, ...]
    ledger: Ledger
    submissions: int = 0
    changes: int = 0


class MemoryDatabase:
    """The Database protocol on one connection whose outer transaction the prover holds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.chain = Chain.start()
        self.signals = Signals()

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        mark = self.chain.mark()
        self._connection.execute("SAVEPOINT unit")
        try:
            result = run(work(SqliteTransaction(self._connection, self.chain)))
        except Exception as error:
            self._connection.execute("ROLLBACK TO unit")
            self._connection.execute("RELEASE unit")
            self.chain.rewind(mark)
            if isinstance(error, sqlite3.IntegrityError):
                raise DatabaseRefused(str(error)) from error
            raise
        self._connection.execute("RELEASE unit")
        return result

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"the walk does not expect Database.{name}")


class Stage:
    """One world that can be put into any State. Not for concurrent use."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.connection.deserialize(_schema())
        self.database = MemoryDatabase(self.connection)
        issuer, key = make_issuer()
        self.key = RecordingKey(key, self._heard)
        self.signer = Signer(issuer, self.key, ClaimedJob)
        self.cache = ProfileCache()
        self.gate = Gate(self.cache)
        self.now = to_millis(START)
        self.worker = Worker(
            cast("Database", self.database),  # of the protocol, what the worker uses
            {IssuerName("issuing"): self.signer},
            self.cache,
            "w",
            lambda: self.now,
        )
        self.people: dict[str, Principal] = {}
        self.flights: list[Prepared | Signed] = []
        self.ledger = Ledger()
        self.submissions = self.changes = 0
        self.broken_promise: Violation | None = None
        """What the CA key saw that must not be."""
        self.profile = _profile(setting)
        self._requests = {
            (name, n): parse_csr(make_csr(name))
            for name in NAMES[: setting.names]
            for n in range(setting.submissions if setting.covers is ApprovalCovers.NAMES else 1)
        }
        self._populate(issuer)

    def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return run(self.database.write(work))

    def save(self) -> State:
        """The present state; whatever was under way is committed."""
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        chain = self.database.chain
        return State(
            zlib.compress(self.connection.serialize(), 1),
            self.now,
            (chain.id, chain.seq, chain.head),
            tuple(self.flights),
            self.ledger,
            self.submissions,
            self.changes,
        )

    def load(self, state: State) -> None:
        """Go to `state`; whatever was under way is forgotten."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.connection.deserialize(zlib.decompress(state.image))
        self.restore(state)

    def restore(self, state: State) -> None:
        """All of `state` but the database."""
        self.now = state.now
        chain = self.database.chain
        chain.id, chain.seq, chain.head = state.chain
        self.flights = list(state.flights)
        self.ledger = state.ledger
        self.submissions, self.changes = state.submissions, state.changes
        self.cache._pinned.clear()  # going back in time, versions are undone and their numbers given again
        self.key.broken = False
        self.broken_promise = None

    def outside(self) -> tuple[object, ...]:
        """What there is beside the database: equal before and after a step that did nothing there."""
        return self.now, tuple(map(id, self.flights)), self.submissions, self.changes, self.ledger

    def picture(self) -> Picture:
        return look(self.connection)

    def enrollment(self, name: str) -> Enrollment:
        """A request for `name`: with a key of its own each time, where the profile lets the key change."""
        n = self.submissions if (name, self.submissions) in self._requests else 0
        return Enrollment(PROFILE, self._requests[name, n], frozenset({parse_identifier("dns", name)}))

    def requester(self) -> Requester:
        rita = self.people["rita"].id
        return Requester(self.people[self.setting.requester].id, "test", frozenset({rita}), "account")

    def line(self) -> frozenset[str]:
        """Who may not decide what the requester asks."""
        return frozenset({self.people["rita"].id, self.people[self.setting.requester].id})

    def remember(self, **changes: Any) -> None:
        """Note something in the ledger."""
        self.ledger = replace(self.ledger, **changes)

    def _heard(self, tbs: bytes) -> None:
        """The CA key is about to sign: the promise must hold at this very moment."""
        try:
            job = check_signing(self.picture(), self.ledger, tbs)
        except Violation as violation:
            self.broken_promise = violation  # the worker would take the exception for a broken key
            return
        self.remember(signed=self.ledger.signed | {(sha256(tbs).hexdigest(), job)})

    def _populate(self, issuer: Issuer) -> None:
        der = issuer.certificate.public_bytes(Encoding.DER)
        record = IssuerRecord(IssuerName("issuing"), der, issuer.chain_pem.decode(), "issuing.key", self.now)
        self.write(lambda tx: issuers.insert(tx, record))
        for name in ("rita", *APPROVERS):
            self._person(name, PrincipalKind.PERSON, "approver")
        self._person("machine", PrincipalKind.MACHINE)
        self.write(
            lambda tx: profile_changes.propose(
                tx, PROFILE, self.profile, self.people["rita"].id, self.now, self.cache
            )
        )

    def _person(self, name: str, kind: PrincipalKind, *roles: str) -> None:
        principal = Principal(PrincipalId(new_id(self.now)), name, kind, self.now, None, None)
        self.people[name] = principal
        self.write(lambda tx: principals.insert(tx, principal, roles))


def _profile(setting: Setting) -> Profile:
    rules = ApprovalRules(approvers=setting.required, covers=setting.covers)
    return GATED.model_copy(update={"name": PROFILE, "approval": rules})


@cache
def _schema() -> bytes:
    """A database with every migration applied, in small pages, so that going back is cheap."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_migrate(sqlite_url(Path(folder))))
        connection = sqlite3.connect(Path(folder) / "certctl.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA page_size = 512")
        connection.execute("VACUUM")
        image = connection.serialize()
        connection.close()
        return image


async def _migrate(url: str) -> None:
    await (await open_database(url)).close()
