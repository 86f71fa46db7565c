"""4.2: a certificate has no extension twice."""

from collections.abc import Iterator

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Iterator[str]:
    for kind in tbs.duplicates:
        yield f"the extension {kind} is there twice"
