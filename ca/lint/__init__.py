"""Lints: what is wrong with a certificate that is about to be signed. One rule, one file, foldered by its source.

They read the encoded TBSCertificate, not the content it was made from: what counts is what relying parties will
see. The reader is not the code that wrote it. Nothing is signed to be linted.
"""

from typing import Final

from ca import asn1
from ca.certificate import Issuer
from ca.lint import house, rfc5280
from ca.lint.finding import Finding
from ca.lint.tbs import ToBeSigned, read

__all__ = ["RULES", "Finding", "ToBeSigned", "lint"]

RULES: Final = (*rfc5280.RULES, *house.RULES)
"""(name, check): `check(tbs, issuer)` returns its objections as text."""


def lint(tbs: bytes, issuer: Issuer) -> tuple[Finding, ...]:
    """All objections to the DER TBSCertificate `tbs` by `issuer`; empty when it may be signed. Never raises."""
    try:
        certificate = read(tbs)
    except (asn1.Malformed, ValueError) as malformed:
        return (Finding("rfc5280/encoding", str(malformed)),)
    return tuple([Finding(name, message) for name, check in RULES for message in check(certificate, issuer)])
