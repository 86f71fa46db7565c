"""Whether what a client got is what it should have got: asked of openssl, and of the certificate itself."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from conformance.acme.stage import Stage

_KINDS: Final = {"p256": ec.EllipticCurvePublicKey, "rsa-2048": rsa.RSAPublicKey}


class Wrong(AssertionError):
    """The certificate is not what it should be; or something is there that should not."""


@dataclass(frozen=True)
class Issued:
    """What a client wrote to disk: a file with the leaf first, and the names that it asked for."""

    chain: Path
    names: tuple[str, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificates(self.chain.read_bytes())[0]

    @property
    def serial(self) -> str:
        """As the server writes it."""
        return f"{self.leaf.serial_number:x}"


def judge(stage: Stage, issued: Issued) -> None:
    """Raises Wrong unless the chain is good, and the leaf says what was asked for and no more."""
    leaf, *above = x509.load_pem_x509_certificates(issued.chain.read_bytes())
    if not above:
        raise Wrong(f"{issued.chain} holds no issuing certificate")
    _verify(stage, issued.chain)
    if not isinstance(above[0].public_key(), _KINDS[stage.key_algorithm]):
        raise Wrong(f"the issuer has a {type(above[0].public_key()).__name__}, not {stage.key_algorithm}")
    found = {
        str(name.value) for name in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    }
    if found != set(issued.names):
        raise Wrong(f"asked for {sorted(issued.names)}, got {sorted(found)}")
    _judge_usage(leaf)


def _judge_usage(leaf: x509.Certificate) -> None:
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    rsa_key = isinstance(leaf.public_key(), rsa.RSAPublicKey)
    expected = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=rsa_key,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    if not usage.critical or usage.value != expected:
        raise Wrong(f"key usage: {usage}")
    purposes = list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    if purposes != [ExtendedKeyUsageOID.SERVER_AUTH]:
        raise Wrong(f"extended key usage: {purposes}")


def _verify(stage: Stage, chain: Path) -> None:
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(stage.root)]
    done = subprocess.run(
        [*command, "-untrusted", str(chain), str(chain)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Wrong(f"openssl verify -x509_strict: {done.stdout}{done.stderr}")
