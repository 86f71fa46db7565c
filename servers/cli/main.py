"""`certctl`: the commands, and the one place where errors become a line and an exit code."""

import json
import sys
import traceback
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from servers.cli.options import EXITS, Exit, examples

VERSION: Final = "0.1.0"

app: Final = App(
    name="certctl",
    help="A certificate authority's front office: no signature without a decision.",
    help_epilogue=EXITS,
    help_format="plaintext",
    version=VERSION,
    default_parameter=Parameter(negative=""),
)
# Loaded when they are called: `certctl approval list` has no use for a web server.
_COMMANDS: Final = (
    ("profile", "profiles:app", "What may be issued, and how it is decided."),
    ("approval", "approvals:app", "The questions that people are asked, and their answers."),
    ("certificate", "certificates:app", "What was issued."),
    ("job", "jobs:app", "What is under way, and how it ended."),
    ("issuer", "jobs:issuer_app", "The authorities that sign."),
    ("principal", "principals:app", "People and machines, what they may do, and their tokens."),
    ("account", "accounts:app", "ACME accounts, and the keys that vouch for them."),
    ("audit", "record:app", "The record of who did what."),
)
app.command(
    "servers.cli.init:init",
    name="init",
    help="Make a data directory into a CA.",
    help_epilogue=examples(
        "init --data ./data",
        "init --key-algorithm p384 --organization Example",
        "init --permit-dns example.com --permit-ip 10.0.0.0/8",
        "init --import-chain chain.pem --import-key issuing.key",
    ),
    sort_key=0,
)
app.command(
    "servers.cli.serve:serve",
    name="serve",
    help="Serve until SIGTERM or Ctrl-C.",
    help_epilogue=examples(
        "serve --data ./data", "serve --https 0.0.0.0:443 --http 0.0.0.0:80 --processes 4"
    ),
    sort_key=1,
)
app.command(
    "servers.cli.profiles:apply",
    name="apply",
    help="Make the profiles of a file the ones in force.",
    help_epilogue=examples("apply -f profiles.toml", "apply -f - < profiles.toml"),
    sort_key=2,
)
for _place, (_name, _where, _help) in enumerate(_COMMANDS, 3):
    app.command(f"servers.cli.{_where}", name=_name, help=_help, sort_key=_place)


@app.command(help_epilogue=examples("version --json"), sort_key=99)
def version(*, json: bool = False) -> None:
    """Print the version."""
    print(_document({"version": VERSION}) if json else VERSION)


def main() -> None:
    """The entry point of the installed command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; its exit code."""
    as_json = "--json" in arguments
    try:
        app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _say(
            Exit.USAGE, f"{' '.join(str(error).split())} (certctl --help lists all commands)", as_json=as_json
        )
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    except Exception as error:  # noqa: BLE001 - nobody ever sees a traceback for what they can put right
        from servers.cli.failures import failure_of  # noqa: PLC0415 - imports everything that can fail

        failure = failure_of(error)
        if failure is None:
            traceback.print_exc()
            return _say(
                Exit.BUG,
                f"a bug in certctl: {type(error).__name__}; please report the lines above",
                as_json=as_json,
            )
        return _say(failure.code, str(failure), as_json=as_json)
    return Exit.DONE


def _say(code: Exit, message: str, *, as_json: bool) -> int:
    if as_json:
        print(_document({"error": {"code": int(code), "message": message}}))
    print(f"certctl: {message}", file=sys.stderr)
    return code


def _document(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
