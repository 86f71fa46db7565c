"""Small units of work for tests: each blocks one key, which is one row in one table."""

from functools import partial

from store import certificates
from store.clock import Millis
from store.database import Database, Transaction, Work
from store.ids import PrincipalId

NOW = Millis(1_800_000_000_000)
BY = PrincipalId("somebody")


async def put(tx: Transaction, name: str) -> str:
    """Add a row."""
    await certificates.block_key(tx, name, "test", NOW, BY)
    return name


def putting(name: str) -> Work[str]:
    """The unit of work that adds the row `name`."""
    return partial(put, name=name)


async def put_and_fail(tx: Transaction, name: str) -> None:
    """Add a row, then think better of it."""
    await put(tx, name)
    raise ValueError(name)


async def is_there(database: Database, name: str) -> bool:
    """Whether the row is committed."""
    return await database.read(lambda tx: certificates.blocked(tx, name)) is not None
