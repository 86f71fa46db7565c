"""Which nonces were spent: asked at every signed request, so at the price of one small write and no fsync.

A ledger may forget, if it knows since when it remembers: a nonce minted before that moment is refused, used or
not, and its client takes a fresh one (RFC 8555 section 6.5). So the SQLite ledger is a file of its own that
is never synced. It outlives every process, for the system keeps what was written; it does not outlive a crash of
the machine, and is then made anew.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from store.clock import Millis
from store.database import StorageFailed

SWEEP_AFTER: Final = 1000  # spends between two sweeps; a sweep drops up to twice as many
_BUSY_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.0005
_TRIES: Final = int(_BUSY_SECONDS / _PAUSE_SECONDS)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MODE: Final = 0o600
_PRAGMAS: Final = (
    "PRAGMA page_size = 1024",  # a spend writes one page: small ones are cheaper
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = OFF",
)
_TABLES: Final = (
    "CREATE TABLE spent (identity BLOB PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE origin (boot TEXT NOT NULL, inode INTEGER NOT NULL, remembers_from INTEGER NOT NULL)",
)
_SPEND: Final = "INSERT INTO spent (identity) VALUES (?) ON CONFLICT DO NOTHING"
_SWEEP: Final = (
    "DELETE FROM spent WHERE identity < min(:bound, coalesce("
    "(SELECT identity FROM spent ORDER BY identity LIMIT 1 OFFSET :most), :bound))"
)


class Nonce(Protocol):
    """What a ledger wants to know of a genuine nonce. Times in milliseconds since the epoch."""

    @property
    def identity(self) -> bytes:
        """16 octets: the time of minting (6, big-endian), then chance."""

    @property
    def minted_at(self) -> int:
        """When it was made."""

    @property
    def expires_at(self) -> int:
        """From when on nobody asks for it any more."""


class NonceLedger(Protocol):
    """Remembers spent nonces, for every process that opens the same one."""

    async def spend(self, nonce: Nonce) -> bool:
        """Whether this is the first time; StorageFailed if that cannot be told. The caller has checked its expiry."""

    async def close(self) -> None:
        """Let go of the file or the connection."""


class SqliteNonceLedger:
    """A ledger in a file, for the processes of one machine."""

    def __init__(self, path: Path, clock: Callable[[], Millis]) -> None:
        """Open the ledger at `path`, or make it; StorageFailed where that cannot be done."""
        self._path = path
        self._name = str(path)
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._remembers_from = 0
        self._unswept = 0
        self._open()

    async def spend(self, nonce: Nonce) -> bool:
        for _ in range(_TRIES):
            try:
                return self._spend(nonce)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    self._close()
                    raise StorageFailed(f"the ledger of nonces: {error}") from error
            except sqlite3.DatabaseError:
                self._open(damaged=True)
            await asyncio.sleep(_PAUSE_SECONDS)
        raise StorageFailed("the ledger of nonces is locked by another process")

    async def close(self) -> None:
        self._close()

    def _spend(self, nonce: Nonce) -> bool:
        # Look before writing: whoever replaces the file remembers from a moment after the old one was gone. What
        # goes into a file that was in place just now is therefore too old for the next one, and refused there.
        connection = self._connection
        if connection is None or _inode(self._name) != self._inode:
            connection = self._open()
        if nonce.minted_at < self._remembers_from:
            return False
        first = connection.execute(_SPEND, (nonce.identity,)).rowcount == 1
        self._unswept += 1
        if self._unswept >= SWEEP_AFTER:
            self._sweep(connection, self._clock() - (nonce.expires_at - nonce.minted_at))
        return first

    def _sweep(self, connection: sqlite3.Connection, bound: int) -> None:
        """Forget what was minted before `bound`; should nonces live longer from tomorrow on, it stays refused."""
        self._unswept = 0
        if bound <= self._remembers_from:
            return
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE origin SET remembers_from = max(remembers_from, ?)", (bound,))
                connection.execute(_SWEEP, {"bound": bound.to_bytes(6, "big"), "most": 2 * SWEEP_AFTER})
        except sqlite3.Error:
            return  # another time: what is not swept is remembered for longer than it has to be
        self._remembers_from = bound

    def _open(self, *, damaged: bool = False) -> sqlite3.Connection:
        """Open the file that is there if it is good, or make one. One process at a time."""
        spoilt = self._inode if damaged else 0
        self._close()
        try:
            with _alone(self._path.with_suffix(".lock")):
                if _inode(self._name) in (0, spoilt) or not self._open_existing():
                    self._make()
        except (OSError, sqlite3.Error) as error:
            raise StorageFailed(f"the ledger of nonces: {error}") from error
        assert self._connection is not None
        return self._connection

    def _open_existing(self) -> bool:
        """Whether the file was made by this machine since it was started, and can be read."""
        connection = None
        try:
            connection = _connect(self._path)
            origin = connection.execute("SELECT boot, inode, remembers_from FROM origin").fetchone()
        except sqlite3.Error:
            origin = None
        # Another boot: what was not synced may be missing. Another inode: a copy, perhaps of last week.
        inode = _inode(self._name)
        if connection is None or origin is None or origin[:2] != (_BOOT_ID.read_text(), inode):
            if connection is not None:
                connection.close()
            return False
        self._connection, self._inode, self._remembers_from = connection, inode, origin[2]
        return True

    def _make(self) -> None:
        """Put a new file in the place of what is there. It remembers from now on."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))
        # What was minted in this very millisecond may have been spent in the old file.
        moment, inode = self._clock() + 1, _inode(self._name)
        connection = _connect(self._path)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                connection.execute(table)
            connection.execute("INSERT INTO origin VALUES (?, ?, ?)", (_BOOT_ID.read_text(), inode, moment))
        self._connection, self._inode, self._remembers_from = connection, inode, moment

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        # From here on nobody waits inside SQLite: that would hold up the event loop.
        connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116 - asked at every spend, and Path.stat takes twice as long
    except FileNotFoundError:
        return 0


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold `lock` against every other process."""
    with os.fdopen(os.open(lock, os.O_CREAT | os.O_WRONLY, _MODE), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
