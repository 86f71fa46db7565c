"""A process of its own that spends nonces: `python -m tests.store.spender URL FILE`.

It reads a line of identities in hex, spends them all at once, and answers with a line of 1 and 0.
"""

import asyncio
import sys
from pathlib import Path

from store import clock
from store.open import open_ledger
from tests.store.nonces import SpentNonce


async def main(url: str, file: str) -> None:
    """Until standard input ends."""
    ledger = await open_ledger(url, Path(file), clock.now)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        answers = await asyncio.gather(
            *[ledger.spend(SpentNonce(bytes.fromhex(word))) for word in line.split()]
        )
        print("".join(str(int(first)) for first in answers), flush=True)
    await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
