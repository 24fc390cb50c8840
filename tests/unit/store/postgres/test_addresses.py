"""Postgres URLs: what is libpq's, what is ours, and that nothing hostile or secret gets through."""

from __future__ import annotations

import pytest

from cairn_runtime.errors import StoreUrlInvalid
from cairn_runtime.store.opening import parse_store_url
from cairn_runtime.store.postgres import PostgresStore
from cairn_runtime.store.postgres.addresses import Address, address_of


def address(url: str) -> Address:
    return address_of(parse_store_url(url))


def test_what_is_libpqs_reaches_it_as_it_was_written():
    """Several hosts, TLS, files, services: whatever libpq knows, with its own rules for escapes."""
    options = address(
        "postgresql://me:p%40ss+word@one:1,two:2/db?sslmode=verify-full&sslrootcert=/ca.pem&service=prod"
        "&options=-c%20geqo%3Doff&schema=a&pool=3"
    ).options

    assert (options["host"], options["port"], options["dbname"]) == ("one,two", "1,2", "db")
    assert (options["user"], options["password"]) == ("me", "p@ss+word")
    assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", "/ca.pem")
    assert (options["service"], options["options"]) == ("prod", "-c geqo=off")
    assert not {"schema", "pool"} & set(options)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "PostgreSQL"])
def test_both_schemes_are_one(scheme):
    """The server's own library knows both."""
    assert address(f"{scheme}://h/db").options["host"] == "h"


def test_a_dead_network_is_noticed_in_the_time_that_was_asked_for():
    """The kernel is told too; and what the URL says about it wins."""
    options = address("postgresql://h/db?timeout=4s&keepalives_idle=77").options

    assert (options["connect_timeout"], options["tcp_user_timeout"]) == ("4", "4000")
    assert options["keepalives_idle"] == "77"


def test_without_options_the_defaults_hold():
    """A schema of Cairn's own, the primary, and UTF-8 whatever the environment says."""
    found = address("postgresql://h/db?client_encoding=latin1")

    assert found.naming.table("runs") == '"cairn"."runs"'
    assert (found.pool, found.pooled, found.timeout_seconds) == (8, False, 10.0)
    assert found.options["target_session_attrs"] == "read-write"
    assert found.options["client_encoding"] == "UTF8"
    assert found.options["application_name"] == "cairn"


def test_a_place_has_a_schema_and_a_prefix():
    """Names are quoted, so that capitals and hyphens stay what they are."""
    naming = address("postgresql://h/db?schema=Team-A&prefix=blue_").naming

    assert naming.table("runs") == '"Team-A"."blue_runs"'
    assert naming.put_in("CREATE INDEX {=by_age} ON {runs} (a)") == (
        'CREATE INDEX "blue_by_age" ON "Team-A"."blue_runs" (a)'
    )


@pytest.mark.parametrize("pooler", ["transaction", "session", "none"])
def test_the_pooler_switch(pooler):
    """Only a pooler that hands connections around by transaction changes anything."""
    assert address(f"postgresql://h/db?pooler={pooler}").pooled is (pooler == "transaction")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("h/db?scheme=a", 'there is schema, prefix, pool, pooler, timeout, and what libpq '
                     'knows; did you mean "schema"?', id="one of ours, misspelt"),
        pytest.param("h/db?sslmod=require", 'did you mean "sslmode"?', id="one of libpq's, misspelt"),
        pytest.param('h/db?schema=a"; DROP TABLE x;--', "?schema=: letters, digits", id="a quote"),
        pytest.param("h/db?schema=a%00b", "?schema=: letters, digits", id="a zero byte"),
        pytest.param("h/db?schema=a%0A", "?schema=: letters, digits", id="a line's end"),
        pytest.param("h/db?schema=", "?schema=: letters, digits", id="no schema"),
        pytest.param(f"h/db?schema={'a' * 64}", "at most 63", id="a schema longer than a name"),
        pytest.param("h/db?schema=pg_catalog", "belong to Postgres", id="a schema of the server"),
        pytest.param("h/db?prefix=a.b", "?prefix=: letters, digits", id="a dot"),
        pytest.param(f"h/db?prefix={'a' * 33}", "at most 32", id="a prefix that leaves no room"),
        pytest.param("h/db?pool=0", "?pool=: a number from 1 to 200", id="no connection"),
        pytest.param("h/db?pool=many", "?pool=: a number from 1 to 200", id="no number"),
        pytest.param("h/db?pool=\u0663", "?pool=: a number from 1 to 200", id="a digit of another script"),
        pytest.param("h/db?pooler=statement", '"statement" is not one of', id="a pooler that cannot do"),
        pytest.param("h/db?timeout=soon", "?timeout=", id="no duration"),
        pytest.param("h/db?target_session_attrs=any", "may lead to a standby", id="any server"),
        pytest.param("h/db?target_session_attrs=standby", "may lead to a standby", id="a standby"),
        pytest.param("me:a@b@h/db", "write @ as %40", id="an @ in the password"),
        pytest.param("me:a/b@h/db", "/ as %2F", id="a slash in the password"),
        pytest.param("me:a?b@h/db", "? as %3F", id="a question mark in the password"),
        pytest.param("h/db?sslmode=%zz", "libpq cannot read this", id="a broken escape"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_says_why(url, message):
    """With the option's path, and what may have been meant."""
    with pytest.raises(StoreUrlInvalid) as raised:
        address(f"postgresql://{url}")

    assert message in str(raised.value)


def test_all_faults_come_at_once():
    """Nobody mends a URL three times."""
    with pytest.raises(StoreUrlInvalid) as raised:
        address("postgresql://h/db?schema=1&pool=x&nothing=1")

    assert len(raised.value.faults) == 3


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hush@h/db",
        "postgresql://h/db?user=me&password=hush",
        "postgresql://me:hush@h:x:y/db",
        "postgresql://me:hush%zz@h/db",
        "postgresql://me:hush@h/db?schema=1",
        "postgresql://h/db?sslpassword=hush&pool=0",
        "postgresql://me:@hush@h/db",
        "postgresql://me:hush/hush@h/db",
        "postgresql://me:hush?hush@h/db",
    ],
)
def test_a_password_is_never_shown(url):
    """Not in errors, not in reprs, not in the store's own address."""
    try:
        store = PostgresStore(parse_store_url(url))
        shown = repr(store) + store.url + repr(store._address)
    except StoreUrlInvalid as error:
        shown = f"{error} {error.__cause__} {error.__context__ and error.__suppress_context__}"

    assert "hush" not in shown
