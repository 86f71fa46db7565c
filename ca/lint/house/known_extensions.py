"""Only extensions that this authority means to write; anything else got in by mistake."""

from collections.abc import Sequence
from typing import Final

from ca import oids
from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned

_KNOWN: Final = frozenset(
    {
        oids.SUBJECT_KEY_IDENTIFIER,
        oids.KEY_USAGE,
        oids.SUBJECT_ALT_NAME,
        oids.BASIC_CONSTRAINTS,
        oids.CRL_DISTRIBUTION_POINTS,
        oids.AUTHORITY_KEY_IDENTIFIER,
        oids.EXTENDED_KEY_USAGE,
        oids.AUTHORITY_INFO_ACCESS,
        oids.TLS_FEATURE,
    }
)


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    if tbs.extensions.keys() <= _KNOWN:
        return ()
    return [f"unknown extensions: {', '.join(sorted(tbs.extensions.keys() - _KNOWN))}"]
