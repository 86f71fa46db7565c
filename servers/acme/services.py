"""What the ACME front end needs of the rest of the house, handed to it by the composition root."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from policy.acme.authorizations import Attempts
from policy.acme.finalizing import Finalizer
from policy.acme.limits import AcmeLimits
from policy.profile_cache import ProfileCache
from servers.acme.nonces import Nonces
from servers.web.body import BodyBounds
from store.clock import Millis
from store.database import Database


class Unsealer(Protocol):
    """Opens what was sealed for the database."""

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """The secret; ValueError if it was not sealed here for this purpose."""


@dataclass(frozen=True, slots=True)
class DirectoryMeta:
    """RFC 8555 section 7.1.1; what is None or empty is left out."""

    terms_of_service: str | None = None
    website: str | None = None
    caa_identities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AcmeServices:
    """Everything below. `external_url` is what clients see in front of `/acme`, without a final slash."""

    database: Database
    cache: ProfileCache
    finalizer: Finalizer
    attempts: Attempts
    nonces: Nonces
    unsealer: Unsealer
    limits: AcmeLimits
    meta: DirectoryMeta
    external_url: str
    body_bounds: BodyBounds
    chain_of: Callable[[str], Awaitable[bytes]]
    """Issuer name to what follows a certificate in its chain, as PEM text."""
    clock: Callable[[], Millis]
    default_profile: str = "default"
    validation_wait: float = 2.0
    """Seconds for which an answer to a challenge waits for its validation."""
    issuance_wait: float = 5.0
    """Seconds for which finalize and the order's poll wait for a job that needs nobody's approval."""
