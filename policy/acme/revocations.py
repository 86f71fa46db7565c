"""Who may revoke over ACME (RFC 8555 section 7.6)."""

from hashlib import sha256

from ca.names import Identifier
from policy import revocation
from policy.acme import accounts
from policy.acme.refusals import NotAllowed
from policy.enrollment import identifiers_from
from policy.revocation import ReasonCode
from store import acme_authorizations, certificates, requests
from store.clock import Millis
from store.database import Transaction
from store.ids import AccountId, PrincipalId
from store.records import Account, Certificate


async def revoke(tx: Transaction, der: bytes, account: Account | None, reason: int, now: Millis) -> None:
    """Revoke the certificate `der` for `account`, or, with None, for whoever proved to hold its key.

    Raises AccountEnded, NotAllowed and what `policy.revocation.revoke` raises.
    """
    certificate = await certificates.with_digest(tx, sha256(der).hexdigest())
    if certificate is None:
        raise revocation.NoSuchCertificate("this certificate was not issued here")
    by = certificate.principal_id
    if account is not None:
        await accounts.confirm(tx, account)
        if certificate.account_id != account.id:
            if not await _holds_all(tx, account, certificate, now):
                raise NotAllowed(
                    "this account neither ordered the certificate nor holds all of its names today"
                )
            if reason == ReasonCode.KEY_COMPROMISE:
                # It would block for good a key that somebody else holds, perhaps for other names too.
                raise revocation.BadReason(
                    "that a key is compromised is said by its holder, or by the account that ordered the "
                    "certificate; use another reason, such as 4 (superseded) or 5 (cessationOfOperation)"
                )
        by = PrincipalId(account.principal_id)
    await revocation.revoke(tx, certificate.issuer, certificate.serial, reason, by, now)


async def _holds_all(tx: Transaction, account: Account, certificate: Certificate, now: Millis) -> bool:
    request = await requests.get(tx, certificate.request_id)
    for name in identifiers_from(request.identifiers):
        if not await _holds(tx, account, name, now):
            return False
    return True


async def _holds(tx: Transaction, account: Account, name: Identifier, now: Millis) -> bool:
    wildcard = name.value.startswith("*.")
    held = await acme_authorizations.holds(
        tx, AccountId(account.id), name.type.value, name.value.removeprefix("*."), now
    )
    return wildcard in held
