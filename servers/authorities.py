"""The issuing authorities that the database knows, as `ca` needs them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from ca.certificate import Issuer
from ca.keys.file import FileKey, open_key
from servers.settings import Settings
from store import issuers
from store.database import Database
from store.records import IssuerRecord


class NoAuthority(Exception):
    """The database knows no issuer."""


@dataclass(frozen=True, slots=True)
class LoadedAuthority:
    """An issuer with what it publishes, and where its key lies."""

    issuer: Issuer
    root: x509.Certificate
    key_file: Path


async def load_authorities(database: Database, settings: Settings) -> list[LoadedAuthority]:
    """All of them, by name. Raises NoAuthority."""
    records = await database.read(issuers.every)
    if not records:
        raise NoAuthority(f"there is no CA in {settings.directory}: make one with certctl init --data DIR")
    return [load_authority(record, settings) for record in records]


def open_keys(authorities: Iterable[LoadedAuthority], passphrase: bytes) -> list[tuple[Issuer, FileKey]]:
    """Each issuer with its key. Raises KeyRefused, which names the file."""
    return [(one.issuer, open_key(one.key_file, passphrase)) for one in authorities]


def load_authority(record: IssuerRecord, settings: Settings) -> LoadedAuthority:
    """What the row and the settings say about one issuer."""
    certificate = x509.load_der_x509_certificate(record.certificate)
    chain = x509.load_pem_x509_certificates(record.chain.encode())
    below_root = tuple(chain[:-1]) or (
        certificate,
    )  # a root that issues by itself is sent along all the same
    base = settings.external_http_url
    issuer = Issuer(
        name=record.name,
        certificate=certificate,
        chain=below_root,
        ocsp_url=f"{base}/ocsp/{record.name}",
        ca_issuers_url=f"{base}/ca/{record.name}.cer",
        crl_url=f"{base}/crl/{record.name}.crl",
    )
    return LoadedAuthority(issuer, chain[-1], settings.path(Path(record.key_file)))
