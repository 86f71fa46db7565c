"""Requests and profiles for the tests of the pure rules: real keys, real CSRs, profiles as operators write them."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca.csr import CertificateRequest, parse_csr
from ca.keys import KeyAlgorithm, PrivateKey
from ca.names import Identifier, parse_identifier
from policy.profiles import Profile, from_json
from policy.reasons import Reason
from policy.rules import CertificatePlan, Facts, IssuanceRequest, Permitted, Refused, evaluate

NOW = datetime(2027, 3, 1, 12, 0, 30, 999_999, tzinfo=UTC)
WHOLE_NOW = NOW.replace(microsecond=0)
GOOD = Facts(key_blocked=None, key_is_account_key=False)

Section = dict[str, Any]


def merged(base: Section, changes: Section) -> Section:
    """`base` with `changes`, section by section; None takes a field away."""
    result = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


PLAIN: Section = {
    "name": "web",
    "issuer": "issuing",
    "identifiers": {"dns": {"suffixes": ["a.example"]}},
}


def profile(**changes: Any) -> Profile:
    """A profile for names at and below a.example, changed section by section."""
    return from_json(json.dumps(merged(PLAIN, changes)).encode())


def names(*texts: str) -> frozenset[Identifier]:
    """Identifiers as `dns` names, or with their type in front: `ip:10.0.0.1`, `uri:spiffe://...`."""
    found = set()
    for text in texts:
        kind, colon, value = text.partition(":")
        known = colon and kind in {"dns", "ip", "email", "uri"}
        found.add(parse_identifier(kind, value) if known else parse_identifier("dns", text))
    return frozenset(found)


@cache
def key(algorithm: KeyAlgorithm, bits: int = 2048) -> PrivateKey:
    """One key of a kind for the whole run."""
    make: dict[KeyAlgorithm, Callable[[], PrivateKey]] = {
        KeyAlgorithm.RSA: lambda: rsa.generate_private_key(public_exponent=65537, key_size=bits),
        KeyAlgorithm.P256: lambda: ec.generate_private_key(ec.SECP256R1()),
        KeyAlgorithm.P384: lambda: ec.generate_private_key(ec.SECP384R1()),
        KeyAlgorithm.P521: lambda: ec.generate_private_key(ec.SECP521R1()),
        KeyAlgorithm.ED25519: ed25519.Ed25519PrivateKey.generate,
        KeyAlgorithm.ML_DSA_44: mldsa.MLDSA44PrivateKey.generate,
        KeyAlgorithm.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
        KeyAlgorithm.ML_DSA_87: mldsa.MLDSA87PrivateKey.generate,
    }
    return make[algorithm]()


def general_name(name: Identifier) -> x509.GeneralName:
    match name.type.value:
        case "dns":
            return x509.DNSName(name.value)
        case "ip":
            return x509.IPAddress(ip_address(name.value))
        case "email":
            return x509.RFC822Name(name.value)
        case _:
            return x509.UniformResourceIdentifier(name.value)


def csr(
    san: Iterable[x509.GeneralName | Identifier] = (),
    *,
    subject: Sequence[tuple[x509.ObjectIdentifier, str]] = (),
    common_name: str | None = None,
    extensions: Iterable[x509.ExtensionType] = (),
    algorithm: KeyAlgorithm = KeyAlgorithm.P256,
    bits: int = 2048,
    signing_key: PrivateKey | None = None,
) -> CertificateRequest:
    """A request signed by its key and read back from its DER."""
    attributes = [x509.NameAttribute(oid, text) for oid, text in subject]
    if common_name is not None:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    general = [general_name(name) if isinstance(name, Identifier) else name for name in san]
    if general:
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    private = signing_key or key(algorithm, bits)
    digest = hashes.SHA256() if isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None
    return parse_csr(builder.sign(private, digest).public_bytes(Encoding.DER))


def asks(*texts: str, **wishes: Any) -> IssuanceRequest:
    """A request whose CSR names exactly what was authorized."""
    wanted = names(*texts)
    return IssuanceRequest(csr(wanted, **wishes), wanted)


def permitted(
    made: Profile, request: IssuanceRequest, facts: Facts = GOOD, now: datetime = NOW
) -> CertificatePlan:
    decision = evaluate(made, request, facts, now)
    assert isinstance(decision, Permitted), decision
    return decision.content


def refused(
    made: Profile, request: IssuanceRequest, facts: Facts = GOOD, now: datetime = NOW
) -> tuple[Reason, ...]:
    decision = evaluate(made, request, facts, now)
    assert isinstance(decision, Refused), decision
    assert decision.reasons
    return decision.reasons


def codes(reasons: tuple[Reason, ...]) -> list[str]:
    return [reason.code.value for reason in reasons]
