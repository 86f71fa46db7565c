"""What a unit of work costs on SQLite: through the store, by hand, and its statements on the bare driver.

    python -m bench.group_commit [--units 4000] [--rounds 5]

Each unit adds one row of about 700 octets and one line of the record, durably (WAL, synchronous FULL). By hand and
on the bare driver as many units are committed together as there are callers, which is the best that group commit can
do. By hand is the same code without queue, futures and thread: the difference is what group commit itself
costs. Rounds alternate and the best of each is told: CPU is that of the whole process, wall time includes the disk.
"""

import argparse
import asyncio
import itertools
import sqlite3
import tempfile
import time
from pathlib import Path

import uvloop

from store import audit, issuers
from store.audit import AuditEvent
from store.chain import Chain
from store.clock import Millis
from store.database import Transaction
from store.ids import IssuerName
from store.open import open_database
from store.records import IssuerRecord
from store.sqlite import SqliteDatabase, SqliteTransaction, connect, run
from store.statements import Statement

NOW = Millis(1_800_000_000_000)
numbers = itertools.count()


async def unit(tx: Transaction) -> int:
    """One unit of work as the front ends do them."""
    number = next(numbers)
    record = IssuerRecord(IssuerName(f"issuer {number}"), bytes(700), "chain", "issuing.key", NOW)
    await issuers.insert(tx, record)
    await audit.append(tx, NOW, "bench", AuditEvent.CA_CREATED, record.name, number=number)
    return number


class Recorder(SqliteTransaction):
    """A transaction that only writes down what it is asked to do."""

    def __init__(self, connection: sqlite3.Connection, chain: Chain) -> None:
        super().__init__(connection, chain)
        self.statements: list[tuple[str, tuple[object, ...]]] = []

    async def execute(self, statement: Statement, /, **values: object) -> int:
        self.statements.append(statement.bind(0, values))
        return 1


def measure_bare(path: Path, units: int, together: int) -> tuple[float, float]:
    """CPU and wall seconds for the statements of `units`, `together` units per commit."""
    connection = connect(path)
    recorder = Recorder(connection, Chain.start())
    for _ in range(units):
        run(unit(recorder))
    statements = iter(recorder.statements)
    per_unit = len(recorder.statements) // units
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(units // together):
        connection.execute("BEGIN IMMEDIATE")
        for sql, parameters in itertools.islice(statements, together * per_unit):
            connection.execute(sql, parameters)
        connection.execute("COMMIT")
    spent = time.process_time() - cpu, time.perf_counter() - wall
    connection.close()
    return spent


def measure_by_hand(path: Path, units: int, together: int) -> tuple[float, float]:
    """CPU and wall seconds for `units` of work, `together` per commit, one after the other."""
    connection = connect(path)
    transaction = SqliteTransaction(connection, Chain.start())
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(units // together):
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(together):
            run(unit(transaction))
        connection.execute("COMMIT")
    spent = time.process_time() - cpu, time.perf_counter() - wall
    connection.close()
    return spent


async def measure_store(database: SqliteDatabase, units: int, callers: int) -> tuple[float, float]:
    """CPU and wall seconds for `units` through the store, by `callers` at once."""

    async def call() -> None:
        for _ in range(units // callers):
            await database.write(unit)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*[call() for _ in range(callers)])
    return time.process_time() - cpu, time.perf_counter() - wall


async def compare(units: int, rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        database = await open_database(f"sqlite:///{path}")
        assert isinstance(database, SqliteDatabase)
        print(
            "us per unit       store          by hand         bare driver      CPU: store / by hand, / bare"
        )
        print("callers       CPU    wall      CPU    wall      CPU    wall")
        for callers in (1, 16, 64):
            spent = [
                await measure_store(database, units, callers)
                + measure_by_hand(path, units, callers)
                + measure_bare(path, units, callers)
                for _ in range(rounds)
            ]
            best = [min(column) / units * 1e6 for column in zip(*spent, strict=True)]
            ratios = f"{best[0] / best[2]:8.2f} {best[0] / best[4]:8.2f}"
            print(f"{callers:7}  ", *[f"{value:7.1f}" for value in best], "  ", ratios)
        await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--units", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    uvloop.run(compare(arguments.units, arguments.rounds))
