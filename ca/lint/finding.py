"""What a lint says."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned

Check = Callable[[ToBeSigned, Issuer], Sequence[str]]


class Finding(NamedTuple):
    """One objection: `rule` is the folder and file of the lint."""

    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"
