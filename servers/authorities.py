"""The issuing authorities that the database knows, as `ca` needs them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.certificate import Issuer
from ca.keys.file import FileKey, open_key
from servers.settings import Settings
from store import issuers
from store.database import Database
from store.ids import IssuerName
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


class Chains:
    """What follows a certificate of each issuer in its chain, as PEM text (RFC 8555 section 9.1)."""

    def __init__(self, database: Database, authorities: Iterable[LoadedAuthority] = ()) -> None:
        self._database = database
        self._known = {one.issuer.name: one.issuer.chain_pem for one in authorities}

    async def of(self, name: str) -> bytes:
        """The chain below the root. An issuer that was added since the start is looked up when it is asked for."""
        known = self._known.get(name)
        if known is None:
            record = await self._database.read(lambda tx: issuers.get(tx, IssuerName(name)))
            assert record is not None  # every certificate refers to its issuer's row
            below_root, _ = _split(record)
            known = b"".join(link.public_bytes(Encoding.PEM) for link in below_root)
            self._known[name] = known
        return known


def load_authority(record: IssuerRecord, settings: Settings) -> LoadedAuthority:
    """What the row and the settings say about one issuer."""
    certificate = x509.load_der_x509_certificate(record.certificate)
    below_root, root = _split(record)
    base = settings.external_http_url
    issuer = Issuer(
        name=record.name,
        certificate=certificate,
        chain=below_root,
        ocsp_url=f"{base}/ocsp/{record.name}",
        ca_issuers_url=f"{base}/ca/{record.name}.cer",
        crl_url=f"{base}/crl/{record.name}.crl",
    )
    return LoadedAuthority(issuer, root, settings.path(Path(record.key_file)))


def _split(record: IssuerRecord) -> tuple[tuple[x509.Certificate, ...], x509.Certificate]:
    """What subscribers send along, and the root above it. A root that issues by itself is sent along all the same."""
    *below, root = x509.load_pem_x509_certificates(record.chain.encode())
    return tuple(below) or (root,), root
