"""The reloading context: right from the start, changed in one step, unharmed by damage."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca.keys import pkcs8
from servers.files import FileRefused, write_private
from servers.web.tls import ReloadingContext, TlsRefused
from tests.common.world import START

PASSPHRASE = b"phrase"


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pkcs8, "ROUNDS", 1000)


def write_pair(
    path: Path, name: str, other_key: ec.EllipticCurvePrivateKey | None = None
) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=9000))
        .sign(key, hashes.SHA256())
    )
    write_private(
        path, pkcs8.encrypted_pem(other_key or key, PASSPHRASE) + certificate.public_bytes(Encoding.PEM)
    )
    return certificate


async def shown(port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return der


async def test_a_new_pair_is_taken_and_a_bad_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    first = write_pair(path, "first")
    context = ReloadingContext(path, PASSPHRASE)

    async def ignore(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0, ssl=context.listening)
    port = server.sockets[0].getsockname()[1]
    assert await shown(port) == first.public_bytes(Encoding.DER)
    assert not await context.look(), "nothing has changed"
    second = write_pair(path, "second")
    assert await context.look()
    assert await shown(port) == second.public_bytes(Encoding.DER)
    assert context.reloads == 1
    write_pair(path, "third", ec.generate_private_key(ec.SECP256R1()))
    assert not await context.look(), "key and certificate do not belong together"
    assert not await context.look(), "and are not tried again and again"
    write_pair(path, "fourth")
    path.chmod(0o644)
    assert not await context.look(), "others can read the key"
    path.unlink()
    assert not await context.look()
    assert await shown(port) == second.public_bytes(Encoding.DER)
    server.close()
    await server.wait_closed()


def test_what_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    write_pair(path, "first")
    with pytest.raises(TlsRefused, match="passphrase does not open") as refused:
        ReloadingContext(path, b"open-sesame")
    assert "open-sesame" not in str(refused.value)
    path.chmod(0o640)
    with pytest.raises(FileRefused, match="chmod 600"):
        ReloadingContext(path, PASSPHRASE)


def test_the_context_is_modern(tmp_path: Path) -> None:
    write_pair(tmp_path / "server.pem", "first")
    context = ReloadingContext(tmp_path / "server.pem", PASSPHRASE).listening
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher["name"]
        assert cipher["kea"] in ("kx-ecdhe", "kx-any"), cipher["name"]
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.options & ssl.OP_NO_TICKET
