"""A command's way to the database: opened, the token asked whom it stands for, the role checked where the work is done."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from policy.access import Action, check_may
from policy.profile_cache import ProfileCache
from servers.cli.options import Common, Exit, Failed
from servers.files import FileRefused, read_private
from servers.secret_files import ADMIN_FILE
from servers.settings import Settings, load_settings
from store import clock, principals
from store.clock import Millis
from store.database import Database, Transaction
from store.open import open_database
from store.records import Principal

T = TypeVar("T")
_MOST_TOKEN: Final = 200


class Session:
    """One principal at one database, for one command."""

    def __init__(self, settings: Settings, database: Database, token: str) -> None:
        self.settings: Final = settings
        self.cache: Final = ProfileCache()
        self.now: Final[Millis] = clock.now()
        self._database = database
        self._token = token

    async def look(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """What `work` finds, if the principal may look."""

        async def read(tx: Transaction) -> T:
            await self._authorized(tx, Action.LOOK)
            return await work(tx)

        return await self._database.read(read)

    async def do(self, action: Action, work: Callable[[Transaction, Principal], Awaitable[T]]) -> T:
        """What `work` does in the principal's name, if it may do `action`: asked in the same transaction."""

        async def write(tx: Transaction) -> T:
            return await work(tx, await self._authorized(tx, action))

        return await self._database.write(write)

    async def own(self, work: Callable[[Transaction, Principal], Awaitable[T]]) -> T:
        """What `work` does with what is the principal's own: no role is needed, only a good token."""

        async def write(tx: Transaction) -> T:
            return await work(tx, await self._authenticated(tx))

        return await self._database.write(write)

    async def _authorized(self, tx: Transaction, action: Action) -> Principal:
        principal = await self._authenticated(tx)
        check_may(principal, await principals.roles(tx, principal.id), action)
        return principal

    async def _authenticated(self, tx: Transaction) -> Principal:
        principal = await principals.authenticate(tx, self._token, self.now)
        if principal is None:
            raise Failed(
                Exit.NOT_ALLOWED,
                "the token stands for nobody (unknown, expired, revoked, or its principal is disabled): "
                "name another with --token-file",
            )
        return principal

    def __repr__(self) -> str:
        """Without the token."""
        return f"Session({self.settings.directory})"


@asynccontextmanager
async def open_session(common: Common) -> AsyncIterator[Session]:
    """A session at the CA of --data. Raises Failed and what opening a database raises."""
    settings = load_settings(common.data)
    _check_there(settings)
    token = _read_token(common.token_file or settings.directory / ADMIN_FILE)
    database = await open_database(settings.database_url, upgrade=False)
    try:
        yield Session(settings, database, token)
    finally:
        await database.close()


def _check_there(settings: Settings) -> None:
    scheme, _, path = settings.database_url.partition(":///")
    if scheme == "sqlite" and not Path(path).exists():
        raise Failed(
            Exit.CONFIGURATION,
            f"there is no CA in {settings.directory}: make one with certctl init, or name another with --data",
        )


def _read_token(path: Path) -> str:
    try:
        token = read_private(path).decode("ascii").strip()
    except FileRefused as refused:
        raise Failed(
            Exit.NOT_ALLOWED, f"{refused}; name a token with --token-file or CERTCTL_TOKEN_FILE"
        ) from None
    except UnicodeDecodeError:
        token = ""
    if not token or len(token) > _MOST_TOKEN or not token.isprintable():
        raise Failed(Exit.NOT_ALLOWED, f"{path} holds no token")
    return token
