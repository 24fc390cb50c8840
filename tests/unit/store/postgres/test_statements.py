"""The statements of a place: names put in, values numbered, reads told from writes."""

from __future__ import annotations

import re

import pytest

from cairn_runtime.store.postgres.statements import TABLES, Naming, statements
from cairn_runtime.store.queries import migrations, queries

PLAIN = Naming("cairn", "")
OTHER = Naming("a", "b_")


def test_every_table_of_the_schema_is_known():
    """The care of a place (its size, its names) misses none."""
    made = re.findall(r"CREATE TABLE \{(\w+)\}", "".join(step.sql for step in migrations("postgres")))

    assert sorted(made) == sorted(TABLES)


def test_a_statement_names_only_tables_that_there_are():
    """A misspelt name would be found by whoever calls it first."""
    named = {name for sql in queries("postgres").values() for name in re.findall(r"\{=?(\w+)\}", sql)}

    assert named == set(TABLES)


def test_values_are_numbered_by_their_first_appearance():
    """The same name is the same value, wherever it stands."""
    statement = statements(PLAIN)["claim"]

    assert statement.values[0] == "claim_id"
    assert len(set(statement.values)) == len(statement.values) == len(statement.formats)
    assert set(re.findall(rb"\$(\d+)", statement.sql)) == {
        b"%d" % n for n in range(1, len(statement.values) + 1)
    }


@pytest.mark.parametrize("name", sorted(queries("postgres")))
def test_every_value_says_its_type_where_it_stands_first(name):
    """Values go without types: the statement is where the server learns them."""
    sql = re.sub(r"--.*", "", queries("postgres")[name])
    first = {}
    for value, cast in re.findall(r"\$([a-z_]+)(::\w+)?", sql):
        first.setdefault(value, cast)

    assert all(first.values()), first


def test_two_places_share_no_prepared_statement():
    """Behind a pooler that nobody told us of, a name must not mean two things."""
    one, two = statements(PLAIN), statements(OTHER)

    named = [name for name in one if "{" in queries("postgres")[name]]
    assert not {one[name].prepared_name for name in named} & {two[name].prepared_name for name in named}
    assert all(len(statement.prepared_name) < 63 for statement in one.values())


def test_behind_a_pooler_reads_tell_where_they_were_read():
    """Every statement may meet another server; what writes fails on a standby by itself."""
    pooled = statements(PLAIN, on_primary=True)

    reads = {name for name, statement in statements(PLAIN).items() if statement.sql.startswith(b"SELECT")}
    asking = {"greet", "settle_in", "lock_schema", "lock_run"}
    assert {name for name, statement in pooled.items() if statement.guarded} == reads - asking
    assert not any(statement.guarded for statement in statements(PLAIN).values())
