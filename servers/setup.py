"""Making a data directory into a certification authority: once, and again from the start if it was interrupted.

    marker        DIR/.init-unfinished says that what follows may be thrown away
    secrets       passphrase, master secret
    keys          root.key, issuing.key, root.pem
    admin.token   written before its digest is known to anybody
    database      authority, principals, profiles and record, in one transaction: from here on there is a CA
    marker        removed

A directory with keys and no marker belongs to a CA whose database is lost or elsewhere: nothing is touched.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from policy import profile_changes
from policy.principals import SYSTEM
from policy.profile_cache import ProfileCache
from policy.profile_sections import DNSRules, IdentifierRules, IPRules
from policy.profile_values import read_network
from policy.profiles import DEFAULT, GATED, Profile
from servers import ceremony, secret_files
from servers.ceremony import Authority, Constraints, Import, Plan
from servers.files import make_private_directory, sync_directory, write_private
from servers.own_profile import own_profile
from servers.settings import Settings
from store import audit, issuers, principals
from store.audit import AuditEvent
from store.clock import Millis, to_datetime
from store.database import Database, Transaction
from store.ids import CredentialId, IssuerName, PrincipalId, ProfileName, new_id
from store.records import Credential, IssuerRecord, Principal, PrincipalKind

ISSUER: Final = IssuerName("issuing")
_MARKER: Final = ".init-unfinished"
_LOCK: Final = ".lock"
_KEYS: Final = (ceremony.ROOT_KEY, ceremony.ISSUING_KEY)
_LEFTOVERS: Final = (*_KEYS, ceremony.ROOT_CERTIFICATE, secret_files.ADMIN_FILE)


class AlreadyThere(Exception):
    """The directory has a CA. It is not touched."""


class SetupRefused(Exception):
    """The directory cannot become a CA; the message says what stands in the way."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new CA: what its operator has to be told. The token is shown once."""

    root_certificate: Path
    root_key: Path | None
    issuing_subject: str
    admin_token: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"Made({self.root_certificate})"


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Nobody else sets up the directory meanwhile: whoever comes second waits."""
    make_private_directory(directory)
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


async def has_authority(database: Database) -> bool:
    """Whether the database knows an issuer."""
    return bool(await database.read(issuers.every))


async def initialise(database: Database, settings: Settings, plan: Plan | Import, now: Millis) -> Made:
    """Make the CA. Call it inside `alone`.

    Raises AlreadyThere, SetupRefused, CeremonyRefused, KeyRefused, FileRefused; the directory can be used again.
    """
    directory = settings.directory
    if await has_authority(database):
        if not (directory / secret_files.MASTER_FILE).exists():
            raise AlreadyThere(
                "the database has a CA already: for another node of it, copy passphrase, secret.key, root.pem and, "
                f"if it is to sign, issuing.key of the first node to {directory}"
            )
        raise AlreadyThere(f"{directory} has a CA already")
    _clear(directory)
    write_private(directory / _MARKER, b"")
    passphrase = _prepare_secrets(settings)

    moment = to_datetime(now)
    if isinstance(plan, Plan):
        authority = ceremony.make(plan, f"{settings.external_http_url}/ca/root.cer", moment)
        constraints = plan.constraints
    else:
        authority = ceremony.take_in(plan, moment)
        constraints = Constraints()
    _write_authority(directory, authority, passphrase)
    token = secret_files.new_token()
    write_private(directory / secret_files.ADMIN_FILE, token.encode() + b"\n")

    await database.write(lambda tx: _record(tx, settings, authority, constraints, token, now))
    (directory / _MARKER).unlink()
    sync_directory(directory)
    return Made(
        root_certificate=directory / ceremony.ROOT_CERTIFICATE,
        root_key=directory / ceremony.ROOT_KEY if authority.root_key is not None else None,
        issuing_subject=authority.chain[0].subject.rfc4514_string(),
        admin_token=token,
    )


def _clear(directory: Path) -> None:
    """Throw away what an interrupted run left; refuse if keys are there that it did not leave."""
    if not (directory / _MARKER).exists():
        found = [name for name in _KEYS if (directory / name).exists()]
        if found:
            raise SetupRefused(
                f"{directory} holds {' and '.join(found)}, but its database knows no CA: restore the database, "
                "or choose another directory"
            )
        return
    for name in _LEFTOVERS:
        (directory / name).unlink(missing_ok=True)


def _prepare_secrets(settings: Settings) -> bytes:
    path = settings.path(settings.keys.passphrase_file)
    if settings.keys.passphrase is None and not path.exists():
        write_private(path, secret_files.new_passphrase())
    master = settings.directory / secret_files.MASTER_FILE
    if not master.exists():
        write_private(master, secret_files.new_master_secret())
    secret_files.master_secret(settings)  # refuses a damaged one now, not at the first request
    return secret_files.passphrase(settings)


def _write_authority(directory: Path, authority: Authority, passphrase: bytes) -> None:
    if authority.root_key is not None:
        authority.root_key.save(directory / ceremony.ROOT_KEY, passphrase)
    authority.key.save(directory / ceremony.ISSUING_KEY, passphrase)
    path = directory / ceremony.ROOT_CERTIFICATE
    write_private(path, authority.root.public_bytes(Encoding.PEM), mode=0o644)


async def _record(
    tx: Transaction,
    settings: Settings,
    authority: Authority,
    constraints: Constraints,
    token: str,
    now: Millis,
) -> None:
    """Everything that the database has to know, all of it or nothing."""
    system = Principal(SYSTEM, "system", PrincipalKind.MACHINE, now, None, None)
    admin = Principal(PrincipalId(new_id(now)), "admin", PrincipalKind.PERSON, now, None, None)
    await principals.insert(tx, system)
    await principals.insert(tx, admin, ("admin",))
    credential = Credential(
        CredentialId(new_id(now)), admin.id, token[: secret_files.SHOWN], now, None, None, None
    )
    await principals.insert_credential(tx, credential, token)
    certificate = authority.chain[0]
    await issuers.insert(
        tx,
        IssuerRecord(
            name=ISSUER,
            certificate=certificate.public_bytes(Encoding.DER),
            chain="".join(one.public_bytes(Encoding.PEM).decode() for one in authority.chain),
            key_file=ceremony.ISSUING_KEY,
            created_at=now,
        ),
    )
    for principal in (system, admin):
        await audit.append(tx, now, SYSTEM, AuditEvent.PRINCIPAL_CREATED, principal.id, name=principal.name)
    await audit.append(tx, now, SYSTEM, AuditEvent.ROLE_GRANTED, admin.id, role="admin")
    await audit.append(tx, now, SYSTEM, AuditEvent.CREDENTIAL_CREATED, credential.id, principal=admin.id)
    event = AuditEvent.CA_IMPORTED if authority.root_key is None else AuditEvent.CA_CREATED
    await audit.append(
        tx,
        now,
        admin.id,
        event,
        ISSUER,
        name=certificate.subject.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
    )
    cache = ProfileCache()
    for profile in (_within(DEFAULT, constraints), _within(GATED, constraints), own_profile(settings)):
        await profile_changes.propose(tx, ProfileName(profile.name), profile, admin.id, now, cache)


def _within(profile: Profile, constraints: Constraints) -> Profile:
    """`profile`, offering only what the issuing authority may issue for."""
    dns, ip = profile.identifiers.dns, profile.identifiers.ip
    if constraints.permitted_dns:
        suffixes = tuple(name.lstrip(".").lower() for name in constraints.permitted_dns)
        dns = DNSRules(suffixes=suffixes, wildcards=True)
    if constraints.permitted_ip:
        ip = IPRules(networks=tuple(read_network(network) for network in constraints.permitted_ip))
    identifiers = IdentifierRules(dns=dns, ip=ip)
    return profile.model_copy(update={"identifiers": identifiers})
