"""tls-alpn-01: a self-signed certificate that carries the digest, offered under its own ALPN name (RFC 8737)."""

import asyncio
import hashlib
import hmac
import ipaddress
import ssl
from functools import lru_cache
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from ca.names import Identifier, IdentifierType
from policy.validation.addresses import Check
from policy.validation.dial import dial
from policy.validation.networks import IPAddress
from policy.validation.problems import Problem, ValidationFailed
from policy.validation.tls import handshake

ALPN: Final = "acme-tls/1"
ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


@lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    """Offers acme-tls/1 only. The certificate is self-signed by design: it is read, not verified (RFC 8737 3)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([ALPN])
    return context


def server_name(identifier: Identifier) -> str:
    """What the SNI extension says: the name, or the reverse-mapping name of an address (RFC 8738 6)."""
    if identifier.type == IdentifierType.IP:
        return ipaddress.ip_address(identifier.value).reverse_pointer
    return identifier.value


async def check_tlsalpn01(check: Check, identifier: Identifier, key_authorization: str) -> None:
    """Returns when the server's acme-tls/1 certificate is the one RFC 8737 3 describes.

    Raises:
        ValidationFailed: ``connection``, ``tls`` without such a handshake, ``incorrectResponse`` with another
            certificate.
    """
    sni = server_name(identifier)
    addresses = await check.targets(identifier.value)
    sock, where = await dial(
        check, addresses, check.settings.tlsalpn01_port, f"{ALPN} with server name {sni}"
    )
    transport, _ = await handshake(check, sock, where, _context(), sni, asyncio.Protocol)
    session: ssl.SSLObject = transport.get_extra_info("ssl_object")
    protocol, certificate = session.selected_alpn_protocol(), session.getpeercert(binary_form=True)
    cast("asyncio.WriteTransport", transport).abort()
    if protocol != ALPN:
        raise ValidationFailed(
            Problem.TLS,
            f"{where} talks TLS but not the protocol {ALPN} for {sni}; an ordinary web server answered, or the "
            "client's responder does not listen there",
        )
    try:
        judge_certificate(certificate or b"", identifier, key_authorization)
    except ValueError as error:
        raise ValidationFailed(
            Problem.INCORRECT_RESPONSE, f"the certificate that {where} shows for {sni} {error}"
        ) from None


def judge_certificate(der: bytes, identifier: Identifier, key_authorization: str) -> None:
    """Returns for the certificate that RFC 8737 3 describes.

    Raises:
        ValueError: for every other one; the text goes on where "the certificate" leaves off.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        extensions = certificate.extensions
        names = _names(extensions)
    except (ValueError, TypeError, x509.DuplicateExtension, x509.InvalidVersion, UnsupportedAlgorithm):
        raise ValueError("cannot be read") from None
    except x509.UnsupportedGeneralNameType:
        raise ValueError("has a subject alternative name of an unknown kind") from None
    wanted: str | IPAddress = (
        ipaddress.ip_address(identifier.value) if identifier.type == IdentifierType.IP else identifier.value
    )
    if names != [wanted]:
        shown = ", ".join(str(name or "something else")[:80] for name in names[:3]) or "nothing"
        raise ValueError(f"is for {shown}; it must be for {identifier.value} and for nothing else")
    try:
        proof = extensions.get_extension_for_oid(ACME_IDENTIFIER)
    except x509.ExtensionNotFound:
        raise ValueError("has no acmeIdentifier extension") from None
    if not proof.critical:
        raise ValueError("has an acmeIdentifier extension that is not marked critical")
    digest = hashlib.sha256(key_authorization.encode("ascii")).digest()
    value = proof.value.value if isinstance(proof.value, x509.UnrecognizedExtension) else b""
    if not hmac.compare_digest(value, b"\x04\x20" + digest):
        raise ValueError(
            "has an acmeIdentifier for another key authorization (an old one, or another account's)"
        )
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise ValueError("is not self-signed") from None


def _names(extensions: x509.Extensions) -> list[str | IPAddress | None]:
    """The subject alternative names; None stands for a kind that cannot be right."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    found: list[str | IPAddress | None] = []
    for name in names:
        if isinstance(name, x509.DNSName):
            found.append(name.value.lower())
        elif isinstance(name, x509.IPAddress) and not isinstance(
            name.value, ipaddress.IPv4Network | ipaddress.IPv6Network
        ):
            found.append(name.value)
        else:
            found.append(None)
    return found
