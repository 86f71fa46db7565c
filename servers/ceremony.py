"""The ceremony: root and issuing authority made for a new data directory, or an existing authority taken in.

The only module of a running certctl that sees `ca.hierarchy`. It signs twice in the life of a directory, before there
is anything to claim; everything after that is a job.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from ca import hierarchy
from ca.hierarchy import HierarchyRefused
from ca.keys import KeyAlgorithm
from ca.keys.file import FileKey, KeyRefused, generate, open_key
from ca.names import parse_identifier
from servers.files import read_private

KEY_ALGORITHMS: Final = ("p256", "p384", "p521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096")
ROOT_KEY: Final = "root.key"
ROOT_CERTIFICATE: Final = "root.pem"
ISSUING_KEY: Final = "issuing.key"
_BACKDATE: Final = timedelta(
    hours=2
)  # more than any profile's, so that no certificate is older than its issuer


class CeremonyRefused(ValueError):
    """The authority cannot be made or taken in; `problems` are all that was found."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems: Final = problems


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the issuing authority may issue for (RFC 5280 section 4.2.1.10); DNS suffixes and networks."""

    permitted_dns: tuple[str, ...] = ()
    permitted_ip: tuple[str, ...] = ()
    excluded_dns: tuple[str, ...] = ()
    excluded_ip: tuple[str, ...] = ()

    def extension(self) -> x509.NameConstraints | None:
        """The extension, None if nothing is constrained. Raises CeremonyRefused."""
        permitted = _subtrees(self.permitted_dns, self.permitted_ip)
        excluded = _subtrees(self.excluded_dns, self.excluded_ip)
        return x509.NameConstraints(permitted or None, excluded or None) if permitted or excluded else None


@dataclass(frozen=True, slots=True)
class Plan:
    """How the two authorities are to be made."""

    key_algorithm: str = "p256"
    organization: str | None = None
    root_name: str = "certctl Root CA"
    issuing_name: str = "certctl Issuing CA"
    root_days: int = 7305
    issuing_days: int = 3652
    constraints: Constraints = field(default_factory=Constraints)


@dataclass(frozen=True, slots=True)
class Import:
    """An issuing authority that exists already: files with its chain and its encrypted or plain PKCS#8 key."""

    chain: Path
    key: Path
    passphrase_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Authority:
    """What came of it. `chain` is the issuing certificate first, the root last. `root_key` is None after an import."""

    key: FileKey
    chain: tuple[x509.Certificate, ...]
    root_key: FileKey | None

    @property
    def root(self) -> x509.Certificate:
        """What clients trust."""
        return self.chain[-1]


def make(plan: Plan, ca_issuers_of_root: str, now: datetime) -> Authority:
    """New keys and certificates. `ca_issuers_of_root` is the URL at which the root will be found.

    Raises CeremonyRefused.
    """
    root_key, key = _generate(plan.key_algorithm), _generate(plan.key_algorithm)
    begin = now.replace(microsecond=0) - _BACKDATE
    try:
        root = hierarchy.create_root(
            root_key,
            subject=_name(plan.root_name, plan.organization),
            not_before=begin,
            not_after=begin + timedelta(days=plan.root_days),
        )
        issuing = hierarchy.create_issuing(
            root,
            root_key,
            public_key=key.public_key,
            subject=_name(plan.issuing_name, plan.organization),
            not_before=begin,
            not_after=begin + timedelta(days=plan.issuing_days),
            name_constraints=plan.constraints.extension(),
            root_locations=hierarchy.Locations(ca_issuers_url=ca_issuers_of_root),
        )
    except HierarchyRefused as refused:
        raise CeremonyRefused(*refused.reasons) from None
    except OverflowError:
        raise CeremonyRefused("the authority would live beyond the end of the calendar") from None
    return Authority(key, (issuing, root), root_key)


def take_in(source: Import, now: datetime) -> Authority:
    """An existing authority, after a thorough look. Raises CeremonyRefused, KeyRefused, FileRefused."""
    key = _imported_key(source)
    try:
        chain = x509.load_pem_x509_certificates(source.chain.read_bytes())
    except OSError as error:
        raise CeremonyRefused(f"cannot read {source.chain}: {error.strerror}") from None
    except ValueError:
        raise CeremonyRefused(f"{source.chain} holds no certificates in PEM") from None
    try:
        checked = hierarchy.check_import(key, chain, at=now)
    except HierarchyRefused as refused:
        raise CeremonyRefused(*refused.reasons) from None
    above = () if checked.chain[-1] == checked.root else (checked.root,)
    return Authority(key, (*checked.chain, *above), None)


def _imported_key(source: Import) -> FileKey:
    if source.passphrase_file is not None:
        passphrase = read_private(source.passphrase_file).rstrip(b"\r\n")
        return open_key(source.key, passphrase)
    text = read_private(source.key)
    try:
        return FileKey(load_pem_private_key(text, None))  # type: ignore[arg-type]  # FileKey refuses other kinds
    except TypeError:
        raise CeremonyRefused(
            f"{source.key} is encrypted: name its passphrase with --import-passphrase-file"
        ) from None
    except ValueError:
        raise CeremonyRefused(f"{source.key} holds no PKCS#8 private key in PEM") from None


def _generate(written: str) -> FileKey:
    if written not in KEY_ALGORITHMS:
        raise CeremonyRefused(f"no key algorithm {written!r}: one of {', '.join(KEY_ALGORITHMS)}")
    kind, _, bits = written.partition("-")
    try:
        return generate(KeyAlgorithm(kind), int(bits) if bits else None)
    except KeyRefused as refused:
        raise CeremonyRefused(str(refused)) from None


def _name(common_name: str, organization: str | None) -> x509.Name:
    parts: list[x509.NameAttribute[str]] = []
    try:
        if organization:
            parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    except ValueError as error:
        raise CeremonyRefused(f"the name {common_name!r}: {error}") from None
    return x509.Name(parts)


def _subtrees(dns: Sequence[str], networks: Sequence[str]) -> list[x509.GeneralName]:
    try:
        return [
            *(x509.DNSName(parse_identifier("dns", name.lstrip(".")).value) for name in dns),
            *(x509.IPAddress(ip_network(network)) for network in networks),
        ]
    except ValueError as error:
        raise CeremonyRefused(f"name constraints: {error}") from None
