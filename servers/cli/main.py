"""`certctl`: the commands, and the one place where errors become a line and an exit code."""

import json
import sys
import traceback
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from servers.cli.options import EXITS, Exit

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
app.command("servers.cli.init:init", name="init")
app.command("servers.cli.serve:serve", name="serve")


@app.command
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
