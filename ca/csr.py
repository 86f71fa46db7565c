"""Certification requests (PKCS #10, RFC 2986) from strangers: read strictly, or refused in words.

Two readers must agree: cryptography parses the outer shape and the key, the walk here takes it apart. What a
request asks for is reported whole, including what this authority never issues, so that policy can refuse it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ca import asn1, der, oids
from ca.distinguished_names import SubjectRefused, read_name
from ca.keys import KeyAlgorithm, KeyDescription, PublicKey, describe
from ca.names import (
    Identifier,
    NameRefused,
    parse_dns,
    parse_email,
    parse_ip_octets,
    parse_uri,
)
from ca.names import parse_ip as parse_ip_text

MAX_CSR: Final = 64 * 1024
MAX_NAMES: Final = 1000
MAX_RSA_BITS: Final = 8192
"""Larger keys cost more to verify than a stranger may ask for."""


class CsrRefused(ValueError):
    """The request is not one this authority reads; `reason` says why, in words for its sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What a request says. Its signature is verified; whether it may be granted is policy's to judge."""

    der: bytes = field(repr=False)  # may carry a challengePassword
    spki: bytes = field(repr=False)
    """DER SubjectPublicKeyInfo in canonical form: equal keys have equal bytes."""
    spki_sha256: bytes
    public_key: PublicKey
    key: KeyDescription
    subject: x509.Name
    """Re-encoded with the string types of RFC 5280; empty when the request has none."""
    common_name: str | None
    identifiers: frozenset[Identifier]
    """The subjectAltName, and the CN where it is a DNS name (single labels too) or an IP address."""
    san: frozenset[Identifier]
    """The subjectAltName alone."""
    other_names: tuple[str, ...]
    """Kinds of subjectAltName that are not issued here, as text: `otherName 1.3.6.1.4.1.311.20.2.3`."""
    extensions: frozenset[str]
    """Dotted OIDs of all extensions asked for."""
    key_usage: tuple[str, ...] | None
    extended_key_usage: tuple[str, ...] | None
    must_staple: bool
    basic_constraints_ca: bool


@dataclass(slots=True)
class _Asked:
    """What the extensionRequest attribute asked for."""

    san: frozenset[Identifier] = frozenset()
    other_names: tuple[str, ...] = ()
    extensions: frozenset[str] = frozenset()
    key_usage: tuple[str, ...] | None = None
    extended_key_usage: tuple[str, ...] | None = None
    must_staple: bool = False
    basic_constraints_ca: bool = False


def parse_csr(data: bytes) -> CertificateRequest:
    """The request in `data`: one DER CertificationRequest of at most 64 KiB, its signature verified.

    Raises CsrRefused for everything that is wrong with it, and nothing else.
    """
    if len(data) > MAX_CSR:
        raise CsrRefused(f"the request has more than {MAX_CSR} octets")
    try:
        return _parse(data)
    except asn1.Malformed as malformed:
        raise CsrRefused(f"the request is not strict DER: {malformed}") from None
    except (NameRefused, SubjectRefused) as refused:
        raise CsrRefused(str(refused)) from None


def _parse(data: bytes) -> CertificateRequest:
    loaded = _load(data)
    info, algorithm, signature = _three(data, asn1.only(data, asn1.SEQUENCE))
    parts = asn1.children(data, info)
    if len(parts) != 4:
        raise CsrRefused("the request does not have the four parts of RFC 2986 4.1")
    _version, name, spki_element, attributes = parts
    spki = asn1.whole(data, spki_element)
    public_key, key = _public_key(loaded, spki)
    signed = asn1.whole(data, info)
    if loaded.tbs_certrequest_bytes != signed:
        raise CsrRefused("the request can be read in two ways")
    _verify(
        loaded,
        public_key,
        asn1.whole(data, algorithm),
        asn1.content(data, signature, asn1.BIT_STRING),
        signed,
    )
    subject, common_name = read_name(data, name)
    asked = _attributes(data, attributes)
    named = _identifier_of(common_name)
    return CertificateRequest(
        der=data,
        spki=spki,
        spki_sha256=sha256(spki).digest(),
        public_key=public_key,
        key=key,
        subject=subject,
        common_name=common_name,
        identifiers=asked.san if named is None else asked.san | {named},
        san=asked.san,
        other_names=asked.other_names,
        extensions=asked.extensions,
        key_usage=asked.key_usage,
        extended_key_usage=asked.extended_key_usage,
        must_staple=asked.must_staple,
        basic_constraints_ca=asked.basic_constraints_ca,
    )


def _load(data: bytes) -> x509.CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(data)
    except Exception:  # noqa: BLE001 - whatever a parser of strangers' bytes raises, the request is refused
        raise CsrRefused("this is not a certification request in DER (RFC 2986)") from None


def _three(data: bytes, parent: asn1.Element) -> tuple[asn1.Element, asn1.Element, asn1.Element]:
    parts = asn1.children(data, parent)
    if len(parts) != 3:
        raise asn1.Malformed("a sequence of three was expected")
    return parts[0], parts[1], parts[2]


# --- the key ---


def _algorithm(dotted: str, *parameters: bytes) -> bytes:
    return der.sequence(der.oid(dotted), *parameters)


_SPKI_ALGORITHMS: Final[dict[bytes, KeyAlgorithm]] = {
    _algorithm("1.2.840.113549.1.1.1", der.NULL): KeyAlgorithm.RSA,
    _algorithm("1.2.840.10045.2.1", der.oid("1.2.840.10045.3.1.7")): KeyAlgorithm.P256,
    _algorithm("1.2.840.10045.2.1", der.oid("1.3.132.0.34")): KeyAlgorithm.P384,
    _algorithm("1.2.840.10045.2.1", der.oid("1.3.132.0.35")): KeyAlgorithm.P521,
    _algorithm("1.3.101.112"): KeyAlgorithm.ED25519,
    _algorithm("2.16.840.1.101.3.4.3.17"): KeyAlgorithm.ML_DSA_44,
    _algorithm("2.16.840.1.101.3.4.3.18"): KeyAlgorithm.ML_DSA_65,
    _algorithm("2.16.840.1.101.3.4.3.19"): KeyAlgorithm.ML_DSA_87,
}
_POINTS: Final = frozenset({KeyAlgorithm.P256, KeyAlgorithm.P384, KeyAlgorithm.P521})


def _public_key(loaded: x509.CertificateSigningRequest, spki: bytes) -> tuple[PublicKey, KeyDescription]:
    """The key; refused unless `spki` is its canonical encoding, because keys are compared by these bytes."""
    parts = asn1.children(spki, asn1.only(spki, asn1.SEQUENCE))
    if len(parts) != 2:
        raise asn1.Malformed("a public key of two parts was expected")
    expected = _SPKI_ALGORITHMS.get(asn1.whole(spki, parts[0]))
    if expected is None:
        raise CsrRefused("the kind of public key, or the way its parameters are written, is not supported")
    bits = asn1.content(spki, parts[1], asn1.BIT_STRING)
    if expected in _POINTS and bits[:2] != b"\x00\x04":
        raise CsrRefused("the public key is not an uncompressed point")
    try:
        public_key = loaded.public_key()
        key = describe(public_key)
    except Exception:  # noqa: BLE001 - as above: a point off its curve, a modulus of zero
        raise CsrRefused("the public key is not valid") from None
    if key.algorithm is not expected:
        raise CsrRefused("the public key can be read in two ways")
    if expected is KeyAlgorithm.RSA and key.bits > MAX_RSA_BITS:
        raise CsrRefused(f"an RSA key of more than {MAX_RSA_BITS} bits")
    return public_key, key  # type: ignore[return-value]  # describe() knows these kinds only


# --- the signature ---

_ACCEPTED_HASHES: Final = frozenset({"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"})
_PKCS1: Final = padding.PKCS1v15()
_RSA_SIGNATURES: Final[dict[bytes, hashes.HashAlgorithm]] = {
    _algorithm("1.2.840.113549.1.1.11", der.NULL): hashes.SHA256(),
    _algorithm("1.2.840.113549.1.1.12", der.NULL): hashes.SHA384(),
    _algorithm("1.2.840.113549.1.1.13", der.NULL): hashes.SHA512(),
}
_ECDSA_SIGNATURES: Final[dict[bytes, ec.ECDSA]] = {
    _algorithm("1.2.840.10045.4.3.2"): ec.ECDSA(hashes.SHA256()),
    _algorithm("1.2.840.10045.4.3.3"): ec.ECDSA(hashes.SHA384()),
    _algorithm("1.2.840.10045.4.3.4"): ec.ECDSA(hashes.SHA512()),
}
_BROKEN_SIGNATURES: Final[dict[str, str]] = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
    "1.2.840.10040.4.3": "SHA-1",
}


def _verify(
    loaded: x509.CertificateSigningRequest,
    public_key: PublicKey,
    algorithm: bytes,
    signature: bytes,
    signed: bytes,
) -> None:
    """Raise CsrRefused unless the request is signed by its own key with an algorithm that is still sound."""
    try:
        if isinstance(public_key, ec.EllipticCurvePublicKey) and algorithm in _ECDSA_SIGNATURES:
            public_key.verify(signature[1:], signed, _ECDSA_SIGNATURES[algorithm])
        elif isinstance(public_key, rsa.RSAPublicKey) and algorithm in _RSA_SIGNATURES:
            public_key.verify(signature[1:], signed, _PKCS1, _RSA_SIGNATURES[algorithm])
        else:
            _verify_rare(loaded)
    except (InvalidSignature, ValueError, TypeError) as failed:
        if isinstance(failed, CsrRefused):
            raise
        raise CsrRefused("the request is not signed by the key it contains") from None


def _verify_rare(loaded: x509.CertificateSigningRequest) -> None:
    """Everything off the fast path, by cryptography: EdDSA, ML-DSA, RSASSA-PSS, odd hashes."""
    try:
        broken = _BROKEN_SIGNATURES.get(loaded.signature_algorithm_oid.dotted_string)
        digest = None if broken else loaded.signature_hash_algorithm
        valid = broken is None and loaded.is_signature_valid
    except Exception:  # noqa: BLE001 - an algorithm it does not know, parameters that do not fit the key
        raise CsrRefused("the signature algorithm of the request is not supported") from None
    if digest is not None and digest.name not in _ACCEPTED_HASHES:
        broken = digest.name.upper()
    if broken:
        raise CsrRefused(
            f"the request is signed with {broken}, which no longer proves anything; use SHA-256 or better"
        )
    if not valid:
        raise CsrRefused("the request is not signed by the key it contains")


# --- what it asks for ---


def _identifier_of(common_name: str | None) -> Identifier | None:
    """The identifier that a CN is, if it is one: CNs of people and devices are not."""
    if common_name is None:
        return None
    for parse in (parse_dns, parse_ip_text):
        try:
            return parse(common_name)
        except NameRefused:
            continue
    return None


_REQUEST_OIDS: Final = frozenset(
    {oids.body(oids.EXTENSION_REQUEST), oids.body(oids.MICROSOFT_EXTENSION_REQUEST)}
)


def _attributes(data: bytes, attributes: asn1.Element) -> _Asked:
    if attributes.tag != 0xA0:
        raise asn1.Malformed("attributes were expected")
    seen: set[bytes] = set()
    asked: _Asked | None = None
    for attribute in asn1.children(data, attributes):
        parts = asn1.children(data, attribute)
        if attribute.tag != asn1.SEQUENCE or len(parts) != 2 or parts[1].tag != asn1.SET:
            raise asn1.Malformed("an attribute of two parts was expected")
        kind = asn1.content(data, parts[0], asn1.OBJECT_IDENTIFIER)
        if kind in seen:
            raise CsrRefused("the request has the same attribute twice")
        seen.add(kind)
        if kind not in _REQUEST_OIDS:
            continue
        values = asn1.children(data, parts[1])
        if asked is not None or len(values) != 1:
            raise CsrRefused("the request has more or less than one list of extensions")
        asked = _extensions(data, values[0])
    return asked or _Asked()


def _extensions(data: bytes, wanted: asn1.Element) -> _Asked:
    if wanted.tag != asn1.SEQUENCE:
        raise asn1.Malformed("a list of extensions was expected")
    asked = _Asked()
    seen: set[str] = set()
    for extension in asn1.children(data, wanted):
        parts = asn1.children(data, extension)
        if extension.tag != asn1.SEQUENCE or len(parts) not in (2, 3):
            raise asn1.Malformed("an extension was expected")
        if len(parts) == 3 and not asn1.boolean(asn1.content(data, parts[1], asn1.BOOLEAN)):
            raise asn1.Malformed("a default value that is written out")
        kind = asn1.dotted(asn1.content(data, parts[0], asn1.OBJECT_IDENTIFIER))
        value = asn1.content(data, parts[-1], asn1.OCTET_STRING)
        if kind in seen:
            raise CsrRefused(f"the request asks for the extension {kind} twice")
        seen.add(kind)
        read = _READERS.get(kind)
        if read is not None:
            read(value, asked)
    asked.extensions = frozenset(seen)
    return asked


def _read_san(value: bytes, asked: _Asked) -> None:
    names = asn1.children(value, asn1.only(value, asn1.SEQUENCE))
    if not names:
        raise CsrRefused("the request has a subjectAltName without names")
    if len(names) > MAX_NAMES:
        raise CsrRefused(f"the request has more than {MAX_NAMES} names")
    known: set[Identifier] = set()
    others: list[str] = []
    for name in names:
        read = _GENERAL_NAMES.get(name.tag)
        if read is None:
            others.append(_other_name(value, name))
        else:
            known.add(read(value[name.start : name.stop]))
    asked.san, asked.other_names = frozenset(known), tuple(others)


def _text_name(parse: Callable[[str], Identifier]) -> Callable[[bytes], Identifier]:
    # latin-1 keeps whatever octets came for the refusal; the parsers accept ASCII only (IA5String).
    return lambda octets: parse(octets.decode("latin-1"))


_GENERAL_NAMES: Final[dict[int, Callable[[bytes], Identifier]]] = {
    0x81: _text_name(parse_email),
    0x82: _text_name(parse_dns),
    0x86: _text_name(parse_uri),
    0x87: parse_ip_octets,
}
_OTHER_KINDS: Final = {0xA0: "otherName", 0xA3: "x400Address", 0xA4: "directoryName", 0xA5: "ediPartyName"}


def _other_name(value: bytes, name: asn1.Element) -> str:
    if name.tag == 0x88:
        return f"registeredID {asn1.dotted(value[name.start : name.stop])}"
    if name.tag not in _OTHER_KINDS:
        raise asn1.Malformed("a name of no known kind")
    parts = asn1.children(value, name)
    if name.tag == 0xA0:
        if not parts:
            raise asn1.Malformed("an otherName without a type")
        return f"otherName {asn1.dotted(asn1.content(value, parts[0], asn1.OBJECT_IDENTIFIER))}"
    return _OTHER_KINDS[name.tag]


def _read_key_usage(value: bytes, asked: _Asked) -> None:
    asked.key_usage = oids.read_key_usage(value)


def _read_extended_key_usage(value: bytes, asked: _Asked) -> None:
    asked.extended_key_usage = oids.read_extended_key_usage(value)


def _read_basic_constraints(value: bytes, asked: _Asked) -> None:
    parts = asn1.children(value, asn1.only(value, asn1.SEQUENCE))
    if parts and parts[0].tag == asn1.BOOLEAN:
        asked.basic_constraints_ca = asn1.boolean(asn1.content(value, parts[0], asn1.BOOLEAN))


def _read_tls_feature(value: bytes, asked: _Asked) -> None:
    features = asn1.children(value, asn1.only(value, asn1.SEQUENCE))
    asked.must_staple = 5 in [
        asn1.unsigned(asn1.content(value, feature, asn1.INTEGER)) for feature in features
    ]


_READERS: Final[dict[str, Callable[[bytes, _Asked], None]]] = {
    oids.SUBJECT_ALT_NAME: _read_san,
    oids.KEY_USAGE: _read_key_usage,
    oids.EXTENDED_KEY_USAGE: _read_extended_key_usage,
    oids.BASIC_CONSTRAINTS: _read_basic_constraints,
    oids.TLS_FEATURE: _read_tls_feature,
}
