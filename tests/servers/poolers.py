"""PgBouncer in transaction mode: each transaction may go to another connection of the server.

What a session keeps is not there any more at the next statement: prepared statements, `SET`, `LISTEN`,
advisory locks that outlive their transaction. The settings are the defaults: what works here works behind
most installations.
"""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict
from tests.servers.kept import Kept
from tests.servers.programs import library_path, pgbouncer
from tests.servers.sessions import Session, server_account

SETTINGS = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "any",
    "pool_mode": "transaction",
    "default_pool_size": "10",
    "max_client_conn": "1000",
    # Drivers send it before there is anything to configure; the manual's own example ignores it.
    "ignore_startup_parameters": "extra_float_digits",
}
NAMES = {"host": "host", "port": "port", "dbname": "dbname", "user": "user", "password": "password"}


class PgBouncer(Kept):
    """A pooler in front of a Postgres, whose user it is for everybody."""

    kind = "pgbouncer"

    def __init__(self, session: Session, server_url: str, *, detached: bool = False) -> None:
        """Lay out a pooler; its file holds the server's password and is readable by its user alone."""
        super().__init__(session, account=server_account(), detached=detached)
        self._server_url = server_url
        self._write(self.folder / "pgbouncer.ini")

    def command(self) -> list[str]:
        """Run it on its file."""
        return [str(pgbouncer()), str(self.folder / "pgbouncer.ini")]

    def environment(self) -> dict[str, str]:
        """Add the libraries of an unpacked one."""
        return {**super().environment(), **library_path(pgbouncer())}

    def ready(self) -> bool:
        """Whether it listens."""
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    @property
    def url(self) -> str:
        """The server's address by way of the pooler, without the options that were for the server."""
        parts = urlsplit(self._server_url)
        return urlunsplit(parts._replace(netloc=f"pooled@{self.host}:{self.port}", query=""))

    def _write(self, path: Path) -> None:
        server = conninfo_to_dict(self._server_url)
        target = " ".join(f"{name}='{_quoted(server[name])}'" for name in NAMES if server.get(name))
        settings = {**SETTINGS, "listen_port": str(self.port)}
        if mode := server.get("sslmode"):
            settings["server_tls_sslmode"] = str(mode)
        if authority := server.get("sslrootcert"):
            settings["server_tls_ca_file"] = str(authority)
        lines = ["[databases]", f"{server['dbname']} = {target}", "[pgbouncer]"]
        path.touch(mode=0o600)
        path.write_text(
            "\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items())]) + "\n"
        )
        server_account().own(path)


def _quoted(value: object) -> str:
    return str(value).replace("'", "''")
