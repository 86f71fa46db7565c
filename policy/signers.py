"""From keys to signers: the one place beside the worker that sees `ca.signer`, for the one who starts workers."""

from collections.abc import Iterable

from ca.certificate import Issuer
from ca.keys import KeyHandle
from ca.signer import Signer, SigningRefused
from store.ids import IssuerName
from store.jobs import ClaimedJob


class WrongKey(ValueError):
    """A key does not belong to its issuer."""


def make_signers(authorities: Iterable[tuple[Issuer, KeyHandle]]) -> dict[IssuerName, Signer[ClaimedJob]]:
    """What a Worker needs: for each issuer a signer that signs for claimed jobs and nothing else. Raises WrongKey."""
    try:
        return {IssuerName(issuer.name): Signer(issuer, key, ClaimedJob) for issuer, key in authorities}
    except SigningRefused as refused:
        raise WrongKey(str(refused)) from None
