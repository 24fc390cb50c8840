"""What Postgres says, as our errors: whether to try again, and what to do."""

from __future__ import annotations

import pytest

from cairn_runtime.errors import InvalidInput, StoreLoginRefused, StoreUnavailable, StoreUnusable
from cairn_runtime.store.postgres.faults import Lost, Refused, connect_fault, fault

PLACE = "postgresql://h/db"


@pytest.mark.parametrize(
    ("sqlstate", "kind", "words"),
    [
        pytest.param("08006", StoreUnavailable, "try again", id="the connection failed"),
        pytest.param("08P01", StoreUnavailable, "try again", id="a pooler gave up"),
        pytest.param("25006", StoreUnavailable, "standby", id="the primary became a standby"),
        pytest.param("25P03", StoreUnavailable, "try again", id="stood still in a transaction"),
        pytest.param("26000", StoreUnusable, "?pooler=transaction", id="a prepared statement is not there"),
        pytest.param("42P05", StoreUnusable, "?pooler=transaction", id="a prepared statement is there"),
        pytest.param("28P01", StoreLoginRefused, "user, password", id="a wrong password"),
        pytest.param("28000", StoreLoginRefused, "pg_hba.conf", id="not let in"),
        pytest.param("3D000", StoreUnusable, "create the database", id="no database"),
        pytest.param("40001", StoreUnavailable, "try again", id="a serialization failure"),
        pytest.param("40P01", StoreUnavailable, "try again", id="a deadlock"),
        pytest.param("42501", StoreUnusable, "right", id="no rights"),
        pytest.param("42P01", StoreUnusable, "cairn runs --store", id="no table"),
        pytest.param("42703", StoreUnusable, "cairn runs --store", id="no column"),
        pytest.param("53100", StoreUnavailable, "make room", id="the disk is full"),
        pytest.param("53200", StoreUnavailable, "try again", id="no memory"),
        pytest.param("53300", StoreUnavailable, "max_connections", id="too many connections"),
        pytest.param("55P03", StoreUnavailable, "lock", id="a lock that is not free"),
        pytest.param("57014", StoreUnavailable, "?timeout=", id="it took too long"),
        pytest.param("57P01", StoreUnavailable, "stopping", id="an administrator ended it"),
        pytest.param("57P02", StoreUnavailable, "stopping", id="the server crashed"),
        pytest.param("57P03", StoreUnavailable, "starting", id="the server starts"),
        pytest.param("57P05", StoreUnavailable, "told to end", id="it was idle for too long"),
        pytest.param("58030", StoreUnavailable, "disk", id="an error of the disk"),
        pytest.param("XX001", StoreUnusable, "damaged", id="damaged data"),
        pytest.param("22021", InvalidInput, "zero byte", id="a zero byte in text"),
        pytest.param("22P05", InvalidInput, "UTF8", id="a character that the database lacks"),
        pytest.param("22003", InvalidInput, "words", id="a number out of range"),
        pytest.param("XX000", StoreUnusable, "Postgres refused", id="anything else"),
    ],
)
def test_an_answer_is_translated_by_its_code(sqlstate, kind, words):
    """Codes are the same in every language of the server."""
    error = fault(Refused(sqlstate, "the server's words"), PLACE)

    assert type(error) is kind
    assert words in error.message
    assert error.message.startswith(f"{PLACE}: the server's words")


def test_a_lost_connection_is_unavailable():
    """Nobody knows what became of the call, and the same call again will tell."""
    assert type(fault(Lost("gone"), PLACE)) is StoreUnavailable


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ('connection failed: FATAL:  password authentication failed for user "me"', StoreLoginRefused),
        ("fe_sendauth: no password supplied", StoreLoginRefused),
        ('FATAL:  role "me" does not exist', StoreLoginRefused),
        ('FATAL:  database "nowhere" does not exist', StoreUnusable),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "me"', StoreLoginRefused),
        ("SSL error: certificate verify failed", StoreUnusable),
        ('server certificate for "a" does not match host name "b"', StoreUnusable),
        ('root certificate file "/none" does not exist', StoreUnusable),
        ("server does not support SSL, but SSL was required", StoreUnusable),
        ('definition of service "prod" not found', StoreUnusable),
        ('invalid sslmode value: "perhaps"', StoreUnusable),
        ("Connection refused\n\tIs the server running on that host?", StoreUnavailable),
        ("connection timeout expired", StoreUnavailable),
        ("could not translate host name", StoreUnavailable),
        ("FATAL:  the database system is starting up", StoreUnavailable),
        ("FATAL:  sorry, too many clients already", StoreUnavailable),
        ("session is read-only", StoreUnavailable),
        ("server is in hot standby mode", StoreUnavailable),
        ("FATAL:  \u043f\u0430\u0440\u043e\u043b\u044c", StoreUnavailable),
    ],
)
def test_what_is_said_while_connecting_is_translated_by_its_words(words, kind):
    """There is no code then; words that are not known are tried again."""
    error = connect_fault(words, PLACE)

    assert type(error) is kind
    assert "\n" not in error.message
