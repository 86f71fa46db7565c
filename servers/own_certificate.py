"""The server's own TLS certificate: a job like any other, asked for by `system`, renewed with a new key each time.

DIR/server.pem holds the key (encrypted) and the chain together, so that no reader ever finds one without the other.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca.certificate import Issuer
from ca.csr import parse_csr
from ca.keys.pkcs8 import encrypted_pem
from ca.name_constraints import violations
from ca.names import Identifier, IdentifierType
from policy import profile_changes
from policy.enrollment import Enrollment, Gate, Refusal, Requester, Submitted
from policy.jobs import TERMINAL
from policy.principals import SYSTEM
from policy.profile_cache import ProfileCache, ProfileUnreadable
from servers.files import read_private, write_private
from servers.own_profile import NAME, allowing, own_names, own_profile
from servers.settings import Settings
from store import certificates, jobs
from store.clock import Millis, to_datetime
from store.database import Database, StorageFailed, Transaction
from store.ids import ProfileName
from store.jobs import moved_topic
from store.records import JobStatus

log = structlog.get_logger()
FILE: Final = "server.pem"
_PROFILE: Final = ProfileName(NAME)
_EMPTY_NAME: Final = b"\x30\x00"
_LOOK_AGAIN: Final = 1.0  # seconds, while another process's worker may be at it
_CHECK_EVERY: Final = 60.0
_AFTER_FAILURE: Final = 300.0


class CertificateUnavailable(Exception):
    """The server has no certificate of its own and did not get one; the message says why."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the certificate in the file says."""

    not_before: datetime
    not_after: datetime
    names: frozenset[str]


class OwnCertificate:
    """Sees to it that DIR/server.pem is there and good."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        gate: Gate,
        cache: ProfileCache,
        issuer: Issuer,
        passphrase: bytes,
        clock: Callable[[], Millis],
    ) -> None:
        self.path: Final[Path] = settings.directory / FILE
        self._settings = settings
        self._database = database
        self._gate = gate
        self._cache = cache
        self._issuer = issuer
        self._passphrase = passphrase
        self._clock = clock
        self._names = frozenset(
            name
            for name in own_names(settings)
            if not any(violations(_EMPTY_NAME, (name,), issuer.name_constraints))
        )

    def due(self) -> bool:
        """Whether a new one is needed: none there, names lacking, or two thirds of its life over."""
        standing = _standing(self.path)
        if standing is None or not {name.value for name in self._names} <= standing.names:
            return True
        life = standing.not_after - standing.not_before
        return to_datetime(self._clock()) >= standing.not_before + life * 2 / 3

    def usable(self) -> bool:
        """Whether there is one that has not expired."""
        standing = _standing(self.path)
        return standing is not None and to_datetime(self._clock()) < standing.not_after

    async def obtain(self, patience: float) -> None:
        """Ask for a new one and put it into the file. Raises CertificateUnavailable, StorageFailed.

        Waits `patience` seconds for a worker, of this process or another, to carry out the job.
        """
        if not self._names:
            raise CertificateUnavailable("the authority's name constraints allow none of the server's names")
        key = ec.generate_private_key(ec.SECP256R1())
        request = _request(key, self._names)
        submitted = await self._database.write(lambda tx: self._submit(tx, request))
        if submitted.approval_id is not None and submitted.status is JobStatus.AWAITING_APPROVAL:
            raise CertificateUnavailable(
                f"the server's certificate waits for approval {submitted.approval_id} (profile {NAME} asks for it)"
            )
        leaf = await self._collect(submitted, patience)
        text = encrypted_pem(key, self._passphrase) + leaf + self._issuer.chain_pem
        write_private(self.path, text)
        log.info("server_certificate.obtained", job=submitted.job_id)

    async def run(self, stopping: asyncio.Event) -> None:
        """Renew in time, until `stopping` is set."""
        pause = _CHECK_EVERY
        while not stopping.is_set():
            try:
                async with asyncio.timeout(pause):
                    await stopping.wait()
            except TimeoutError:
                pause = await self._renew_if_due()

    async def _renew_if_due(self) -> float:
        try:
            if self.due():
                await self.obtain(_CHECK_EVERY)
        except (CertificateUnavailable, StorageFailed) as error:
            log.error("server_certificate.not_renewed", error=str(error))
            return _AFTER_FAILURE
        return _CHECK_EVERY

    async def _submit(self, tx: Transaction, request: bytes) -> Submitted:
        now = self._clock()
        try:
            _, in_force = await self._cache.current(tx, _PROFILE)
            wanted = allowing(in_force, self._names)
        except ProfileUnreadable:
            wanted = own_profile(self._settings)
        changed = await profile_changes.propose(tx, _PROFILE, wanted, SYSTEM, now, self._cache)
        if isinstance(changed, profile_changes.Waiting):
            raise CertificateUnavailable(
                f"profile {NAME} has to allow the server's names, which waits for approval {changed.approval_id}"
            )
        enrollment = Enrollment(_PROFILE, parse_csr(request), self._names)
        outcome = await self._gate.submit(tx, Requester(SYSTEM, "server"), enrollment, now)
        if isinstance(outcome, Refusal):
            raise CertificateUnavailable("; ".join(reason.words for reason in outcome.reasons))
        return outcome

    async def _collect(self, submitted: Submitted, patience: float) -> bytes:
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            with self._database.signals.expect(moved_topic(submitted.job_id)) as moved:
                job = await self._database.read(lambda tx: jobs.get(tx, submitted.job_id))
                if job is not None and job.status in TERMINAL:
                    break
                left = until - loop.time()
                if left <= 0:
                    raise CertificateUnavailable(
                        "no worker has issued the server's certificate: start a node with workers"
                    )
                await asyncio.wait([moved], timeout=min(left, _LOOK_AGAIN))
        found = await self._database.read(lambda tx: certificates.of_job(tx, submitted.job_id))
        if found is None:
            raise CertificateUnavailable(f"the server's certificate was not issued: {job.error}")
        return x509.load_der_x509_certificate(found.der).public_bytes(Encoding.PEM)


def _request(key: ec.EllipticCurvePrivateKey, names: frozenset[Identifier]) -> bytes:
    alternative = x509.SubjectAlternativeName([_general_name(name) for name in sorted(names)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def _general_name(name: Identifier) -> x509.GeneralName:
    if name.type is IdentifierType.IP:
        return x509.IPAddress(ip_address(name.value))
    return x509.DNSName(name.value)


def _standing(path: Path) -> _Standing | None:
    """What the file holds; None when it is missing or unreadable. Raises FileRefused when others can read it."""
    if not path.exists():
        return None
    text = read_private(path)
    try:
        certificate = x509.load_pem_x509_certificates(text)[0]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return None
    return _Standing(
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        frozenset(str(name.value) for name in names),
    )
