"""ACME accounts, their keys, and the external account keys that vouch for them."""

from typing import Final

from sqlalchemy import bindparam, null, or_, select, true, update

from store.clock import Millis
from store.database import Row, Transaction
from store.ids import AccountId
from store.records import Account, AccountStatus, ExternalAccountKey
from store.schema import acme_account_keys, acme_accounts, acme_external_account_keys
from store.statements import Statement, columns_of, insert_row, select_by

_INSERT: Final = insert_row(acme_accounts)
_GET: Final = select_by(Account, acme_accounts, "id")
_HOLD: Final = Statement(
    select(acme_accounts.c.status, acme_accounts.c.thumbprint)
    .where(acme_accounts.c.id == bindparam("id"))
    .with_for_update(read=True)
)
_BY_KEY: Final = select_by(Account, acme_accounts, "thumbprint")
_PAGE: Final = Statement(
    select(*columns_of(Account, acme_accounts))
    .where(acme_accounts.c.id > bindparam("after"))
    .order_by(acme_accounts.c.id)
    .limit(bindparam("most"))
)
_VALID: Final = (acme_accounts.c.id == bindparam("key")) & (
    acme_accounts.c.status == AccountStatus.VALID.value
)
_SET_CONTACTS: Final = Statement(
    update(acme_accounts)
    .where(_VALID)
    .values(contacts=bindparam("new_contacts"), terms_agreed=bindparam("agreed"), updated_at=bindparam("now"))
)
_SET_STATUS: Final = Statement(
    update(acme_accounts).where(_VALID).values(status=bindparam("to"), updated_at=bindparam("now"))
)
_SET_KEY: Final = Statement(
    update(acme_accounts)
    .where(_VALID, acme_accounts.c.thumbprint == bindparam("old_thumbprint"))
    .values(thumbprint=bindparam("new_thumbprint"), jwk=bindparam("new_jwk"), updated_at=bindparam("now"))
)
_INSERT_KEY: Final = insert_row(acme_account_keys)
_KEY: Final = Statement(
    select(acme_account_keys.c.account_id).where(acme_account_keys.c.spki_sha256 == bindparam("spki_sha256"))
)
_INSERT_EXTERNAL: Final = insert_row(acme_external_account_keys)
_EXTERNAL: Final = select_by(ExternalAccountKey, acme_external_account_keys, "kid")
_EXTERNALS: Final = Statement(
    select(*columns_of(ExternalAccountKey, acme_external_account_keys)).order_by(
        acme_external_account_keys.c.created_at
    )
)
_USE_EXTERNAL: Final = Statement(
    update(acme_external_account_keys)
    .where(
        acme_external_account_keys.c.kid == bindparam("key"),
        acme_external_account_keys.c.revoked_at.is_(null()),
        or_(
            acme_external_account_keys.c.reusable == true(),
            acme_external_account_keys.c.used_at.is_(null()),
        ),
    )
    .values(used_at=bindparam("now"))
)
_REVOKE_EXTERNAL: Final = Statement(
    update(acme_external_account_keys)
    .where(
        acme_external_account_keys.c.kid == bindparam("key"),
        acme_external_account_keys.c.revoked_at.is_(null()),
    )
    .values(revoked_at=bindparam("now"))
)


async def insert(tx: Transaction, account: Account, spki_sha256: str) -> None:
    """Add an account and its key. One account per key, also among deactivated ones."""
    await tx.execute(
        _INSERT,
        id=account.id,
        principal_id=account.principal_id,
        thumbprint=account.thumbprint,
        jwk=account.jwk,
        status=account.status.value,
        contacts=account.contacts,
        terms_agreed=account.terms_agreed,
        eab_kid=account.eab_kid,
        created_at=account.created_at,
        updated_at=account.updated_at,
    )
    await _add_key(tx, account.id, spki_sha256, account.created_at)


async def get(tx: Transaction, account_id: AccountId) -> Account | None:
    """The account of that id."""
    return _account(await tx.one(_GET, id=account_id))


async def hold(tx: Transaction, account_id: AccountId) -> tuple[AccountStatus, str] | None:
    """Its status and thumbprint; nobody changes the account before the transaction ends."""
    row = await tx.one(_HOLD, id=account_id)
    return None if row is None else (AccountStatus(row[0]), row[1])


async def find(tx: Transaction, thumbprint: str) -> Account | None:
    """The account whose key has that RFC 7638 thumbprint."""
    return _account(await tx.one(_BY_KEY, thumbprint=thumbprint))


async def page(tx: Transaction, after: str, most: int) -> list[Account]:
    """Accounts in the order of their ids, beyond `after`."""
    return [found for row in await tx.all(_PAGE, after=after, most=most) if (found := _account(row))]


async def set_contacts(
    tx: Transaction, account_id: AccountId, contacts: str, *, terms_agreed: bool, now: Millis
) -> bool:
    """Replace the contacts; whether the account is valid."""
    return (
        await tx.execute(_SET_CONTACTS, key=account_id, new_contacts=contacts, agreed=terms_agreed, now=now)
        == 1
    )


async def end(tx: Transaction, account_id: AccountId, to: AccountStatus, now: Millis) -> bool:
    """Valid -> `to`, for good; whether it was valid."""
    return await tx.execute(_SET_STATUS, key=account_id, to=to.value, now=now) == 1


async def change_key(
    tx: Transaction, account: Account, thumbprint: str, jwk: str, spki_sha256: str, now: Millis
) -> bool:
    """Put a new key in the place of `account`'s; whether that was still the account's key."""
    moved = await tx.execute(
        _SET_KEY,
        key=account.id,
        old_thumbprint=account.thumbprint,
        new_thumbprint=thumbprint,
        new_jwk=jwk,
        now=now,
    )
    if moved == 1:
        await _add_key(tx, account.id, spki_sha256, now)
    return moved == 1


async def is_account_key(tx: Transaction, spki_sha256: str) -> bool:
    """Whether some account has or had this key."""
    return await holder_of_key(tx, spki_sha256) is not None


async def holder_of_key(tx: Transaction, spki_sha256: str) -> AccountId | None:
    """The account that has or had this key; there is never a second one."""
    row = await tx.one(_KEY, spki_sha256=spki_sha256)
    return None if row is None else AccountId(row[0])


async def insert_external_key(tx: Transaction, key: ExternalAccountKey) -> None:
    """Add an external account key, sealed."""
    await tx.execute(
        _INSERT_EXTERNAL,
        kid=key.kid,
        name=key.name,
        sealed_key=key.sealed_key,
        reusable=key.reusable,
        profile=key.profile,
        name_patterns=key.name_patterns,
        created_by=key.created_by,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        used_at=key.used_at,
    )


async def external_key(tx: Transaction, kid: str) -> ExternalAccountKey | None:
    """The external account key of that id."""
    return _external(await tx.one(_EXTERNAL, kid=kid))


async def external_keys(tx: Transaction) -> list[ExternalAccountKey]:
    """All of them, oldest first."""
    return [found for row in await tx.all(_EXTERNALS) if (found := _external(row))]


async def use_external_key(tx: Transaction, kid: str, now: Millis) -> bool:
    """Spend a use; False if it is revoked, or good for once and used."""
    return await tx.execute(_USE_EXTERNAL, key=kid, now=now) == 1


async def revoke_external_key(tx: Transaction, kid: str, now: Millis) -> bool:
    """End it; whether it was still good."""
    return await tx.execute(_REVOKE_EXTERNAL, key=kid, now=now) == 1


async def _add_key(tx: Transaction, account_id: AccountId, spki_sha256: str, now: Millis) -> None:
    if not await is_account_key(tx, spki_sha256):
        await tx.execute(_INSERT_KEY, spki_sha256=spki_sha256, account_id=account_id, added_at=now)


def _account(row: Row | None) -> Account | None:
    if row is None:
        return None
    key, principal_id, thumbprint, jwk, status, contacts, agreed, *rest = row
    return Account(key, principal_id, thumbprint, jwk, AccountStatus(status), contacts, bool(agreed), *rest)


def _external(row: Row | None) -> ExternalAccountKey | None:
    if row is None:
        return None
    kid, name, sealed_key, reusable, *rest = row
    return ExternalAccountKey(kid, name, bytes(sealed_key), bool(reusable), *rest)
