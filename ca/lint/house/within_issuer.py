"""A certificate does not outlive its issuer: nobody could verify it, and nobody could revoke it."""

from collections.abc import Sequence

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, issuer: Issuer) -> Sequence[str]:
    if tbs.not_after <= issuer.not_after:
        return ()
    return [f"the certificate would outlive its issuer, which ends at {issuer.not_after:%Y-%m-%dT%H:%M:%SZ}"]
