"""A tls-alpn-01 responder: validation certificates by SNI name, made here or given."""

import asyncio
import datetime as dt
import hashlib
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.common.responders.tcp_server import TCPResponder

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


@dataclass(frozen=True)
class Recipe:
    """How a validation certificate is made; the defaults follow RFC 8737 3, each field can break it."""

    names: Sequence[str]
    key_authorization: str
    critical: bool = True
    proof: bytes | None = None  # the extension's value instead of the right one
    with_proof: bool = True
    self_signed: bool = True
    more: Sequence[x509.ExtensionType] = ()


def make_certificate(recipe: Recipe) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    signer = key if recipe.self_signed else ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ACME challenge")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    if recipe.names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(n) for n in recipe.names]), critical=False
        )
    if recipe.with_proof:
        digest = hashlib.sha256(recipe.key_authorization.encode()).digest()
        value = b"\x04\x20" + digest if recipe.proof is None else recipe.proof
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ACME_IDENTIFIER, value), critical=recipe.critical
        )
    for extension in recipe.more:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256()), key


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def context_for(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, alpn: Sequence[str] | None
) -> ssl.SSLContext:
    """A server's TLS settings with this certificate; ``alpn`` None speaks no ALPN at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if alpn is not None:
        context.set_alpn_protocols(list(alpn))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "both.pem"
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(path)
    return context


class TLSALPN01Responder(TCPResponder):
    """Finishes handshakes for the SNI names it has certificates for. ``seen`` lists the SNI names asked for."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, alpn: Sequence[str] | None = ("acme-tls/1",)
    ) -> None:
        self._alpn = alpn
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.seen: list[str | None] = []
        front = context_for(*make_certificate(Recipe(["fallback.invalid"], "", with_proof=False)), alpn)
        front.sni_callback = self._choose
        super().__init__(None, host, port, front)

    def serve(self, sni: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._contexts[sni] = context_for(certificate, key, self._alpn)

    def answer(self, name: str, key_authorization: str) -> None:
        """The right certificate for a DNS name or an IP address (whose SNI is its reverse name, RFC 8738 6)."""
        certificate, key = make_certificate(Recipe([name], key_authorization))
        try:
            sni = ipaddress.ip_address(name).reverse_pointer
        except ValueError:
            sni = name
        self.serve(sni, certificate, key)

    def forget(self, sni: str) -> None:
        self._contexts.pop(sni, None)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the peer hangs up

    def _choose(self, session: ssl.SSLSocket | ssl.SSLObject, sni: str | None, _: ssl.SSLContext) -> None:
        self.seen.append(sni)
        if sni in self._contexts:
            session.context = self._contexts[sni]
