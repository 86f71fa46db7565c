"""One guard, and the kinds of guards that every protected table has. `guards.py` is the list.

The conditions are SQL over NEW and OLD that SQLite and PostgreSQL read alike.
"""

from dataclasses import dataclass
from typing import Final

HIDDEN_KEYS: Final = frozenset({"requests", "certificates"})
"""Guarded tables that have SQLite's hidden key (rowid), through which a row could be replaced as well."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One refusal: `event` (for example `UPDATE OF status`) on `table` when `condition` holds."""

    name: str
    table: str
    event: str
    condition: str
    message: str
    sqlite_also: str = ""
    """A further condition that makes sense to SQLite only."""

    def for_sqlite(self) -> list[str]:
        """The trigger as SQLite reads it."""
        message = self.message.replace("'", "''")
        condition = f"({self.condition} OR {self.sqlite_also})" if self.sqlite_also else self.condition
        return [
            f"CREATE TRIGGER {self.name} BEFORE {self.event} ON {self.table} FOR EACH ROW WHEN {condition}\n"
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        ]

    def for_postgresql(self, schema: str) -> list[str]:
        """The function and the trigger as PostgreSQL reads them; `schema`, quoted, is where the tables are."""
        message = self.message.replace("'", "''")
        row = "OLD" if self.event == "DELETE" else "NEW"
        statements = [
            # The path ends in pg_temp, or a temporary table of a guarded table's name would be looked at instead.
            f"CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql"
            f" SET search_path = {schema}, pg_temp AS $guard$ BEGIN\n"
            f"IF {self.condition} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END IF;\n"
            f"RETURN {row}; END $guard$",
            f"CREATE TRIGGER {self.name} BEFORE {self.event} ON {self.table} FOR EACH ROW EXECUTE FUNCTION {self.name}()",
        ]
        if self.event == "DELETE" and self.condition == _ALWAYS:
            # TRUNCATE fires no row trigger.
            statements.append(
                f"CREATE TRIGGER {self.name}_all BEFORE TRUNCATE ON {self.table}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION {self.name}()"
            )
        return statements


_ALWAYS: Final = "1 = 1"


def never(table: str, event: str, message: str) -> Guard:
    """Nobody does this to the table."""
    return Guard(f"{table}_no_{event.lower()}", table, event, _ALWAYS, message)


def fixed(table: str, columns: tuple[str, ...]) -> Guard:
    """These columns keep what was first written."""
    changed = " OR ".join(f"NEW.{c} IS DISTINCT FROM OLD.{c}" for c in columns)
    return Guard(
        f"{table}_fixed",
        table,
        "UPDATE",
        f"({changed})",
        f"{table}: what was recorded does not change",
        # UPDATE OR REPLACE that moves a row onto the hidden key of another would remove that one.
        sqlite_also="NEW.rowid <> OLD.rowid" if table in HIDDEN_KEYS else "",
    )


def taken(table: str, *keys: tuple[str, ...], also: str = "") -> Guard:
    """No insert whose `keys` are taken; `also` is a further condition under which they count as taken."""
    found = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} t WHERE {' AND '.join(f't.{c} = NEW.{c}' for c in key)})"
        for key in keys
    )
    return Guard(
        f"{table}_no_replace",
        table,
        "INSERT",
        f"({found} OR {also})" if also else f"({found})",
        f"{table}: already there",
        # In a BEFORE INSERT trigger the hidden key is -1 unless the statement names one.
        sqlite_also=(
            f"EXISTS (SELECT 1 FROM {table} t WHERE t.rowid = NEW.rowid)" if table in HIDDEN_KEYS else ""
        ),
    )


def moves(table: str, allowed: dict[str, tuple[str, ...]]) -> Guard:
    """The status moves from a key of `allowed` to one of its values and in no other way."""
    legal = " OR ".join(
        f"(OLD.status = '{old}' AND NEW.status IN ({', '.join(repr(n) for n in new)}))"
        for old, new in allowed.items()
    )
    return Guard(
        f"{table}_moves",
        table,
        "UPDATE OF status",
        f"(NEW.status <> OLD.status AND NOT ({legal}))",
        f"{table}: not a move of its state machine",
    )
