"""4.1.2.5: the validity ends after it begins, and each time is written in the form that its year demands."""

from collections.abc import Iterator

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned


def check(tbs: ToBeSigned, _issuer: Issuer) -> Iterator[str]:
    if tbs.not_after <= tbs.not_before:
        yield "the validity ends before it begins"
    for moment, written in zip((tbs.not_before, tbs.not_after), tbs.times_as_written, strict=True):
        if (written[0] == 0x17) != (1950 <= moment.year < 2050):
            yield f"the year {moment.year} is written in the wrong kind of time"
