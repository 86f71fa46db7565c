"""The one place where a certificate is signed, in two steps that a caller can put a record between.

`prepare` builds and lints what is to be signed and hands out a Ticket; `issue` spends the Ticket, once. What may be
signed is fixed at the first step and kept here, out of the Ticket's reach.
"""

from hashlib import sha256
from typing import Final, Generic, NoReturn, Protocol, Self, TypeVar
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from ca import der
from ca.certificate import CertificateContent, ContentRefused, Issuer, to_be_signed
from ca.keys import KeyHandle, subject_public_key_info, verifier
from ca.lint import Finding, lint


class SigningRefused(Exception):
    """Nothing was signed, or what was signed is not handed out. `findings` are the lints', if it was them."""

    def __init__(self, reason: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(reason)
        self.findings: Final = findings


class Claim(Protocol):
    """Proof that a job was claimed; what type it must have is told to the Signer."""

    @property
    def job_id(self) -> str:
        """The job this claim is on."""


ClaimT = TypeVar("ClaimT", bound=Claim)

_MINT: Final = object()


class Ticket:
    """Leave to sign one prepared certificate once. Only `Signer.prepare` makes one; it cannot be changed or copied."""

    __slots__ = ("__weakref__", "job_id", "serial", "tbs_sha256")

    job_id: str
    serial: int
    tbs_sha256: str
    """Hexadecimal digest of the DER TBSCertificate: what to write down before spending the ticket."""

    def __new__(cls, mint: object = None, *, job_id: str = "", serial: int = 0, tbs_sha256: str = "") -> Self:
        if mint is not _MINT or cls is not Ticket:
            raise TypeError("a Ticket comes from Signer.prepare")
        ticket = super().__new__(cls)
        object.__setattr__(ticket, "job_id", job_id)
        object.__setattr__(ticket, "serial", serial)
        object.__setattr__(ticket, "tbs_sha256", tbs_sha256)
        return ticket

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Ticket does not change: {name}")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Ticket is not copied")

    def __repr__(self) -> str:
        return f"<Ticket job={self.job_id} serial={self.serial:x}>"


class Signer(Generic[ClaimT]):
    """Signs for one issuer with one key, and only what was claimed by an object of exactly `claim_type`.

    Safe to use from several threads: a ticket is spent by one of them.
    """

    __slots__ = ("_claim_type", "_issuer", "_key", "_prepared", "_verify", "_verify_signature")

    def __init__(
        self, issuer: Issuer, key: KeyHandle, claim_type: type[ClaimT], *, verify_signature: bool = True
    ) -> None:
        """Refuse (SigningRefused) a key that is not the one in the issuer's certificate."""
        if subject_public_key_info(key.public_key) != subject_public_key_info(issuer.public_key):
            raise SigningRefused(f"the key does not belong to the certificate of issuer {issuer.name}")
        if key.signature_algorithm != issuer.signature_algorithm:
            raise SigningRefused(f"the key signs with another algorithm than issuer {issuer.name} states")
        self._issuer = issuer
        self._key = key
        self._claim_type = claim_type
        self._verify = verifier(issuer.public_key)
        self._verify_signature = verify_signature
        self._prepared: WeakKeyDictionary[Ticket, bytes] = WeakKeyDictionary()

    @property
    def issuer(self) -> Issuer:
        return self._issuer

    def prepare(self, claim: ClaimT, content: CertificateContent) -> Ticket:
        """Build and lint the certificate that `claim` is for. No key is used.

        SigningRefused when the claim is not of the signer's claim type or when a lint objects.
        """
        if type(claim) is not self._claim_type:
            raise SigningRefused(f"a claim of type {type(claim).__name__} opens nothing here")
        try:
            tbs = to_be_signed(self._issuer, content)
        except ContentRefused as refused:
            raise SigningRefused(str(refused)) from None
        findings = lint(tbs, self._issuer)
        if findings:
            raise SigningRefused("; ".join(str(finding) for finding in findings), findings)
        ticket = Ticket(_MINT, job_id=claim.job_id, serial=content.serial, tbs_sha256=sha256(tbs).hexdigest())
        self._prepared[ticket] = tbs
        return ticket

    def issue(self, ticket: Ticket) -> bytes:
        """Spend the ticket: the signed certificate in DER.

        SigningRefused for a ticket that is spent or not of this signer, and when what comes out is not what was
        prepared: then the ticket is spent all the same, and the certificate stays here.
        """
        tbs = self._prepared.pop(ticket, None) if type(ticket) is Ticket else None
        if tbs is None:
            raise SigningRefused("the ticket is spent, or was never this signer's")
        signature = self._key.sign(tbs)
        if self._verify_signature:
            try:
                self._verify(signature, tbs)
            except (InvalidSignature, ValueError):
                raise SigningRefused("the key made a signature that does not verify") from None
        certificate = der.sequence(tbs, self._issuer.signature_algorithm, der.bit_string(signature))
        self._compare(certificate, tbs)
        return certificate

    def _compare(self, certificate: bytes, tbs: bytes) -> None:
        """Read the certificate as a relying party does: it must hold what was prepared, and nothing more."""
        try:
            same = x509.load_der_x509_certificate(certificate).tbs_certificate_bytes == tbs
        except ValueError:
            same = False
        if not same:
            raise SigningRefused("what was signed is not what was prepared")
