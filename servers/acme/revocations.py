"""revokeCert (RFC 8555 section 7.6): by the account that ordered, by one that holds all the names, by the key."""

from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from policy import revocation
from policy.acme import revocations
from policy.acme.refusals import NotFound
from servers.acme import base64url
from servers.acme.front import AcmeFront, Signed
from servers.acme.problems import AcmeProblem, ProblemType
from servers.web.answer import Answer
from servers.web.strict_json import JsonObject

MAX_CERTIFICATE: Final = 32 * 1024


class RevocationResource:
    """The handler."""

    def __init__(self, front: AcmeFront) -> None:
        self._services = front.services

    async def revoke(self, signed: Signed) -> Answer:
        """POST revokeCert with kid or jwk."""
        fields = signed.fields()
        der = _certificate(fields)
        reason = _reason(fields)
        try:
            public_key = x509.load_der_x509_certificate(der).public_key()
            spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except Exception:  # noqa: BLE001 - whatever a parser of strangers' bytes raises
            raise AcmeProblem(ProblemType.MALFORMED, "certificate is not a DER certificate") from None
        by_key = signed.account is None
        if by_key and signed.key.spki_sha256 != sha256(spki).hexdigest():
            raise AcmeProblem(
                ProblemType.UNAUTHORIZED,
                "a jwk revokes the certificates of that very key; sign with kid to revoke as an account",
            )
        try:
            await self._services.database.write(
                lambda tx: revocations.revoke(tx, der, signed.account, reason, signed.now)
            )
        except revocation.NoSuchCertificate:
            raise NotFound("this certificate was not issued here") from None
        except revocation.AlreadyRevoked:
            raise AcmeProblem(ProblemType.ALREADY_REVOKED) from None
        except revocation.BadReason as error:
            raise AcmeProblem(ProblemType.BAD_REVOCATION_REASON, str(error)) from None
        return Answer()


def _certificate(fields: JsonObject) -> bytes:
    value = fields.get("certificate")
    if type(value) is not str or len(value) > MAX_CERTIFICATE * 4 // 3:
        raise AcmeProblem(ProblemType.MALFORMED, "certificate is the base64url text of a DER certificate")
    try:
        return base64url.decode(value)
    except base64url.NotBase64url as error:
        raise AcmeProblem(ProblemType.MALFORMED, f"certificate is {error}") from None


def _reason(fields: JsonObject) -> int:
    value = fields.get("reason", 0)
    if type(value) is not int:
        raise AcmeProblem(ProblemType.BAD_REVOCATION_REASON, "reason is a number of RFC 5280 section 5.3.1")
    return value
