"""What every command takes, and the codes with which every command ends."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Group, Parameter

EVERYWHERE: Final = Group("Everywhere", sort_key=100)


class Exit(IntEnum):
    """Documented in `certctl --help`; scripts rely on them."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    STORAGE = 5
    CONFIGURATION = 6
    BUG = 70


EXITS: Final = """Exit codes:

  0   done
  1   refused: by a rule, or because things are no longer as assumed
  2   the command line is wrong
  3   there is nothing of that name
  4   not allowed: no token, an unknown one, or a role is missing
  5   the database does not answer, or is too new for this version
  6   settings, keys, files or addresses cannot be used
  70  a bug in certctl"""


class Failed(Exception):
    """A command ends here: its exit code and one line that says what to do."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code: Final = code


@Parameter(name="*", group=EVERYWHERE)
@dataclass(frozen=True)
class Place:
    """Where the CA is, and how to answer."""

    data: Annotated[Path, Parameter(env_var="CERTCTL_DATA")] = Path("data")
    """The data directory."""
    json: bool = False
    """Answer with one JSON document on standard output."""


@Parameter(name="*", group=EVERYWHERE)
@dataclass(frozen=True)
class Common(Place):
    """Where the CA is, how to answer, and who asks."""

    token_file: Annotated[Path | None, Parameter(env_var="CERTCTL_TOKEN_FILE")] = None
    """A file (mode 0600) with the token of the acting principal. Without it: admin.token in the data directory."""


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "Examples:\n\n" + "\n".join(f"  certctl {line}" for line in lines)
