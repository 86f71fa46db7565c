"""A common name repeats one of the alternative names, whatever its case: nothing is vouched for that was not judged."""

from collections.abc import Sequence

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned, read_subject


def check(tbs: ToBeSigned, _issuer: Issuer) -> Sequence[str]:
    if tbs.subject == b"\x30\x00":
        return ()
    common_name = read_subject(tbs.subject).common_name
    if common_name is None or common_name.lower() in [name.value.lower() for name in tbs.names]:
        return ()
    return ["the common name is none of the alternative names"]
