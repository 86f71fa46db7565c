"""Accounts as they were a moment ago, their keys loaded: six requests of one order ask the database once.

What an account may *do* is looked up again where it is done, in its transaction
(`policy.acme.accounts.confirm`). Here it only says whose signature this is.
"""

import asyncio
import json
from typing import Final

from servers.acme.jwk import AccountKey, load_public_jwk
from servers.acme.problems import AcmeProblem, ProblemType
from servers.acme.refusals import BadPublicKey
from store import acme_accounts
from store.database import Database
from store.ids import AccountId
from store.records import Account

_SECONDS: Final = 1.0
_MOST: Final = 10_000


class KnownAccounts:
    """One per process. Another process's change is seen after a second at the latest."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[AccountId, tuple[float, Account, AccountKey]] = {}

    async def get(self, account_id: AccountId) -> tuple[Account, AccountKey] | None:
        """The account of that id and its key. Raises AcmeProblem when the key is no longer one that we take."""
        moment = asyncio.get_running_loop().time()
        known = self._known.get(account_id)
        if known is not None and moment < known[0]:
            return known[1], known[2]
        account = await acme_accounts.get(self._database.single, account_id)
        if account is None:
            return None
        key = known[2] if known is not None and known[1].jwk == account.jwk else _load(account.jwk)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[account_id] = moment + _SECONDS, account, key
        return account, key

    def forget(self, account_id: AccountId) -> None:
        """Look it up next time: this process has changed it."""
        self._known.pop(account_id, None)


def _load(jwk: str) -> AccountKey:
    try:
        return load_public_jwk(json.loads(jwk))
    except BadPublicKey:
        # It was good when it was stored: rules have become stricter, and the account has to change its key.
        raise AcmeProblem(
            ProblemType.BAD_PUBLIC_KEY, "the key of this account is no longer accepted"
        ) from None
