"""SQL that is written once as SQLAlchemy Core and compiled once per engine.

The hot path hands the driver finished text and a tuple: going through SQLAlchemy's execution
costs more than the database does (docs/performance.md). `Statement` keeps what Core is good at
(one source for two dialects, columns that must exist) and leaves the rest out.
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import BindParameter, Table, bindparam, insert, literal, literal_column, select
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.dialects.sqlite.pysqlite import dialect as sqlite_dialect
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement, visitors

SQLITE: Final = 0
POSTGRESQL: Final = 1
_DIALECTS: Final[tuple[Dialect, Dialect]] = (sqlite_dialect(), asyncpg_dialect())  # type: ignore[no-untyped-call]


Form = tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]
"""A statement as one engine reads it: its text, and what puts named values into the order of its parameters."""


class Statement:
    """One statement with named parameters; a name that is not given falls back to a literal's value.

    The values it compares with become part of its text. A planner that does not see `status = 'pending'` cannot
    use an index over pending rows: PostgreSQL does without, SQLite compiles the statement anew at each execution.
    """

    __slots__ = ("_clause", "forms")

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause
        self.forms: list[Form | None] = [None, None]
        """By engine; None until `compile` was asked for it."""

    def compile(self, engine: int) -> Form:
        """The form for `engine`, to be kept."""
        form = self.forms[engine] = _compile(self._clause, _DIALECTS[engine])
        return form

    def bind(self, engine: int, values: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """The SQL text for `engine` and its parameters in order; KeyError names a missing one."""
        sql, arrange = self.forms[engine] or self.compile(engine)
        return sql, arrange(values)

    def __repr__(self) -> str:
        """The statement's text, never a value."""
        return f"Statement({str(self._clause)!r})"


def _compile(clause: ClauseElement, dialect: Dialect) -> Form:
    spelt_out: Any = visitors.replacement_traverse(clause, {}, _spell_out)
    compiled = spelt_out.compile(dialect=dialect)
    required = {bind.key for bind in compiled.binds.values() if bind.required}
    literals = {key: value for key, value in compiled.params.items() if key not in required}
    arrange = _arrangement(tuple(compiled.positiontup or ()))
    if literals:
        return str(compiled), lambda values: arrange({**literals, **values})
    return str(compiled), arrange


def _arrangement(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What picks the values of `names`. An itemgetter makes no Python call, but gives a tuple for two names or more."""
    match names:
        case ():
            return lambda _: ()
        case (name,):
            return lambda values: (values[name],)
    return itemgetter(*names)


def _spell_out(element: Any, **_: Any) -> Any:
    """The value of a plain word or number in place of its parameter; None leaves everything else as it is."""
    if isinstance(element, BindParameter) and not element.required:
        if type(element.value) is str:
            return literal_column("'" + element.value.replace("'", "''") + "'", element.type)
        if type(element.value) is int:
            return literal_column(str(element.value), element.type)
    return None


def insert_row(table: Table) -> Statement:
    """An insert of one whole row; every column is a parameter of its own name."""
    return Statement(insert(table).values({c.name: bindparam(c.name) for c in table.columns}))


def one_of(*values: str) -> list[BindParameter[str]]:
    """`values` for `in_`, each a parameter of its own: SQLAlchemy would spell a plain list anew at each execution."""
    return [literal(value) for value in values]


def columns_of(record: type, table: Table) -> list[Any]:
    """The columns of `table` in the order of the fields of the dataclass `record`."""
    return [table.c[name] for name in record.__dataclass_fields__]  # type: ignore[attr-defined]


def select_by(record: type, table: Table, *keys: str) -> Statement:
    """The row of `table` whose columns `keys` equal the parameters of the same names, as `record` reads it."""
    return Statement(
        select(*columns_of(record, table)).where(*[table.c[key] == bindparam(key) for key in keys])
    )
