"""Private Postgres servers: quick to start, syncing as in earnest, and killed as a whole.

`initdb` runs once for a session; each server is a copy of its result.
fsync stays on: what these tests prove is about what is durable.
Everybody on this machine may connect without a password unless a test asks for one: the server listens on
loopback only, holds nothing, and lives as long as the test.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from tests.servers.certificates import Certificates
from tests.servers.kept import Kept, ServerFailed
from tests.servers.programs import library_path, postgres_programs
from tests.servers.sessions import Session, server_account

USER = "cairn"
DATABASE = "postgres"
SETTINGS = {
    # Copies of one folder, killed in the middle: nothing may lie outside the folder.
    "dynamic_shared_memory_type": "mmap",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "jit": "off",
    "autovacuum_naptime": "10s",
    # One server has no standby to wait for, and a test of one sets what it needs.
    "max_wal_senders": "4",
    "log_line_prefix": "%m [%p] ",
}


class Postgres(Kept):
    """A Postgres server of one's own."""

    kind = "postgres"
    stop_signal = signal.SIGINT  # ends sessions, writes a checkpoint
    end_signal = signal.SIGQUIT  # no checkpoint, but gives its shared memory back

    def __init__(
        self,
        session: Session,
        *,
        settings: Mapping[str, str] | None = None,
        password: bool = False,
        tls: bool = False,
        detached: bool = False,
    ) -> None:
        """Lay out a server; `settings` are lines of postgresql.conf.

        `password` asks for one over SCRAM, `tls` for an encrypted connection that is verified.
        """
        super().__init__(session, account=server_account(), detached=detached)
        self.data = self.folder / "data"
        self.password = secrets.token_urlsafe(12) if password else None
        self.certificates = Certificates(self.folder / "tls", self._account) if tls else None
        self._settings = {**SETTINGS, "port": str(self.port), **(settings or {})}
        self._lay_out()

    def command(self) -> list[str]:
        """Run the first process of the server."""
        return [str(postgres_programs() / "postgres"), "-D", str(self.data)]

    def environment(self) -> Mapping[str, str]:
        """Add the libraries of an unpacked server."""
        return {**super().environment(), **library_path(postgres_programs())}

    def ready(self) -> bool:
        """Whether it says so in its own file, which a killed one leaves behind, and lets us in."""
        file = self.data / "postmaster.pid"
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) < 8 or lines[7].strip() not in {"ready", "standby"}:
            return False
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    @property
    def url(self) -> str:
        """The server's address; with password and certificate authority where it asks for them."""
        return self.url_at(self.host, self.port)

    def url_at(self, host: str, port: int) -> str:
        """The server's address by way of somebody else: a proxy, a pooler."""
        user = USER if self.password is None else f"{USER}:{quote(self.password)}"
        tls = {} if self.certificates is None else self.certificates.postgres_options
        return f"postgresql://{user}@{host}:{port}/{DATABASE}" + (f"?{urlencode(tls)}" if tls else "")

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own; return its rows."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(sql.SQL(statement), values)
            return cursor.fetchall() if cursor.description else []

    def terminate_backends(self) -> int:
        """End every client's connection, as an administrator would; return how many there were."""
        ended = self.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return len(ended)

    def _lay_out(self) -> None:
        """Copy the session's template, and write what is this server's own."""
        _copy(_template(self.session), self.data)
        tls = {} if self.certificates is None else self.certificates.postgres_settings
        self._write_settings({**self._settings, **tls})
        method = "trust" if self.password is None else "scram-sha-256"
        kind = "host" if self.certificates is None else "hostssl"
        lines = [f"{kind} {name} all 127.0.0.1/32 {method}" for name in ("all", "replication")]
        (self.data / "pg_hba.conf").write_text("\n".join(lines) + "\n")
        if self.password is not None:
            self._set_password(self.password)

    def _write_settings(self, settings: Mapping[str, str]) -> None:
        lines = ["{} = '{}'".format(name, value.replace("'", "''")) for name, value in settings.items()]
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")

    def _set_password(self, password: str) -> None:
        """Give the user a password before anybody can connect, by Postgres's single-user mode."""
        statement = f"ALTER USER {USER} PASSWORD '{password}'\n"
        _run_as_server(["postgres", "--single", "-D", str(self.data), DATABASE], said=statement)


class Standby(Postgres):
    """A copy that follows another server, reads only, and can be promoted."""

    kind = "standby"

    def __init__(self, primary: Postgres) -> None:
        """Copy a running server, certificates and passwords too."""
        self._primary = primary
        super().__init__(primary.session)
        self.password = primary.password
        self.certificates = primary.certificates

    def promote(self) -> None:
        """Make it a server that writes; the other one is not told."""
        assert self.execute("SELECT pg_promote(true, 30)") == [(True,)]

    def catch_up(self) -> None:
        """Wait until it shows all that the other one has committed by now."""
        ((position,),) = self._primary.execute("SELECT pg_current_wal_lsn()::text")
        behind = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        self.wait_ready(lambda: self.execute(behind, position) == [(True,)])

    def _lay_out(self) -> None:
        primary = self._primary
        password = {} if primary.password is None else {"PGPASSWORD": primary.password}
        tls = {} if primary.certificates is None else {"PGSSLMODE": "require"}
        where = {"PGHOST": primary.host, "PGPORT": str(primary.port), "PGUSER": USER}
        _run_as_server(
            [
                "pg_basebackup",
                "-D",
                str(self.data),
                "--checkpoint",
                "fast",
                "--no-sync",
                "--write-recovery-conf",
            ],
            environ={**where, **password, **tls},
        )
        self._write_settings({"port": str(self.port)})


def _template(session: Session) -> Path:
    """Make the session's empty data folder, once."""
    folder = session.folder / "template"
    with session.locked("template"):
        if not folder.exists():
            making = session.new_folder("initdb")
            server_account().own(making)
            options = ["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]
            _run_as_server(["initdb", *options, "--no-sync", "--no-instructions", "-D", str(making / "data")])
            (making / "data").rename(folder)
    return folder


def _copy(template: Path, data: Path) -> None:
    """Copy a data folder with its owner and modes, sharing blocks where the file system can."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(template), str(data)], check=True)


def _run_as_server(command: list[str], *, said: str = "", environ: Mapping[str, str] | None = None) -> None:
    """Run one of Postgres's programs as the server's user.

    Raises:
        ServerFailed: with what it said.
    """
    path = postgres_programs() / command[0]
    done = subprocess.run(
        [str(path), *command[1:]],
        input=said.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
            "TZ": "UTC",
            **library_path(path),
            **(environ or {}),
        },
        check=False,
        **server_account().arguments,
    )
    if done.returncode != 0:
        raise ServerFailed(f"{command[0]} failed: {done.stdout.decode(errors='replace')[-3_000:]}")
