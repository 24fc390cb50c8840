"""Nothing of the servers outlives the tests, whatever ends those; and none is silently missing.

Each test here runs a pytest of its own, on a file that is written for it, with the fixtures of all tests.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.crash.executors.processes import alive, until
from tests.servers import making, programs
from tests.servers.programs import ServersMissing
from tests.servers.sessions import Session
from tests.servers.shared import shared_url

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90.0
CONFTEST = "from tests.conftest import *  # noqa: F403\n"
ASKING = '''
import json, os, time
from pathlib import Path

FACTS = Path(os.environ["CAIRN_TEST_FACTS"])

def note(servers_session, request, *urls):
    """Say what was given, and its processes: keepers by their command, servers by their parents."""
    parents, pids = {}, set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if str(servers_session.folder) in (folder / "cmdline").read_text():
                pids.add(int(folder.name))
        except OSError:
            continue
    while found := {pid for pid, parent in parents.items() if parent in pids} - pids:
        pids |= found
    facts = {"pids": list(pids), "urls": urls, "folder": str(servers_session.folder), "worker": os.getpid()}
    part = FACTS / (request.node.name + ".part")
    part.write_text(json.dumps(facts))
    part.rename(FACTS / request.node.name)

def stay():
    while True:
        time.sleep(1)
'''
STAYING = f"""{ASKING}
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_stays(servers_session, postgres_url, redis_url, private_redis, request, number):
    note(servers_session, request, postgres_url.split("?")[0], redis_url.split("?")[0])
    stay()
"""
FAILING = f"""{ASKING}
def test_fails(servers_session, postgres_url, redis_url, private_redis, request):
    note(servers_session, request, postgres_url, redis_url)
    assert False
"""
ASKING_FOR_NONE = """
import sys

def test_asks_for_none(servers_session):
    assert not servers_session.folder.exists()
    assert {"psycopg", "redis", "tests.servers.making"} & set(sys.modules) == set()
"""


@contextmanager
def running(folder: Path, test: str, *options: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Run a pytest on a file, and let none survive this test."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_inner.py").write_text(test)
    (folder / "facts").mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CAIRN"))}
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml")]
    process = subprocess.Popen(
        [*pytest_here, "-p", "no:cacheprovider", *options, str(folder)],
        cwd=ROOT,
        env={**clean, "CAIRN_TEST_FACTS": str(folder / "facts"), **environ},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def facts_of(folder: Path, count: int) -> list[dict]:
    """What the inner tests noted, once so many have; a pytest takes its time to start on a busy machine."""
    end = time.monotonic() + PATIENCE_SECONDS
    while len(noted := sorted((folder / "facts").glob("*]"))) < count:
        assert time.monotonic() < end, "the inner tests never ran"
        time.sleep(0.02)
    return [json.loads(path.read_text()) for path in noted]


@pytest.mark.parametrize(
    ("workers", "number"),
    [(0, signal.SIGTERM), (2, signal.SIGKILL)],
    ids=["one process, SIGTERM", "a controller with two workers, SIGKILL"],
)
def test_killed_tests_leave_no_server(tmp_path, workers, number):
    """Shared servers, of which there is one for all workers, private ones, and their folder are gone."""
    with running(tmp_path, STAYING, "-n", str(workers)) as process:
        facts = facts_of(tmp_path, max(1, workers))

        process.send_signal(number)

        pids = {pid for fact in facts for pid in fact["pids"]}
        until(lambda: not any(alive(pid) for pid in pids), "all servers are gone")
        until(lambda: not Path(facts[0]["folder"]).exists(), "the folder is gone")
    assert len(pids) > 2 * (2 + len(facts)), "each server and its keeper were there"
    assert len({fact["worker"] for fact in facts}) == max(1, workers)
    assert len({tuple(fact["urls"]) for fact in facts}) == 1


def test_failed_tests_leave_no_server(tmp_path):
    """When the tests are over, so are the servers: nothing waits for a timeout."""
    with running(tmp_path, FAILING, "-n", "1") as process:
        said, _ = process.communicate(timeout=100)

    facts = json.loads((tmp_path / "facts" / "test_fails").read_text())
    assert "1 failed" in said
    assert "error" not in said.lower().replace("assertionerror", "")
    assert [pid for pid in facts["pids"] if alive(pid)] == []
    assert not Path(facts["folder"]).exists()


def test_who_asks_for_no_server_pays_for_none(tmp_path):
    """No folder is made, no driver is loaded."""
    with running(tmp_path, ASKING_FOR_NONE, "-n", "0") as process:
        said, _ = process.communicate(timeout=100)

    assert "1 passed" in said, said


def test_a_server_dies_with_its_keeper(private_redis):
    """The keeper is what nobody should kill; if somebody does, its server does not stay."""
    with private_redis.client() as client:
        pid = client.info("server")["process_id"]

    os.kill(private_redis.keeper_pid, signal.SIGKILL)

    until(lambda: not alive(pid), "the server is gone")


def test_a_given_server_is_used(tmp_path, monkeypatch):
    """Whoever names a server gets no other, and needs none installed."""
    session = Session(tmp_path / "session", os.getpid())
    monkeypatch.setenv("CAIRN_TEST_POSTGRES_URL", "postgresql://given/db")
    monkeypatch.setenv("CAIRN_TEST_REDIS_URL", "redis://given")

    urls = making.shared_postgres(session), making.shared_redis(session)

    assert urls == ("postgresql://given/db", "redis://given")
    assert not session.folder.exists()


def test_a_start_that_failed_is_not_tried_again(tmp_path):
    """Every test that needs the server fails at once, with the words of the first."""
    session = Session(tmp_path / "session", os.getpid())
    tried = []

    def make():
        tried.append(1)
        raise ServersMissing("install it")

    for _ in range(3):
        with pytest.raises(AssertionError, match="install it"):
            shared_url(session, "postgres", make)

    assert tried == [1]


@pytest.fixture
def bare_machine(tmp_path, monkeypatch) -> Iterator[Path]:
    """A machine with none of the servers, a cache of its own, and an installer that can be written."""
    installer = tmp_path / "install.sh"
    finders = (programs.postgres_programs, programs.redis_server, programs.pgbouncer, programs._install)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(programs, "SYSTEM", tmp_path / "system")
    monkeypatch.setattr(programs, "INSTALL", installer)
    for finder in finders:
        finder.cache_clear()
    yield installer
    for finder in finders:
        finder.cache_clear()


def write_installer(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


FINDERS = pytest.mark.parametrize(
    ("find", "name", "variable"),
    [
        ("postgres_programs", "Postgres", "CAIRN_TEST_POSTGRES_URL"),
        ("redis_server", "Redis", "CAIRN_TEST_REDIS_URL"),
        ("pgbouncer", "PgBouncer", None),
    ],
)


@FINDERS
def test_in_ci_a_missing_server_fails_with_what_to_install(bare_machine, monkeypatch, find, name, variable):
    """Nothing is installed behind the back of a build, and nothing is left out."""
    write_installer(bare_machine, f"touch {bare_machine}.ran")
    monkeypatch.setenv("CI", "true")

    with pytest.raises(ServersMissing) as caught:
        getattr(programs, find)()

    text = str(caught.value)
    assert text.startswith(f"{name} is not installed")
    assert "apt-get install postgresql redis-server pgbouncer" in text
    assert variable is None or f"{variable}=URL make test" in text
    assert not Path(f"{bare_machine}.ran").exists()


@FINDERS
def test_at_home_an_install_that_fails_names_the_ways_out(bare_machine, find, name, variable):
    """What the installer said stands beside them."""
    write_installer(bare_machine, "echo no network today; exit 1")

    with pytest.raises(ServersMissing, match="no network today") as caught:
        getattr(programs, find)()

    assert "apt-get install" in str(caught.value)


def test_at_home_what_is_missing_is_unpacked_into_the_cache(bare_machine):
    """Programs and libraries are found there, for both servers after one install."""
    write_installer(
        bare_machine,
        'echo ran >> "$0.ran"; PATH=/usr/bin:/bin\n'
        'mkdir -p "$1/usr/lib/postgresql/15/bin" "$1/usr/lib/x86_64-linux-gnu" "$1/usr/bin"\n'
        'cd "$1/usr"; touch lib/x86_64-linux-gnu/libpq.so.5\n'
        "for name in postgres initdb pg_basebackup; do touch lib/postgresql/15/bin/$name; done\n"
        "touch bin/redis-server; chmod +x bin/redis-server",
    )

    postgres, redis = programs.postgres_programs(), programs.redis_server()

    assert postgres == programs.cache_folder() / "usr/lib/postgresql/15/bin"
    assert redis == programs.cache_folder() / "usr/bin/redis-server"
    assert programs.library_path(redis) == {
        "LD_LIBRARY_PATH": str(programs.cache_folder() / "usr/lib/x86_64-linux-gnu")
    }
    assert Path(f"{bare_machine}.ran").read_text() == "ran\n"


def test_the_newest_postgres_is_taken_and_a_wrapper_on_the_path_is_not(bare_machine, tmp_path):
    """A folder counts only if all of Postgres's programs are in it."""
    for place in ("system/usr/lib/postgresql/9/bin", "system/usr/lib/postgresql/16/bin"):
        (tmp_path / place).mkdir(parents=True)
        for name in programs.POSTGRES_PROGRAMS:
            (tmp_path / place / name).touch()
    (tmp_path / "system/usr/lib/postgresql/17/bin").mkdir(parents=True)
    (tmp_path / "postgres").touch(mode=0o755)

    assert programs.postgres_programs() == tmp_path / "system/usr/lib/postgresql/16/bin"
