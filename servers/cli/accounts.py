"""`certctl account`: ACME accounts, and the external account keys that vouch for them."""

import base64
import json
import secrets
from typing import Any, Final

from cyclopts import App

from policy.access import Action
from policy.acme import accounts as rules
from policy.acme import external_keys
from policy.acme.refusals import AccountEnded
from servers.cli.options import Common, Exit, Failed, examples
from servers.cli.output import say, table
from servers.cli.session import open_session
from servers.cli.words import moment, most, span
from servers.sealing import Sealer
from servers.secret_files import master_secret
from store import acme_accounts
from store.clock import Millis, after
from store.database import Transaction
from store.ids import AccountId, ProfileName, new_id
from store.records import Account, ExternalAccountKey, Principal

app = App(name="account", help="ACME accounts, and the keys that vouch for them.")
eab = App(name="eab", help="External account keys (RFC 8555 section 7.3.4).")
app.command(eab)
_KEY_OCTETS: Final = 32


@app.command(name="list", help_epilogue=examples("account list"))
async def list_(*, after_id: str = "", limit: int = 100, common: Common = Common()) -> None:
    """List ACME accounts, oldest first.

    Args:
        after_id: Begin behind this account.
        limit: At most so many.
    """
    number = most(limit)
    async with open_session(common) as session:
        found = await session.look(lambda tx: acme_accounts.page(tx, after_id, number))
    rows = [
        {
            "id": one.id,
            "status": one.status.value,
            "contacts": json.loads(one.contacts),
            "eab": one.eab_kid,
            "thumbprint": one.thumbprint,
            "created": moment(one.created_at),
        }
        for one in found
    ]
    columns = {
        "id": "ACCOUNT",
        "status": "STATUS",
        "contacts": "CONTACTS",
        "eab": "EAB KEY",
        "created": "CREATED",
    }
    table(rows, columns, as_json=common.json, empty="there are no accounts")


@app.command(help_epilogue=examples("account revoke 1a2105885669098304ae5be5"))
async def revoke(account: str, /, *, common: Common = Common()) -> None:
    """End an ACME account, for good. Its certificates stay what they are.

    Args:
        account: Its id.
    """

    async def work(tx: Transaction, by: Principal) -> Account:
        found = await acme_accounts.get(tx, AccountId(account))
        if found is None:
            raise Failed(Exit.NOT_FOUND, f"there is no account {account}")
        try:
            return await rules.deactivate(tx, found, session.now, by=by.id)
        except AccountEnded as error:
            raise Failed(Exit.REFUSED, str(error)) from None

    async with open_session(common) as session:
        ended = await session.do(Action.MANAGE_ACCOUNTS, work)
    say({"account": ended.id, "status": ended.status.value}, as_json=common.json, text=f"revoked {ended.id}")


@eab.command(
    name="create",
    help_epilogue=examples("account eab create --label web-team --names '*.web.example.com' --expires 7d"),
)
async def create(
    *,
    label: str = "",
    profile: str | None = None,
    names: tuple[str, ...] = (),
    reusable: bool = False,
    expires: str | None = None,
    common: Common = Common(),
) -> None:
    """Make a key with which a client registers an ACME account. It is shown once.

    Whoever makes it stands in the line of all that the account asks for, and never approves that.

    Args:
        label: What it is for.
        profile: Good for this profile only.
        names: Good for these names only: host.example, *.example (all below), 10.0.0.0/8; may be repeated.
        reusable: Good for more than one account.
        expires: After how long it ends: 7d, 12h.
    """
    life = span(expires)
    if len(label) > 100 or not label.isprintable():
        raise Failed(Exit.USAGE, "a label has at most 100 printable characters")
    key = secrets.token_bytes(_KEY_OCTETS)

    async def work(tx: Transaction, by: Principal) -> ExternalAccountKey:
        kid = new_id(session.now)
        return await external_keys.create(
            tx,
            kid,
            Sealer(master_secret(session.settings)).seal(key, external_keys.purpose(kid)),
            name=label,
            profile=None if profile is None else ProfileName(profile),
            patterns=names,
            reusable=reusable,
            expires_at=None if life is None else after(session.now, life),
            by=by.id,
            now=session.now,
            cache=session.cache,
        )

    async with open_session(common) as session:
        made = await session.do(Action.MANAGE_ACCOUNTS, work)
        path = "/acme/directory" if profile in (None, "default") else f"/acme/{profile}/directory"
        directory = session.settings.external_url + path
        root = session.settings.directory / "root.pem"
    # Unpadded base64url: what clients take without asking (RFC 8555 section 7.3.4).
    written = base64.urlsafe_b64encode(key).rstrip(b"=").decode()
    document = {
        "kid": made.kid,
        "hmac_key": written,
        "algorithm": "HS256",
        "directory": directory,
        "expires": moment(made.expires_at),
    }
    lines = [
        f"made the external account key {made.kid}, shown once:",
        f"  key id    {made.kid}",
        f"  HMAC key  {written}",
        "",
        "with certbot:",
        f"  REQUESTS_CA_BUNDLE={root} certbot register --server {directory} \\",
        f"    --eab-kid {made.kid} --eab-hmac-key {written}",
        "with lego:",
        f"  LEGO_CA_CERTIFICATES={root} lego --server {directory} --eab --kid {made.kid} --hmac {written} ...",
    ]
    say(document, as_json=common.json, text="\n".join(lines))


@eab.command(name="list", help_epilogue=examples("account eab list"))
async def list_keys(*, common: Common = Common()) -> None:
    """List external account keys."""
    async with open_session(common) as session:
        found = await session.look(acme_accounts.external_keys)
        rows = [_row(one, session.now) for one in found]
    columns = {
        "kid": "KEY ID",
        "label": "LABEL",
        "profile": "PROFILE",
        "names": "NAMES",
        "reusable": "REUSABLE",
        "expires": "EXPIRES",
        "status": "STATUS",
    }
    table(rows, columns, as_json=common.json, empty="there are no external account keys")


@eab.command(name="revoke", help_epilogue=examples("account eab revoke 1a210591513417ff67596272"))
async def revoke_key(kid: str, /, *, common: Common = Common()) -> None:
    """End an external account key: the accounts that it vouched for get nothing more.

    Args:
        kid: Its id.
    """
    async with open_session(common) as session:
        await session.do(
            Action.MANAGE_ACCOUNTS, lambda tx, by: external_keys.revoke(tx, kid, by.id, session.now)
        )
    say({"kid": kid, "revoked": True}, as_json=common.json, text=f"revoked {kid}")


def _row(one: ExternalAccountKey, now: Millis) -> dict[str, Any]:
    if one.revoked_at is not None:
        status = "revoked"
    elif one.expires_at is not None and one.expires_at <= now:
        status = "expired"
    else:
        status = "used" if one.used_at is not None else "unused"
    return {
        "kid": one.kid,
        "label": one.name,
        "profile": one.profile,
        "names": json.loads(one.name_patterns),
        "reusable": one.reusable,
        "created": moment(one.created_at),
        "expires": moment(one.expires_at),
        "status": status,
    }
