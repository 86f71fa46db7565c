"""`certctl principal`: who there is, what they may do, and the tokens that stand for them."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from policy import principals as rules
from policy.access import Action, check_may
from servers.cli.options import Common, examples
from servers.cli.output import say, table
from servers.cli.session import Session, open_session
from servers.cli.words import moment, most, span
from servers.files import write_private
from servers.secret_files import SHOWN, new_token
from store import listings, principals
from store.clock import after
from store.database import Transaction
from store.records import Credential, Principal, PrincipalKind

app = App(name="principal", help="People and machines, what they may do, and their tokens.")
tokens = App(name="token", help="Tokens that stand for a principal.")
app.command(tokens)
OutFile = Annotated[Path | None, Parameter(name=("--out", "-o"))]


@app.command(help_epilogue=examples("principal create alice --role approver --out alice.token"))
async def create(
    name: str,
    /,
    *,
    role: tuple[str, ...] = (),
    machine: bool = False,
    out: OutFile = None,
    common: Common = Common(),
) -> None:
    """Make a principal and its first token, which is shown once.

    Args:
        name: What it is called.
        role: admin, operator, auditor, approver, or a circle that a profile names; may be repeated.
        machine: It is no person. A machine never approves.
        out: Write the token to this file (0600) instead of showing it.
    """
    kind = PrincipalKind.MACHINE if machine else PrincipalKind.PERSON
    token = new_token()

    async def work(tx: Transaction, by: Principal) -> tuple[Principal, Credential]:
        made = await rules.create(tx, name, kind, role, by.id, session.now, session.cache)
        return made, await rules.give_token(tx, made, token, token[:SHOWN], None, by.id, session.now)

    async with open_session(common) as session:
        made, credential = await session.do(Action.MANAGE_PRINCIPALS, work)
    _hand_over(f"made {made.name} ({made.kind})", made, credential, token, out, common)


@app.command(name="list", help_epilogue=examples("principal list"))
async def list_(*, all: bool = False, limit: int = 100, common: Common = Common()) -> None:  # noqa: A002
    """List people and machines.

    Args:
        all: Also those that stand for ACME accounts.
        limit: At most so many.
    """
    number = most(limit)

    async def work(tx: Transaction) -> list[dict[str, Any]]:
        held = await listings.all_roles(tx)
        return [
            {
                "name": one.name,
                "kind": one.kind.value,
                "roles": held.get(one.id, []),
                "created": moment(one.created_at),
                "disabled": moment(one.disabled_at),
                "id": one.id,
            }
            for one in await listings.latest_principals(tx, number, accounts=all)
        ]

    async with open_session(common) as session:
        rows = await session.look(work)
    columns = {"name": "NAME", "kind": "KIND", "roles": "ROLES", "created": "CREATED", "disabled": "DISABLED"}
    table(rows, columns, as_json=common.json, empty="there is nobody")


@app.command(help_epilogue=examples("principal grant alice auditor", "principal grant alice group:security"))
async def grant(name: str, role: str, /, *, common: Common = Common()) -> None:
    """Give a role.

    Args:
        name: The principal.
        role: The role, or group:NAME for a group that a profile names.
    """

    async def work(tx: Transaction, by: Principal) -> None:
        found = await rules.find(tx, name)
        await rules.grant(tx, found, role, by.id, session.now, session.cache)

    async with open_session(common) as session:
        await session.do(Action.MANAGE_PRINCIPALS, work)
    say({"principal": name, "granted": role}, as_json=common.json, text=f"{name} holds {role}")


@app.command(help_epilogue=examples("principal withdraw alice approver"))
async def withdraw(name: str, role: str, /, *, common: Common = Common()) -> None:
    """Take a role.

    Args:
        name: The principal.
        role: The role.
    """

    async def work(tx: Transaction, by: Principal) -> None:
        await rules.withdraw(tx, await rules.find(tx, name), role, by.id, session.now)

    async with open_session(common) as session:
        await session.do(Action.MANAGE_PRINCIPALS, work)
    say({"principal": name, "withdrawn": role}, as_json=common.json, text=f"{name} no longer holds {role}")


@app.command(help_epilogue=examples("principal disable alice"))
async def disable(name: str, /, *, common: Common = Common()) -> None:
    """End all that a principal may do, for good. Nothing that it did is undone.

    Args:
        name: The principal.
    """

    async def work(tx: Transaction, by: Principal) -> None:
        await rules.disable(tx, await rules.find(tx, name), by.id, session.now)

    async with open_session(common) as session:
        await session.do(Action.MANAGE_PRINCIPALS, work)
    say({"principal": name, "disabled": True}, as_json=common.json, text=f"{name} is disabled")


@tokens.command(
    name="create", help_epilogue=examples("principal token create alice --expires 90d --out alice.token")
)
async def create_token(
    name: str, /, *, expires: str | None = None, out: OutFile = None, common: Common = Common()
) -> None:
    """Make another token, which is shown once. Everybody may for themselves, an admin for others.

    Args:
        name: The principal.
        expires: After how long it ends: 90d, 12h.
        out: Write the token to this file (0600) instead of showing it.
    """
    life = span(expires)
    token = new_token()

    async def work(tx: Transaction, by: Principal) -> tuple[Principal, Credential]:
        found = await _own_or_managed(tx, by, name)
        until = None if life is None else after(session.now, life)
        return found, await rules.give_token(tx, found, token, token[:SHOWN], until, by.id, session.now)

    async with open_session(common) as session:
        found, credential = await session.own(work)
    _hand_over(f"made a token for {found.name}", found, credential, token, out, common)


@tokens.command(name="list", help_epilogue=examples("principal token list alice"))
async def list_tokens(name: str, /, *, common: Common = Common()) -> None:
    """List the tokens of a principal by their first characters.

    Args:
        name: The principal.
    """

    async def work(tx: Transaction) -> list[Credential]:
        return await listings.credentials_of(tx, (await rules.find(tx, name)).id)

    async with open_session(common) as session:
        found = await session.look(work)
        rows = [_token_row(one, session) for one in found]
    columns = {
        "id": "TOKEN",
        "prefix": "BEGINS",
        "created": "CREATED",
        "expires": "EXPIRES",
        "status": "STATUS",
    }
    table(rows, columns, as_json=common.json, empty="there are no tokens")


@tokens.command(name="revoke", help_epilogue=examples("principal token revoke 1a2105885669098304ae5be5"))
async def revoke_token(token_id: str, /, *, common: Common = Common()) -> None:
    """End a token. Everybody may their own, an admin every one.

    Args:
        token_id: Its id, as `certctl principal token list` shows it.
    """

    async def work(tx: Transaction, by: Principal) -> None:
        credential = await principals.get_credential(tx, token_id)
        if credential is None or credential.principal_id != by.id:
            check_may(by, await principals.roles(tx, by.id), Action.MANAGE_PRINCIPALS)
        await rules.revoke_token(tx, token_id, by.id, session.now)

    async with open_session(common) as session:
        await session.own(work)
    say({"token": token_id, "revoked": True}, as_json=common.json, text=f"revoked {token_id}")


async def _own_or_managed(tx: Transaction, by: Principal, name: str) -> Principal:
    if name == by.name:
        return by
    check_may(by, await principals.roles(tx, by.id), Action.MANAGE_PRINCIPALS)
    return await rules.find(tx, name)


def _hand_over(
    deed: str, whose: Principal, credential: Credential, token: str, out: Path | None, common: Common
) -> None:
    """Show the token, or write it where only its owner reads."""
    document: dict[str, Any] = {"principal": whose.name, "id": whose.id, "token_id": credential.id}
    if out is not None:
        write_private(out, token.encode() + b"\n")
        say(document | {"file": str(out)}, as_json=common.json, text=f"{deed}; the token is in {out}")
        return
    text = f"{deed}; the token, shown once:\n{token}"
    say(document | {"token": token}, as_json=common.json, text=text)


def _token_row(one: Credential, session: Session) -> dict[str, Any]:
    expired = one.expires_at is not None and one.expires_at <= session.now
    return {
        "id": one.id,
        "prefix": one.prefix,
        "created": moment(one.created_at),
        "expires": moment(one.expires_at),
        "status": "revoked" if one.revoked_at is not None else "expired" if expired else "good",
    }
