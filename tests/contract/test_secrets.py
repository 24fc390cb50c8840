"""A password of a store's URL is shown by no verb, in no format, in no error and no log."""

from __future__ import annotations

import pytest

from cairn_runtime.cli.__main__ import main

PASSWORD = "canary-password-5150"
NOWHERE = [
    "postgresql://cairn:{}@127.0.0.1:1/cairn?timeout=100ms",
    "postgresql://127.0.0.1:1/cairn?user=cairn&password={}&timeout=100ms",
    "redis://cairn:{}@127.0.0.1:1/0?timeout=100ms",
    "redis://:{}@127.0.0.1:1/0?stale=1",
    "sqlite://cairn:{}@x/y.db",
    "nothing://cairn:{}@host/x",
]
"""Servers that do not answer, and URLs that cannot be used."""


@pytest.mark.parametrize("where", NOWHERE)
@pytest.mark.parametrize(
    "verb", [("runs",), ("verify",), ("store", "check"), ("store", "migrate")], ids=" ".join
)
def test_no_verb_shows_a_password(capsys, monkeypatch, verb, where):
    """For people, as a document, and with the traceback and the log of --debug."""
    monkeypatch.setenv("CAIRN_STORE_URL", where.format(PASSWORD))

    for more in ((), ("-o", "json"), ("--debug",)):
        code = main([*verb, *more])
        out, err = capsys.readouterr()
        assert code != 0
        assert out + err
        assert PASSWORD not in out + err
