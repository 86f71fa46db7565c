"""4.2.1, 4.2.2: extensions are critical where the RFC says so, and nowhere else.

subjectAltName is critical exactly when the subject is empty (4.2.1.6); extendedKeyUsage exactly when it is for
time stamping (RFC 3161 2.3); the TLS feature need not be (RFC 7633 4.1).
"""

from collections.abc import Sequence
from typing import Final

from ca import oids
from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned

_ALWAYS: Final = frozenset({oids.KEY_USAGE, oids.BASIC_CONSTRAINTS})


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    faults = []
    for kind, (critical, _) in tbs.extensions.items():
        if kind == oids.SUBJECT_ALT_NAME:
            demanded = tbs.subject == b"\x30\x00"
        elif kind == oids.EXTENDED_KEY_USAGE:
            demanded = "timeStamping" in tbs.extended_key_usage
        else:
            demanded = kind in _ALWAYS
        if critical != demanded:
            faults.append(f"the extension {kind} is {'not ' if demanded else ''}critical")
    return faults
