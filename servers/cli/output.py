"""Answers: a JSON document for programs, text or a table for people."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def say(document: Any, *, as_json: bool, text: str) -> None:
    """Print `document` as JSON, or `text`."""
    print(json.dumps(document, ensure_ascii=False, indent=2) if as_json else text)


def table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool, empty: str
) -> None:
    """Print `rows` as a JSON list, or the `columns` (key to heading) of them as a table."""
    if as_json:
        print(json.dumps(list(rows), ensure_ascii=False, indent=2))
        return
    if not rows:
        print(empty)
        return
    from rich.console import Console  # noqa: PLC0415 - a twentieth of a second that JSON need not wait
    from rich.table import Table  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(row.get(key)) for key in columns))
    # Into a pipe nothing is folded: who reads it there cuts columns, not screens.
    console = Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(drawn)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return str(value)
