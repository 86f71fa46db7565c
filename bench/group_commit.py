"""What a unit of work costs on SQLite, against the same statements on the bare driver.

    python -m bench.group_commit [--units 4000] [--rounds 5]

Each unit adds one row of about 700 octets and one line of the record, durably (WAL, synchronous FULL). The bare
driver commits as many units together as there are callers, which is what group commit can do at best. Rounds
alternate and the best of each is told: CPU is that of the whole process, wall time includes the disk.
"""

import argparse
import asyncio
import itertools
import sqlite3
import tempfile
import time
from pathlib import Path

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
    """CPU and wall seconds for `units` on the bare driver, `together` per commit."""
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
        print("callers   store CPU     wall  |  bare CPU     wall  |   ratio   (us per unit)")
        for callers in (1, 16, 64):
            pairs = [
                (await measure_store(database, units, callers), measure_bare(path, units, callers))
                for _ in range(rounds)
            ]
            store_cpu, store_wall, bare_cpu, bare_wall = (
                min(spent) / units * 1e6
                for spent in zip(*[store + bare for store, bare in pairs], strict=True)
            )
            print(
                f"{callers:7}   {store_cpu:9.1f}   {store_wall:6.1f}  |  "
                f"{bare_cpu:8.1f}   {bare_wall:6.1f}  |  {store_cpu / bare_cpu:6.2f}"
            )
        await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--units", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    asyncio.run(compare(arguments.units, arguments.rounds))
