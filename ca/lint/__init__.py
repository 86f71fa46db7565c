"""Lints: what is wrong with a certificate that is about to be signed. One rule, one file, foldered by its source."""

from typing import NamedTuple

from ca.certificate import Issuer


class Finding(NamedTuple):
    """One objection: `rule` is the folder and file of the lint."""

    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


def lint(_tbs: bytes, _issuer: Issuer) -> tuple[Finding, ...]:
    """All objections to the TBSCertificate `tbs` by `issuer`; empty when it may be signed."""
    return ()
