"""4.2: a certificate has no extension twice."""

from collections.abc import Sequence

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    return [f"the extension {kind} is there twice" for kind in tbs.duplicates]
