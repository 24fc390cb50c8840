"""Private Redis servers: what is durable is chosen by the test, and SIGKILL is SIGKILL.

Each listens on loopback and, for us alone, on a socket in its folder, by which it is asked whether it is
there, whatever encryption and passwords the test gave it.
Passwords stand in the server's file only, never on its command line.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode

import redis
from tests.servers.certificates import Certificates
from tests.servers.kept import Kept
from tests.servers.programs import library_path, redis_server
from tests.servers.sessions import Session

SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "save": '""',
    "daemonize": "no",
    "loglevel": "notice",
    # Nobody waits for more replicas to come.
    "repl-diskless-sync-delay": "0",
    # A fork to rewrite a log of a few megabytes would only disturb.
    "auto-aof-rewrite-percentage": "0",
}


class Redis(Kept):
    """A Redis server of one's own."""

    kind = "redis"

    def __init__(
        self,
        session: Session,
        *,
        settings: Mapping[str, str] | None = None,
        acl: str | None = None,
        tls: bool = False,
        detached: bool = False,
    ) -> None:
        """Lay out a server; `settings` are lines of redis.conf, such as `{"appendfsync": "always"}`.

        `acl` are the rules of the only user from outside, such as `~cairn:* &* +@all -@dangerous`; it gets a
        password. `tls` closes the port for connections that are not encrypted.
        """
        super().__init__(session, detached=detached)
        self.socket = self.folder / "s"
        self.certificates = Certificates(self.folder / "tls", None) if tls else None
        self.user = None if acl is None else "cairn"
        self.password = None if acl is None else secrets.token_urlsafe(12)
        self._admin_password = secrets.token_urlsafe(12)
        self._acl = acl
        self._write({**SETTINGS, **(settings or {})}, self._lines())

    def command(self) -> list[str]:
        """Run the server on its file."""
        return [str(redis_server()), str(self.folder / "redis.conf")]

    def environment(self) -> Mapping[str, str]:
        """Add the libraries of an unpacked server."""
        return {**super().environment(), **library_path(redis_server())}

    def ready(self) -> bool:
        """Whether it answers, its data loaded."""
        try:
            with self.admin() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            # BusyLoadingError is a ConnectionError too.
            return False

    @property
    def url(self) -> str:
        """The server's address; with user, password and certificate authority where it asks for them."""
        return self.url_at(self.host, self.port)

    def url_at(self, host: str, port: int) -> str:
        """The server's address by way of somebody else: a proxy."""
        scheme = "redis" if self.certificates is None else "rediss"
        who = "" if self.password is None else f"{self.user}:{quote(self.password)}@"
        tls = {} if self.certificates is None else self.certificates.redis_options
        return f"{scheme}://{who}{host}:{port}/0" + (f"?{urlencode(tls)}" if tls else "")

    def client(self) -> redis.Redis:
        """A client as a user has it: over the port, with encryption and password."""
        tls = self.certificates
        return redis.Redis(
            self.host,
            self.port,
            username=self.user,
            password=self.password,
            ssl=tls is not None,
            ssl_ca_certs=None if tls is None else str(tls.authority),
            socket_timeout=10,
            retry=None,
        )

    def admin(self) -> redis.Redis:
        """A client that may do everything."""
        return redis.Redis(
            unix_socket_path=str(self.socket),
            username="admin",
            password=self._admin_password,
            socket_timeout=10,
            decode_responses=False,
            retry=None,
        )

    def _lines(self) -> list[str]:
        """What makes the server this one."""
        lines = [f"dir {self.folder}", f"unixsocket {self.socket}", "unixsocketperm 700", "bind 127.0.0.1"]
        if self.certificates is None:
            lines += [f"port {self.port}"]
        else:
            lines += ["port 0", f"tls-port {self.port}", *self.certificates.redis_lines]
        lines.append(f"user admin on >{self._admin_password} ~* &* +@all")
        if self._acl is not None:
            lines += [f"user {self.user} on >{self.password} {self._acl}", "user default off"]
        return lines

    def _write(self, settings: Mapping[str, str], lines: Iterable[str]) -> None:
        text = "\n".join([*(f"{name} {value}" for name, value in settings.items()), *lines])
        path = self.folder / "redis.conf"
        path.touch(mode=0o600)
        path.write_text(text + "\n")
        assert path.stat().st_mode & 0o077 == 0
