"""Where the servers' programs are: on this machine, in a cache of ours, or installed from packages.

In CI a missing program is a failure that says what to install: `.ci/run` installs before it tests.
At home it is installed by `install.sh`: with apt-get as root; as a user without rights by unpacking the
packages into a cache outside the checkout. Where neither works, the error names the two ways out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

INSTALL = Path(__file__).with_name("install.sh")
SYSTEM = Path("/")
SYSTEM_PLACES = ("usr/local/bin", "usr/bin", "usr/local/sbin", "usr/sbin")
POSTGRES_PLACES = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/local/pgsql/bin")
POSTGRES_PROGRAMS = ("postgres", "initdb", "pg_basebackup")
INSTALL_SECONDS = 600


class ServersMissing(AssertionError):
    """A server that the tests need is not on this machine, and they may not or cannot install it."""


@cache
def postgres_programs() -> Path:
    """Find the folder with Postgres's own programs, which distributions keep away from PATH.

    Raises:
        ServersMissing: there is none.
    """
    return _found_or_installed("Postgres", _find_postgres, "CAIRN_TEST_POSTGRES_URL")


@cache
def redis_server() -> Path:
    """Find Redis.

    Raises:
        ServersMissing: there is none.
    """
    return _found_or_installed("Redis", lambda: _find("redis-server"), "CAIRN_TEST_REDIS_URL")


@cache
def pgbouncer() -> Path:
    """Find PgBouncer.

    Raises:
        ServersMissing: there is none.
    """
    return _found_or_installed("PgBouncer", lambda: _find("pgbouncer"), None)


def library_path(program: Path) -> dict[str, str]:
    """Say where an unpacked program finds its libraries; an installed one needs no word."""
    if cache_folder() not in program.parents:
        return {}
    # Some packages still say /lib, where an installation has a link to /usr/lib.
    files = [file for place in ("usr/lib", "lib") for file in cache_folder().glob(f"{place}/*/*.so.*")]
    folders = sorted({str(file.parent) for file in files})
    return {"LD_LIBRARY_PATH": ":".join(folders)}


def cache_folder() -> Path:
    """The folder for unpacked packages; a new release of the distribution starts a new one."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "cairn" / "servers" / _release()


def _found_or_installed(name: str, find: Callable[[], Path | None], variable: str | None) -> Path:
    """Find a server's programs, or install them where that is allowed."""
    said = "In CI the tests install nothing; .ci/run does it before them."
    found = find()
    if found is None and "CI" not in os.environ:
        with _one_at_a_time():
            said = "" if find() is not None else _install()
        found = find()
    if found is None:
        raise ServersMissing(_ways_out(name, said, variable))
    return found


@cache
def _install() -> str:
    """Run the installer, once in this process; return the end of what it said."""
    try:
        done = subprocess.run(
            [str(INSTALL), str(cache_folder())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    return done.stdout[-2_000:].strip()


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let one process of this user install; the others find what it installed."""
    cache_folder().parent.mkdir(parents=True, exist_ok=True)
    with (cache_folder().parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ways_out(name: str, said: str, variable: str | None) -> str:
    """Say what is missing and what to do; this text is all that a first contributor sees."""
    lines = [
        f"{name} is not installed, and the tests run against a real one. {said}",
        "Either install it; on Debian and Ubuntu: apt-get install postgresql redis-server pgbouncer",
    ]
    if variable is not None:
        lines.append(f"or give a server that the tests may write to: {variable}=URL make test")
    return "\n".join(lines)


def _find_postgres() -> Path | None:
    """The newest release, in the places of distributions, on PATH, or in our cache."""
    places = [
        place for root in (SYSTEM, cache_folder()) for glob in POSTGRES_PLACES for place in root.glob(glob)
    ]
    on_path = shutil.which("postgres")
    if on_path is not None:
        # Often a link; one that is a script of somebody's has no siblings, and is passed over.
        places.append(Path(on_path).resolve().parent)
    whole = [place for place in places if all((place / name).exists() for name in POSTGRES_PROGRAMS)]
    return max(whole, key=_major, default=None)


def _major(place: Path) -> int:
    """The release that stands in a path such as `/usr/lib/postgresql/15/bin` or `/usr/pgsql-16/bin`."""
    number = place.parent.name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _find(name: str) -> Path | None:
    on_path = shutil.which(name)
    places = [root / place / name for root in (SYSTEM, cache_folder()) for place in SYSTEM_PLACES]
    found = [Path(on_path)] if on_path else [place for place in places if os.access(place, os.X_OK)]
    return found[0] if found else None


def _release() -> str:
    """The distribution and its version, such as `debian-12`."""
    file = Path("/etc/os-release")
    lines = file.read_text().splitlines() if file.exists() else []
    words = dict(line.split("=", 1) for line in lines if "=" in line)
    return "-".join(words.get(key, "unknown").strip('"') for key in ("ID", "VERSION_ID"))
