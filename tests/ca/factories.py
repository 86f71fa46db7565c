"""Keys, authorities, contents and requests for the tests of ca. Keys are made once a process: RSA keys are slow."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca import der
from ca.certificate import CertificateContent, Issuer
from ca.hierarchy import Locations, create_issuing, create_root
from ca.keys import KeyAlgorithm, PrivateKey, subject_public_key_info
from ca.keys.file import FileKey, generate
from ca.names import Identifier, parse_identifier

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NO_NAME = b"\x30\x00"

OCSP_URL = "http://127.0.0.1:8080/ocsp/main"
CA_ISSUERS_URL = "http://127.0.0.1:8080/ca/main.cer"
CRL_URL = "http://127.0.0.1:8080/crl/main.crl"


@dataclass(frozen=True)
class Claim:
    """Stands for the store's claimed job."""

    job_id: str = "job-1"


@dataclass(frozen=True)
class Authority:
    root: x509.Certificate
    root_key: FileKey
    certificate: x509.Certificate
    key: FileKey
    issuer: Issuer


def key(algorithm: KeyAlgorithm = KeyAlgorithm.P256, which: str = "") -> FileKey:
    """The same key for the same arguments; `which` tells several of one kind apart."""
    return _key(algorithm, which)


@lru_cache(maxsize=64)
def _key(algorithm: KeyAlgorithm, which: str) -> FileKey:
    del which
    return generate(algorithm, 2048 if algorithm is KeyAlgorithm.RSA else None)


def private(algorithm: KeyAlgorithm = KeyAlgorithm.P256, which: str = "") -> PrivateKey:
    return key(algorithm, which)._private_key


def spki(algorithm: KeyAlgorithm = KeyAlgorithm.P256, which: str = "subscriber") -> bytes:
    return subject_public_key_info(key(algorithm, which).public_key)


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def hash_of(algorithm: KeyAlgorithm) -> Any:
    """What cryptography's builders want to be told for a key of this kind."""
    return {
        KeyAlgorithm.RSA: hashes.SHA256(),
        KeyAlgorithm.P256: hashes.SHA256(),
        KeyAlgorithm.P384: hashes.SHA384(),
        KeyAlgorithm.P521: hashes.SHA512(),
    }.get(algorithm)


def make_authority(algorithm: KeyAlgorithm = KeyAlgorithm.P256, **changes: Any) -> Authority:
    """A root and an issuing authority of one algorithm; `changes` go to create_issuing."""
    root_key, issuing_key = key(algorithm, "root"), key(algorithm, "issuing")
    root = create_root(
        root_key, subject=common_name("Test root"), not_before=NOW - 30 * DAY, not_after=NOW + 3650 * DAY
    )
    arguments: dict[str, Any] = {
        "public_key": issuing_key.public_key,
        "subject": common_name("Test issuing authority"),
        "not_before": NOW - 30 * DAY,
        "not_after": NOW + 1825 * DAY,
        "root_locations": Locations(
            ca_issuers_url="http://127.0.0.1:8080/ca/root.cer", crl_url="http://127.0.0.1:8080/crl/root.crl"
        ),
    }
    certificate = create_issuing(root, root_key, **{**arguments, **changes})
    return Authority(root, root_key, certificate, issuing_key, make_issuer(certificate))


def make_issuer(certificate: x509.Certificate, **changes: Any) -> Issuer:
    arguments: dict[str, Any] = {
        "name": "main",
        "certificate": certificate,
        "chain": (certificate,),
        "ocsp_url": OCSP_URL,
        "ca_issuers_url": CA_ISSUERS_URL,
        "crl_url": CRL_URL,
    }
    return Issuer(**{**arguments, **changes})


def authority(algorithm: KeyAlgorithm = KeyAlgorithm.P256) -> Authority:
    """The same authority for the same algorithm."""
    return _authority(algorithm)


_authority = lru_cache(maxsize=16)(make_authority)


def dns(*names: str) -> tuple[Identifier, ...]:
    return tuple(parse_identifier("dns", name) for name in names)


def content(**changes: Any) -> CertificateContent:
    """What an ordinary TLS server's certificate says, with these fields changed."""
    ordinary = CertificateContent(
        serial=1 << 126 | 4711,
        not_before=NOW - timedelta(hours=1),
        not_after=NOW + 90 * DAY,
        subject=NO_NAME,
        spki=spki(),
        identifiers=dns("a.example.com", "*.b.example.com"),
        key_usage=("digitalSignature",),
        extended_key_usage=("serverAuth",),
    )
    return replace(ordinary, **changes)


def make_request(
    *names: str,
    algorithm: KeyAlgorithm = KeyAlgorithm.P256,
    subject: x509.Name | None = None,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> bytes:
    """A request in DER as an ordinary client makes it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject or x509.Name([]))
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False
        )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signed = builder.sign(private(algorithm, "subscriber"), hash_of(algorithm))
    return signed.public_bytes(Encoding.DER)


# --- requests with any octets inside, and yet a valid signature ---

EXTENSION_REQUEST = der.oid("1.2.840.113549.1.9.14")
ECDSA_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))


def raw_request(
    subject: bytes = NO_NAME,
    attributes: bytes = b"",
    *,
    spki_der: bytes | None = None,
    signing_key: Any = None,
    algorithm: bytes = ECDSA_SHA256,
    digest: hashes.HashAlgorithm | None = None,
) -> bytes:
    """A request signed by a P-256 key over whatever octets are put into it."""
    signing_key = signing_key or private(KeyAlgorithm.P256, "subscriber")
    info = der.sequence(der.integer(0), subject, spki_der or spki(), der.tlv(0xA0, attributes))
    signature = signing_key.sign(info, ec.ECDSA(digest or hashes.SHA256()))
    return der.sequence(info, algorithm, der.bit_string(signature))


def raw_extension_request(*extensions: bytes) -> bytes:
    return der.sequence(EXTENSION_REQUEST, der.tlv(0x31, der.sequence(*extensions)))


def raw_extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    return der.extension(der.oid(dotted), value, critical=critical)


def raw_san(*names: bytes) -> bytes:
    return raw_extension_request(raw_extension("2.5.29.17", der.sequence(*names)))


def raw_name(tag: int, text: bytes, dotted: str = "2.5.4.3") -> bytes:
    """A subject of one attribute, with this string type and these octets."""
    return der.sequence(der.tlv(0x31, der.sequence(der.oid(dotted), der.tlv(tag, text))))
