"""The composition root: what one process of the server consists of, and how the parts hold together.

The only module that sees everything. What it builds is started and stopped by `servers.serve`.
"""

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web
from cryptography import x509

from policy.acme.authorizations import Attempts
from policy.acme.finalizing import Finalizer
from policy.enrollment import Gate
from policy.profile_cache import ProfileCache
from policy.signers import make_signers
from policy.validation import Validator
from policy.worker import Worker
from servers import secret_files
from servers.acme.nonces import NonceMint, Nonces
from servers.acme.routes import AcmeRealm
from servers.acme.services import AcmeServices, DirectoryMeta
from servers.acme.urls import Urls
from servers.authorities import Chains, LoadedAuthority, load_authorities, open_keys
from servers.own_certificate import OwnCertificate
from servers.sealing import Sealer
from servers.settings import LimitsSection, Settings
from servers.setup import ISSUER
from servers.web.body import BodyBounds
from servers.web.front import Front, patient_for
from servers.web.health import add_health
from servers.web.metrics import Metrics
from servers.web.publication import add_certificates
from store import clock, issuers
from store.database import Database, StorageFailed
from store.nonces import NonceLedger
from store.open import open_ledger

NONCES: Final = "nonces.db"
METRICS: Final = "metrics"
NONCE_LIFETIME: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Node:
    """One process: its parts, started by nobody yet. `worker` is None on a node that opens no CA key."""

    settings: Settings
    database: Database
    ledger: NonceLedger
    validator: Validator
    attempts: Attempts
    worker: Worker | None
    own_certificate: OwnCertificate
    passphrase: bytes
    front: Front
    acme: AcmeRealm
    https: web.Application
    http: web.Application
    readiness: "Readiness"

    def __repr__(self) -> str:
        """Without what it holds."""
        return f"Node({self.settings.directory})"

    async def close(self) -> None:
        """Let go of files and connections; nothing may be running any more."""
        await self.validator.close()
        await self.ledger.close()
        await self.database.close()


class Readiness:
    """Whether the node may get traffic."""

    def __init__(self, database: Database, own_certificate: OwnCertificate) -> None:
        self._database = database
        self._own_certificate = own_certificate
        self.draining = False

    async def serving(self) -> str | None:
        return "shutting down" if self.draining else None

    async def storage(self) -> str | None:
        try:
            await self._database.read(issuers.every)
        except (StorageFailed, OSError):
            return "the database does not answer"
        return None

    async def certificate(self) -> str | None:
        return None if self._own_certificate.usable() else "the server's certificate has expired"


async def build_node(settings: Settings, database: Database, *, workers: bool, index: int = 0) -> Node:
    """The parts of one process around an open database; `index` tells it from its siblings.

    Raises NoAuthority, FileRefused, KeyRefused, WrongKey, StorageFailed: each says what to do.
    """
    passphrase, secret = secret_files.passphrase(settings), secret_files.master_secret(settings)
    authorities = await load_authorities(database, settings)
    cache = ProfileCache()
    gate = Gate(cache)
    worker = None
    if workers:
        signers = make_signers(open_keys(authorities, passphrase))
        name = f"{socket.gethostname()}-{os.getpid()}"
        worker = Worker(database, signers, cache, name, clock.now)
    issuer = next(one.issuer for one in authorities if one.issuer.name == ISSUER)
    own = OwnCertificate(settings, database, gate, cache, issuer, passphrase, clock.now)
    validator = Validator(settings.validation)
    attempts = Attempts(
        database,
        validator,
        cache,
        settings.acme_limits,
        Urls(settings.external_url).account,
        frozenset(settings.acme.caa_identities),
        clock.now,
    )
    ledger = await open_ledger(settings.database_url, settings.directory / NONCES, clock.now)
    services = AcmeServices(
        database=database,
        cache=cache,
        finalizer=Finalizer(database, gate, cache, worker),
        attempts=attempts,
        nonces=Nonces(NonceMint(secret, NONCE_LIFETIME), ledger),
        unsealer=Sealer(secret),
        limits=settings.acme_limits,
        meta=DirectoryMeta(
            settings.acme.terms_of_service, settings.acme.website, settings.acme.caa_identities
        ),
        external_url=settings.external_url,
        body_bounds=BodyBounds(settings.limits.max_body, settings.limits.body_seconds),
        chain_of=Chains(database, authorities).of,
        clock=clock.now,
    )
    several = settings.server.processes > 1
    metrics = Metrics(index, settings.directory / METRICS if several else None)
    readiness = Readiness(database, own)
    return Node(
        settings=settings,
        database=database,
        ledger=ledger,
        validator=validator,
        attempts=attempts,
        worker=worker,
        own_certificate=own,
        passphrase=passphrase,
        front=Front(metrics),
        acme=AcmeRealm(services),
        https=_https(readiness, metrics, authorities, settings.limits),
        http=_http(authorities),
        readiness=readiness,
    )


def _https(
    readiness: Readiness,
    metrics: Metrics,
    authorities: list[LoadedAuthority],
    limits: LimitsSection,
) -> web.Application:
    app = web.Application(client_max_size=limits.max_body)
    checks = {
        "serving": readiness.serving,
        "storage": readiness.storage,
        "certificate": readiness.certificate,
    }
    app.middlewares.append(patient_for(limits.body_seconds, limits.max_body))
    add_health(app, checks, metrics)
    add_certificates(app, _published(authorities))
    return app


def _http(authorities: list[LoadedAuthority]) -> web.Application:
    # Nothing here takes a body yet: what cannot be sent cannot cost anything.
    app = web.Application(client_max_size=1024)
    add_health(app, {}, None)
    add_certificates(app, _published(authorities))
    return app


def _published(authorities: list[LoadedAuthority]) -> dict[str, x509.Certificate]:
    """Each issuer under its name, and as `root` the root of the one that `init` made."""
    found = {one.issuer.name: one.issuer.certificate for one in authorities}
    found["root"] = next(one.root for one in authorities if one.issuer.name == ISSUER)
    return found
