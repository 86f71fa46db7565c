"""4.1.2.5: the validity ends after it begins, and each time is written in the form that its year demands."""

from collections.abc import Sequence

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    faults = []
    if tbs.not_after <= tbs.not_before:
        faults.append("the validity ends before it begins")
    begins, ends = tbs.times_as_written
    for moment, written in ((tbs.not_before, begins), (tbs.not_after, ends)):
        if (written[0] == 0x17) != (1950 <= moment.year < 2050):
            faults.append(f"the year {moment.year} is written in the wrong kind of time")
    return faults
