"""Issuing CAs: their certificates and chains. Their keys are files; only the name stands here."""

from typing import Final

from sqlalchemy import select

from store.database import Transaction
from store.ids import IssuerName
from store.records import IssuerRecord
from store.schema import issuers
from store.statements import Statement, columns_of, insert_row, select_by

_INSERT: Final = insert_row(issuers)
_GET: Final = select_by(IssuerRecord, issuers, "name")
_ALL: Final = Statement(select(*columns_of(IssuerRecord, issuers)).order_by(issuers.c.name))


async def insert(tx: Transaction, issuer: IssuerRecord) -> None:
    """Add an issuer."""
    await tx.execute(
        _INSERT,
        name=issuer.name,
        certificate=issuer.certificate,
        chain=issuer.chain,
        key_file=issuer.key_file,
        created_at=issuer.created_at,
    )


async def get(tx: Transaction, name: IssuerName) -> IssuerRecord | None:
    """The issuer of that name."""
    row = await tx.one(_GET, name=name)
    return None if row is None else IssuerRecord(*row)


async def every(tx: Transaction) -> list[IssuerRecord]:
    """All issuers, by name."""
    return [IssuerRecord(*row) for row in await tx.all(_ALL)]
