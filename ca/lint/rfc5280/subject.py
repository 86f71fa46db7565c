"""4.1.2.6, appendix A: a subject is a distinguished name whose attributes keep to their character sets and lengths."""

from collections.abc import Sequence

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned, read_subject


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    if tbs.subject == b"\x30\x00":
        return ()
    fault = read_subject(tbs.subject).fault
    return () if fault is None else [fault]
