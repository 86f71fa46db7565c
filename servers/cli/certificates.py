"""`certctl certificate`: what was issued."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cyclopts import App, Parameter

from policy import revocation
from policy.access import Action
from policy.revocation import NoSuchCertificate, ReasonCode
from servers.authorities import load_authority
from servers.cli.options import Common, Exit, Failed, examples
from servers.cli.output import say, table
from servers.cli.session import open_session
from servers.cli.words import moment, most, serial
from store import certificates, issuers
from store.clock import Millis
from store.database import Transaction
from store.records import Certificate, IssuerRecord, Principal

app = App(name="certificate", help="What was issued.")
REASONS = {
    "unspecified": ReasonCode.UNSPECIFIED,
    "key-compromise": ReasonCode.KEY_COMPROMISE,
    "affiliation-changed": ReasonCode.AFFILIATION_CHANGED,
    "superseded": ReasonCode.SUPERSEDED,
    "cessation-of-operation": ReasonCode.CESSATION_OF_OPERATION,
    "privilege-withdrawn": ReasonCode.PRIVILEGE_WITHDRAWN,
}
Reason = Literal[
    "unspecified",
    "key-compromise",
    "affiliation-changed",
    "superseded",
    "cessation-of-operation",
    "privilege-withdrawn",
]


@app.command(name="list", help_epilogue=examples("certificate list --name www.example.com"))
async def list_(*, name: str | None = None, limit: int = 100, common: Common = Common()) -> None:
    """List the newest certificates.

    Args:
        name: Only those for this name.
        limit: At most so many.
    """
    number = most(limit)

    async def work(tx: Transaction) -> list[Certificate]:
        if name is None:
            return await certificates.latest(tx, number)
        return await certificates.with_name(tx, name.lower(), number)

    async with open_session(common) as session:
        found = await session.look(work)
        rows = [_row(one, session.now) for one in found]
    columns = {
        "serial": "SERIAL",
        "names": "NAMES",
        "profile": "PROFILE",
        "not_after": "ENDS",
        "status": "STATUS",
    }
    table(rows, columns, as_json=common.json, empty="no certificate was issued")


@app.command(help_epilogue=examples("certificate show 5d407444e5fbb219f851aece2c9eaa21"))
async def show(serial_number: str, /, *, common: Common = Common()) -> None:
    """Show a certificate, and how it came about.

    Args:
        serial_number: In hex, as `certctl certificate list` shows it.
    """
    async with open_session(common) as session:
        found = await session.look(lambda tx: _find(tx, serial_number))
        document = _row(found, session.now) | {
            "issuer": found.issuer,
            "subject": x509.load_der_x509_certificate(found.der).subject.rfc4514_string() or None,
            "not_before": moment(found.not_before),
            "issued": moment(found.issued_at),
            "job": found.job_id,
            "approval": found.approval_id,
            "account": found.account_id,
            "principal": found.principal_id,
            "sha256": found.sha256,
            "key_sha256": found.spki_sha256,
            "revoked": moment(found.revoked_at),
            "revocation_reason": found.revocation_reason,
            "revoked_by": found.revoked_by,
        }
    text = "\n".join(f"{key:<18} {_shown(value)}" for key, value in document.items() if value is not None)
    say(document, as_json=common.json, text=text)


@app.command(help_epilogue=examples("certificate revoke 5f0c... --reason key-compromise"))
async def revoke(serial_number: str, /, *, reason: Reason = "unspecified", common: Common = Common()) -> None:
    """Revoke a certificate, for good. With key-compromise nothing is ever issued for its key again.

    Args:
        serial_number: In hex.
        reason: Why (RFC 5280 section 5.3.1).
    """

    async def work(tx: Transaction, by: Principal) -> Certificate:
        found = await _find(tx, serial_number)
        await revocation.revoke(tx, found.issuer, found.serial, REASONS[reason], by.id, session.now)
        return await _find(tx, serial_number)

    async with open_session(common) as session:
        revoked = await session.do(Action.REVOKE, work)
    document = {
        "serial": revoked.serial,
        "issuer": revoked.issuer,
        "reason": reason,
        "revoked": moment(revoked.revoked_at),
    }
    say(document, as_json=common.json, text=f"revoked {revoked.serial} ({reason})")


@app.command(help_epilogue=examples("certificate export 5f0c... --chain > fullchain.pem"))
async def export(
    serial_number: str,
    /,
    *,
    chain: bool = False,
    der: bool = False,
    out: Annotated[Path | None, Parameter(name=("--out", "-o"))] = None,
    common: Common = Common(),
) -> None:
    """Write a certificate.

    Args:
        serial_number: In hex.
        chain: With the issuing certificates after it.
        der: In DER; PEM otherwise.
        out: Into this file; standard output otherwise.
    """
    if chain and der:
        raise Failed(Exit.USAGE, "a chain is written in PEM only")

    async def work(tx: Transaction) -> tuple[Certificate, IssuerRecord]:
        found = await _find(tx, serial_number)
        issuer = await issuers.get(tx, found.issuer)
        assert issuer is not None
        return found, issuer

    async with open_session(common) as session:
        found, record = await session.look(work)
        issuer = load_authority(record, session.settings).issuer
    content = found.der if der else x509.load_der_x509_certificate(found.der).public_bytes(Encoding.PEM)
    content += issuer.chain_pem if chain else b""
    if out is not None:
        try:
            out.write_bytes(content)
        except OSError as error:
            raise Failed(Exit.CONFIGURATION, f"cannot write {out}: {error.strerror}") from None
        say({"serial": found.serial, "file": str(out)}, as_json=common.json, text=str(out))
    elif common.json:
        say(
            {"serial": found.serial, "certificate": content.hex() if der else content.decode()},
            as_json=True,
            text="",
        )
    else:
        sys.stdout.buffer.write(content)


async def _find(tx: Transaction, text: str) -> Certificate:
    wanted = serial(text)
    for issuer in await issuers.every(tx):
        found = await certificates.get(tx, issuer.name, wanted)
        if found is not None:
            return found
    raise NoSuchCertificate(f"no certificate with serial {wanted} was issued here")


def _row(one: Certificate, now: Millis) -> dict[str, Any]:
    parsed = x509.load_der_x509_certificate(one.der)
    try:
        alternative = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [str(name.value) for name in alternative]
    except x509.ExtensionNotFound:
        found = []
    status = "revoked" if one.revoked_at is not None else "expired" if one.not_after < now else "valid"
    return {
        "serial": one.serial,
        "names": found,
        "profile": f"{one.profile}/{one.profile_version}",
        "not_after": moment(one.not_after),
        "status": status,
    }


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
