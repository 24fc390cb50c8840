"""Real processes race for runs: no stale write is accepted, no acknowledged one lost, on any store.

A few hundred races each; `make races` runs as many as are asked for.
The races must find a planted fault in the same way: what finds nothing proves nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.races.plants import PLANTS
from tests.races.situations import KINDS

from cairn_runtime.store import sqlite_files

ROOT = Path(__file__).parents[2]
SERVERS = {"postgres": "postgres_url", "redis": "redis_url"}
"""The fixture that gives a place on each kind of server; it is asked for by the tests on that kind alone."""
FOUND_BY = {
    "without-fence": "stale accepted",
    "looking-first": "stale accepted",
    "forgetful": "acknowledged lost",
    "forking": "fork|acknowledged lost|change undone",
    "halving": "torn",
    "reviving": "revived",
    "saying-yes": "acknowledged lost",
    "saying-no": "two answers",
    "giving-twice": "two holders",
    "forgetting-claims": "claim lost",
    "repeating": "change undone",
    "reading-late": "gone back",
    "losing-signals": "acknowledged lost",
    "altering": "altered",
}


def races(url: str, *arguments: str) -> subprocess.Popen[str]:
    """Start races; the URL goes by the environment, where no other user sees it."""
    command = [sys.executable, "-m", "tests.races", "-o", "json", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "CAIRN_STORE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def raced(url: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Let races run to their end: exit code, what came of them, what was said beside it."""
    with races(url, *arguments) as process:
        try:
            out, errors = process.communicate(timeout=110)
        finally:
            process.kill()
    assert out, errors
    return process.returncode, json.loads(out), errors


@pytest.fixture(params=["sqlite", "file", *SERVERS])
def url(request, tmp_path: Path) -> str:
    """The place that all processes share."""
    if request.param in SERVERS:
        return str(request.getfixturevalue(SERVERS[request.param]))
    # Races are about order, not about patience: a slow disk is no fault.
    place = {"sqlite": f"sqlite:///{tmp_path}/store.db", "file": f"file://{tmp_path}/store"}[request.param]
    return place + "?timeout=60s"


@pytest.mark.slow
def test_of_writers_that_race_nobody_is_lied_to(url):
    """300 races with some kills: every answer is true, and most races were really contested."""
    code, found, errors = raced(url, "--races", "300", "--kills", "40", "--seed", "300")
    total: Counter[str] = Counter()
    for counts in found["kinds"].values():
        total.update(counts)

    assert (code, found["violations"]) == (0, []), errors
    assert set(found["kinds"]) == set(KINDS)
    assert total["races"] == 300
    assert total["contested"] > 200
    assert min(total["acknowledged"], total["stale"], found["kinds"]["killed"]["races"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_found(tmp_path, plant):
    """A store with this one fault does not pass the races, and the fault is called by its name."""
    url = f"sqlite:///{tmp_path}/store.db?timeout=60s"

    code, found, errors = raced(url, "--plant", plant, "--races", "1500", "--crews", "1", "--seed", plant)

    assert code == 1, errors
    assert set(FOUND_BY[plant].split("|")) & {violation["rule"] for violation in found["violations"]}


def test_races_end_when_they_are_interrupted(tmp_path):
    """Ctrl-C ends after the race at hand: what was run is judged and told, and no process is left."""
    with races(f"sqlite:///{tmp_path}/store.db?timeout=60s", "--races", "1000000") as process:
        try:
            while not list(tmp_path.glob("store.db-wal")):
                assert process.poll() is None
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == 130, errors
    assert json.loads(out)["violations"] == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_url_that_cannot_be_used_is_refused(tmp_path):
    """Before anything is started, with the reason."""
    with races("sqlite://host/path") as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "three slashes" in errors


def test_a_store_that_another_process_makes_meanwhile_is_not_taken_for_a_foreign_one(tmp_path):
    """Races found it: the mark was read before, and the tables after, another process made both."""
    path = tmp_path / "store.db"
    db = sqlite3.connect(path)

    class Meanwhile:
        """The file, which is made into a store right after the first question about it."""

        def execute(self, sql: str):
            (row,) = db.execute(sql).fetchall()
            sqlite_files.open_file(path, timeout_seconds=5.0).close()
            return SimpleNamespace(fetchone=lambda: row)

    sqlite_files._refuse_foreign(cast("Any", Meanwhile()), path)

    assert db.execute("PRAGMA application_id").fetchone() == (sqlite_files.APPLICATION_ID,)
    db.close()
