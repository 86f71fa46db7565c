"""A process of its own that writes rows as fast as it can and says which: `python -m tests.store.hammer URL NAME ROWS`.

It prints the name of each row after `write` has returned, so that whoever kills it knows what must be there.
"""

import asyncio
import sys
import time
from functools import partial

from store import audit
from store.audit import AuditEvent
from store.database import Transaction
from store.open import open_database
from tests.store.units import NOW, put

CALLERS = 8


async def put_and_record(tx: Transaction, name: str) -> None:
    """A row, and a line in the record about it."""
    await put(tx, name)
    await audit.append(tx, NOW, "hammer", AuditEvent.CA_CREATED, name)


async def main(url: str, name: str, rows: int) -> None:
    """Write; the last line is the longest time that one write took."""
    database = await open_database(url, upgrade=False)
    slowest = 0.0

    async def call(caller: int) -> None:
        nonlocal slowest
        for number in range(caller, rows, CALLERS):
            began = time.perf_counter()
            await database.write(partial(put_and_record, name=f"{name}-{number}"))
            slowest = max(slowest, time.perf_counter() - began)
            print(f"{name}-{number}", flush=True)

    await asyncio.gather(*[call(caller) for caller in range(CALLERS)])
    await database.close()
    print(f"slowest {slowest}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
