"""The scenarios: what a client is asked to do, and what has to be true afterwards."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from conformance.acme.client import Client, ClientFailed
from conformance.acme.judge import Issued, Wrong, judge


@dataclass(frozen=True)
class Result:
    """How one scenario went. `outcome` is "ok" or "failed"."""

    scenario: str
    outcome: str
    seconds: float
    detail: str = ""


def _names(client: Client, *labels: str) -> tuple[str, ...]:
    return tuple(f"{label}.{client.label}.test" for label in labels)


def http_01(client: Client) -> None:
    """Two names in one certificate."""
    client.register(client.stage.directory())
    judge(client.stage, client.obtain(_names(client, "a", "b"), "http-01"))


def dns_01(client: Client) -> None:
    """A name and all below it, in one order: two values stand at one name."""
    (base,) = _names(client, "wild")
    judge(client.stage, client.obtain((base, f"*.{base}"), "dns-01"))


def tls_alpn_01(client: Client) -> None:
    """RFC 8737."""
    judge(client.stage, client.obtain(_names(client, "alpn"), "tls-alpn-01"))


def ip(client: Client) -> None:
    """A certificate for an address (RFC 8738)."""
    judge(client.stage, client.obtain(("127.0.0.1",), "http-01"))


def renew(client: Client) -> None:
    """The certificate of http-01 once more: another serial."""
    names = _names(client, "a", "b")
    before = Issued(client.chain(names), names).serial
    after = client.renew(names)
    judge(client.stage, after)
    if after.serial == before:
        raise Wrong("it is the same certificate as before")


def revoke(client: Client) -> None:
    """By the account that got it."""
    names = _names(client, "a", "b")
    serial = Issued(client.chain(names), names).serial
    client.run(client.revoking(names))
    _expect_revoked(client, serial)


def revoke_by_key(client: Client) -> None:
    """By the certificate's own key; nothing is ever issued for it again."""
    names = _names(client, "lost")
    serial = client.obtain(names, "http-01").serial
    client.run(client.revoking_by_key(names))
    _expect_revoked(client, serial)


def eab(client: Client) -> None:
    """An account that somebody vouches for (RFC 8555 section 7.3.4)."""
    fresh = client.another("eab")
    issued = fresh.bind(_names(client, "eab"))
    judge(client.stage, issued)
    kid = client.stage.external_account_key().kid
    query = (
        "SELECT a.eab_kid FROM certificates c JOIN acme_accounts a ON a.id = c.account_id WHERE c.serial = ?"
    )
    if client.stage.rows(query, issued.serial) != [(kid,)]:
        raise Wrong("the account of the certificate is not bound to the external account key")


def update(client: Client) -> None:
    """Another contact."""
    mail = f"second@{client.label}.example"
    with client.listening("http-01"):  # one of them gets a certificate on the way
        client.run(client.updating(mail))
    query = "SELECT count(*) FROM acme_accounts WHERE contacts LIKE ?"
    if client.stage.rows(query, f"%{mail}%") != [(1,)]:
        raise Wrong(f"no account has the contact {mail}")


def rollover(client: Client) -> None:
    """Another account key (RFC 8555 section 7.3.5), with which the account goes on."""
    client.run(client.rolling_over())
    judge(client.stage, client.obtain(_names(client, "rolled"), "http-01"))


def deactivate(client: Client) -> None:
    """The end of the account."""
    query = "SELECT count(*) FROM acme_accounts WHERE status = 'deactivated'"
    before = client.stage.rows(query)[0][0]
    client.run(client.deactivating())
    if client.stage.rows(query)[0][0] != before + 1:
        raise Wrong("no account was deactivated")


SCENARIOS: Final[dict[str, Callable[[Client], None]]] = {
    "http-01": http_01,
    "dns-01": dns_01,
    "tls-alpn-01": tls_alpn_01,
    "ip": ip,
    "renew": renew,
    "revoke": revoke,
    "revoke-by-key": revoke_by_key,
    "eab": eab,
    "update": update,
    "rollover": rollover,
    "deactivate": deactivate,
}
"""In the order in which they are played: each may lean on those before."""


def able(client: type[Client]) -> list[str]:
    """The scenarios that a client can play."""
    return [name for name in SCENARIOS if name in client.challenges or name in client.can]


def play(client: Client, wanted: list[str] | None = None) -> Iterator[Result]:
    """Play what the client can, one after the other; whatever goes wrong is a result."""
    for name in able(type(client)):
        if wanted is not None and name not in wanted:
            continue
        began = time.monotonic()
        try:
            SCENARIOS[name](client)
        except (ClientFailed, Wrong, OSError, ValueError) as error:
            yield Result(name, "failed", time.monotonic() - began, f"{type(error).__name__}: {error}")
        else:
            yield Result(name, "ok", time.monotonic() - began)


def _expect_revoked(client: Client, serial: str) -> None:
    query = "SELECT count(*) FROM certificates WHERE serial = ? AND revoked_at IS NOT NULL"
    if client.stage.rows(query, serial) != [(1,)]:
        raise Wrong(f"certificate {serial} is not revoked")
