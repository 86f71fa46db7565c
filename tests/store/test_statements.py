"""Statements: one source, two dialects, parameters by name."""

import pytest
from sqlalchemy import bindparam, select, update

from store.ids import new_id
from store.records import Job
from store.schema import blocked_keys, jobs
from store.statements import POSTGRESQL, SQLITE, Statement, columns_of, insert_row, one_of, select_by
from tests.store.units import NOW

ENGINES = pytest.mark.parametrize("engine", [SQLITE, POSTGRESQL])
RENAME = Statement(
    update(blocked_keys)
    .where(blocked_keys.c.spki_sha256 == bindparam("key"), blocked_keys.c.reason.in_(one_of("x", "y")))
    .values(reason="z", blocked_at=bindparam("at"))
)


@ENGINES
def test_parameters_stand_in_the_order_of_the_text(engine: int) -> None:
    sql, parameters = insert_row(blocked_keys).bind(
        engine, {"blocked_by": "b", "reason": "r", "blocked_at": 5, "spki_sha256": "s"}
    )
    assert parameters == ("s", "r", 5, "b")
    assert ("?" in sql) == (engine == SQLITE)
    assert ("$1" in sql) == (engine == POSTGRESQL)


@ENGINES
def test_fixed_values_are_part_of_the_text(engine: int) -> None:
    """A planner can then use a partial index, and a driver keeps the statement prepared."""
    sql, parameters = RENAME.bind(engine, {"key": "k", "at": 5})
    assert sorted(map(str, parameters)) == ["5", "k"]
    assert all(f"'{value}'" in sql for value in "xyz")
    assert RENAME.bind(engine, {"key": "other", "at": 6})[0] is sql


@ENGINES
def test_a_fixed_value_s_quotes_end_nothing(engine: int) -> None:
    statement = Statement(select(blocked_keys).where(blocked_keys.c.reason == "it's; -- :a %s $1 ?"))
    sql, parameters = statement.bind(engine, {})
    assert "'it''s; -- :a %s $1 ?'" in sql
    assert parameters == ()


@ENGINES
def test_a_missing_name_is_named(engine: int) -> None:
    with pytest.raises(KeyError, match="at"):
        RENAME.bind(engine, {"key": "k"})
    with pytest.raises(KeyError, match="id"):
        select_by(Job, jobs, "id").bind(engine, {})


@ENGINES
def test_none_is_a_value(engine: int) -> None:
    values = {"spki_sha256": "s", "reason": "r", "blocked_at": 5, "blocked_by": None}
    assert insert_row(blocked_keys).bind(engine, values)[1] == ("s", "r", 5, None)


@ENGINES
def test_one_name_used_twice(engine: int) -> None:
    at = bindparam("at", type_=blocked_keys.c.blocked_at.type)
    statement = Statement(select(blocked_keys).where(blocked_keys.c.blocked_at >= at, at >= 0))
    _, parameters = statement.bind(engine, {"at": 7})
    assert set(parameters) == {7}


@ENGINES
def test_a_statement_without_parameters(engine: int) -> None:
    assert Statement(select(blocked_keys)).bind(engine, {})[1] == ()


def test_columns_in_the_order_of_the_record() -> None:
    assert [column.name for column in columns_of(Job, jobs)] == list(Job.__dataclass_fields__)


def test_repr_shows_no_value() -> None:
    assert "UPDATE blocked_keys" in repr(RENAME)
    RENAME.bind(SQLITE, {"key": "secret", "at": 5})
    assert "secret" not in repr(RENAME)


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    ids = [new_id(NOW) for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert len({len(made) for made in ids}) == 1
    assert max(ids) < new_id(type(NOW)(NOW + 1))
