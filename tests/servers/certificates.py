"""Certificates for servers of the tests: an authority of its own for each, in the files that it wants."""

from __future__ import annotations

from pathlib import Path

import trustme
from tests.servers.sessions import Account


class Certificates:
    """An authority, a server's certificate for loopback, and one for a client."""

    def __init__(self, folder: Path, account: Account | None) -> None:
        """Write them; keys are readable by the server's user alone, or the server refuses them."""
        folder.mkdir(mode=0o755)
        self.authority = folder / "ca.pem"
        self.certificate = folder / "server.pem"
        self.key = folder / "server.key"
        authority = trustme.CA()
        server = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(str(self.authority))
        server.private_key_pem.write_to_path(str(self.key))
        self.certificate.write_bytes(b"".join(part.bytes() for part in server.cert_chain_pems))
        self.key.chmod(0o600)
        if account is not None:
            account.own(self.key)

    @property
    def postgres_settings(self) -> dict[str, str]:
        """Lines of postgresql.conf."""
        return {"ssl": "on", "ssl_cert_file": str(self.certificate), "ssl_key_file": str(self.key)}

    @property
    def postgres_options(self) -> dict[str, str]:
        """Options of a client's URL by which it verifies the server."""
        return {"sslmode": "verify-full", "sslrootcert": str(self.authority)}

    @property
    def redis_lines(self) -> list[str]:
        """Lines of redis.conf."""
        files = {"cert": self.certificate, "key": self.key, "ca-cert": self.authority}
        return [*(f"tls-{name}-file {path}" for name, path in files.items()), "tls-auth-clients no"]

    @property
    def redis_options(self) -> dict[str, str]:
        """Options of a client's URL by which it verifies the server."""
        return {"ca": str(self.authority)}
