"""Root and issuing authority: made once at an offline ceremony, or imported after a thorough look (RFC 5280 4.2, 6.1).

Nothing here reads a clock or a file; the caller brings the keys and the moments.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtensionOID

from ca import der, extensions, oids
from ca.certificate import VERSION_3, key_identifier, random_serial, subject_bytes
from ca.keys import KeyHandle, PublicKey, describe, subject_public_key_info, verifier
from ca.weak_keys import check_key

MAX_CHAIN: Final = 8


class HierarchyRefused(ValueError):
    """The authority cannot be made or used; `reasons` are all that was found, in words for its operator."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons: Final = reasons


class ImportedAuthority(NamedTuple):
    """A checked authority: `chain` is what subscribers send along (issuing certificate first, no root)."""

    chain: tuple[x509.Certificate, ...]
    root: x509.Certificate


class Locations(NamedTuple):
    """Where relying parties find what an authority publishes, as URLs in the clear (RFC 5280 4.2.2.1, 4.2.1.13)."""

    ocsp_url: str | None = None
    ca_issuers_url: str | None = None
    crl_url: str | None = None


_NOWHERE: Final = Locations()


def create_root(
    key: KeyHandle,
    *,
    subject: x509.Name,
    not_before: datetime,
    not_after: datetime,
    path_length: int | None = 1,
) -> x509.Certificate:
    """A self-signed root for `key`. `path_length` bounds the authorities below it; None leaves them unbounded."""
    validity = _validity(not_before, not_after)
    public_key = key.public_key
    identifier = key_identifier(subject_public_key_info(public_key))
    return _signed(
        key,
        issuer=_encoded(subject),
        subject=_encoded(subject),
        public_key=public_key,
        validity=validity,
        encoded_extensions=_authority_extensions(path_length, identifier, authority_identifier=identifier),
    )


def create_issuing(
    root: x509.Certificate,
    root_key: KeyHandle,
    *,
    public_key: PublicKey,
    subject: x509.Name,
    not_before: datetime,
    not_after: datetime,
    path_length: int | None = 0,
    name_constraints: x509.NameConstraints | None = None,
    root_locations: Locations = _NOWHERE,
) -> x509.Certificate:
    """An authority for `public_key` under `root`, which signs with `root_key`.

    `root_locations` are the root's: where to ask about this certificate, fetch the root and the root's CRL.
    HierarchyRefused when the root may not issue it, or does not live as long.
    """
    validity = _validity(not_before, not_after)
    reasons = _authority_faults(root, "the root", below=1, issuing=True)
    if subject_public_key_info(root_key.public_key) != _spki(root):
        reasons.append("the key does not belong to the root certificate")
    if not_after > root.not_valid_after_utc:
        reasons.append(
            f"the authority would outlive the root, which ends on {root.not_valid_after_utc:%Y-%m-%d}"
        )
    if subject == root.subject:
        reasons.append("root and issuing authority need different names")
    if reasons:
        raise HierarchyRefused(*reasons)
    encoded = _authority_extensions(
        path_length,
        key_identifier(subject_public_key_info(public_key)),
        authority_identifier=root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest,
        name_constraints=name_constraints,
        locations=root_locations,
    )
    return _signed(
        root_key,
        issuer=subject_bytes(root),
        subject=_encoded(subject),
        public_key=public_key,
        validity=validity,
        encoded_extensions=encoded,
    )


def check_import(key: KeyHandle, chain: Sequence[x509.Certificate], *, at: datetime) -> ImportedAuthority:
    """An existing issuing authority, fit to issue at the moment `at`.

    `chain` begins with the issuing certificate and ends with its self-signed root, each signed by the next. A root
    that issues by itself is a chain of one. HierarchyRefused with every fault there is.
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise HierarchyRefused(
            f"a chain has 1 to {MAX_CHAIN} certificates, the issuing one first and the root last"
        )
    reasons = _issuing_faults(key, chain[0])
    for depth, certificate in enumerate(chain):
        label = _label(certificate)
        reasons += _authority_faults(certificate, label, below=depth, issuing=depth == 0)
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            reasons.append(f"{label} is not valid at {at:%Y-%m-%d %H:%M} UTC")
    links = list(zip(chain, [*chain[1:], chain[-1]], strict=True))
    for certificate, issuer in links:
        reasons += _link_faults(certificate, issuer)
    if reasons:
        raise HierarchyRefused(*dict.fromkeys(reasons))
    return ImportedAuthority(tuple(chain[:-1]) or tuple(chain), chain[-1])


# --- checks ---


def _issuing_faults(key: KeyHandle, certificate: x509.Certificate) -> list[str]:
    label = _label(certificate)
    try:
        public_key = certificate.public_key()
        describe(public_key)
    except (ValueError, UnsupportedAlgorithm) as unsupported:
        return [f"{label}: {unsupported}"]
    faults = [f"{label}: {reason}" for reason in check_key(public_key)]
    if subject_public_key_info(key.public_key) != _spki(certificate):
        faults.append("the key does not belong to the first certificate of the chain")
    return faults


def _authority_faults(certificate: x509.Certificate, label: str, *, below: int, issuing: bool) -> list[str]:
    """Why `certificate` may not have `below` further authorities under it and a subscriber under those.

    What certctl itself will use (`issuing`) has to be whole; of what stands above it no more is asked than relying
    parties do: many an old root has no key usage.
    """
    try:
        stated = certificate.extensions
    except (ValueError, x509.DuplicateExtension) as unreadable:
        return [f"{label} has unreadable extensions: {unreadable}"]
    found = {extension.oid: extension.value for extension in stated}
    faults = []
    constraints = found.get(ExtensionOID.BASIC_CONSTRAINTS)
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        faults.append(f"{label} is not a certificate authority (basicConstraints)")
    elif constraints.path_length is not None and constraints.path_length < below:
        faults.append(f"{label} allows {constraints.path_length} authorities below it, and there are {below}")
    usage = found.get(ExtensionOID.KEY_USAGE)
    if isinstance(usage, x509.KeyUsage):
        if not usage.key_cert_sign:
            faults.append(f"{label} may not sign certificates (keyUsage without keyCertSign)")
        if issuing and not usage.crl_sign:
            faults.append(f"{label} may not sign CRLs (keyUsage without cRLSign)")
    elif issuing:
        faults.append(f"{label} has no key usage (RFC 5280 4.2.1.3)")
    if issuing and ExtensionOID.SUBJECT_KEY_IDENTIFIER not in found:
        faults.append(f"{label} has no subject key identifier (RFC 5280 4.2.1.2)")
    return faults


def _link_faults(certificate: x509.Certificate, issuer: x509.Certificate) -> list[str]:
    """Why `certificate` is not issued by `issuer`, which for a root is itself.

    A root is trusted because it was handed over as such, so an old hash in its signature on itself breaks nothing;
    below it, a hash that can be collided lets anybody make authorities.
    """
    root = certificate is issuer
    collidable = _has_collidable_hash(certificate)
    if collidable and not root:
        return [f"{_label(certificate)} is signed with a hash that can be collided"]
    if collidable and certificate.issuer == certificate.subject:
        return []
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return [f"{_label(certificate)} is not signed by {_label(issuer)}"]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if root:
            return [f"the chain ends with {_label(certificate)}, which is not a self-signed root"]
        return [f"{_label(certificate)} was not issued by {_label(issuer)}, which follows it"]
    return []


def _has_collidable_hash(certificate: x509.Certificate) -> bool:
    try:
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return False  # the signature will not verify either
    return digest is not None and digest.name in ("md5", "sha1")


def _label(certificate: x509.Certificate) -> str:
    return f"the certificate {certificate.subject.rfc4514_string()[:120]!a}"


# --- encoding ---


def _encoded(name: x509.Name) -> bytes:
    if not list(name):
        raise HierarchyRefused("an authority needs a name")
    return name.public_bytes()


def _validity(not_before: datetime, not_after: datetime) -> bytes:
    try:
        encoded = der.sequence(der.time(not_before), der.time(not_after))
    except ValueError as fault:
        raise HierarchyRefused(str(fault)) from None
    if not_before >= not_after:
        raise HierarchyRefused("the authority would end before it begins")
    return encoded


def _spki(certificate: x509.Certificate) -> bytes:
    return subject_public_key_info(certificate.public_key())  # type: ignore[arg-type]  # any public key encodes


def _authority_extensions(
    path_length: int | None,
    identifier: bytes,
    *,
    authority_identifier: bytes,
    name_constraints: x509.NameConstraints | None = None,
    locations: Locations = _NOWHERE,
) -> bytes:
    encoded = (
        extensions.key_usage(("keyCertSign", "cRLSign"))
        + extensions.authority(path_length)
        + extensions.subject_key_identifier(identifier)
        + extensions.authority_key_identifier(authority_identifier)
    )
    if name_constraints is not None:  # critical: RFC 5280 4.2.1.10
        encoded += der.extension(
            oids.encoded(oids.NAME_CONSTRAINTS), name_constraints.public_bytes(), critical=True
        )
    return (
        encoded
        + extensions.authority_information_access(
            ocsp_url=locations.ocsp_url, ca_issuers_url=locations.ca_issuers_url
        )
        + extensions.crl_distribution_point(locations.crl_url)
    )


def _signed(
    key: KeyHandle,
    *,
    issuer: bytes,
    subject: bytes,
    public_key: PublicKey,
    validity: bytes,
    encoded_extensions: bytes,
) -> x509.Certificate:
    """Sign an authority's certificate, and look at it once as a relying party would."""
    tbs = der.sequence(
        VERSION_3,
        der.integer(random_serial()),
        key.signature_algorithm,
        issuer,
        validity,
        subject,
        subject_public_key_info(public_key),
        der.tlv(0xA3, der.tlv(0x30, encoded_extensions)),
    )
    signature = key.sign(tbs)
    verifier(key.public_key)(signature, tbs)
    return x509.load_der_x509_certificate(
        der.sequence(tbs, key.signature_algorithm, der.bit_string(signature))
    )
