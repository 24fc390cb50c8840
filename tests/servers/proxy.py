"""A TCP proxy between a client and a server that loses what it is told to lose.

    proxy = Proxy(("127.0.0.1", 5432), "postgres")
    lost = proxy.drop_reply(b"UPDATE run")     # the next request that says so is carried out, unheard
    ...                                        # clients of any process use proxy.host, proxy.port
    lost.wait()

It passes whole requests: "the next request that contains these bytes" is exact, whatever TCP makes of them.
Faults come in the order in which they were ordered, each for one request unless it says otherwise.
It runs in threads of its own and needs no event loop; every method may be called from any thread.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from tests.servers.wire import WIRES, Piece, Request, Wire

PATIENCE_SECONDS = 30.0
CHUNK_BYTES = 65_536


@dataclass(eq=False, slots=True)
class Fault:
    """One thing that goes wrong, once; what it did can be waited for."""

    kind: Literal["cut", "reply", "delay", "hold"]
    contains: bytes
    count: int = 0
    """Bytes that still pass: of the request for a cut, of the reply for a reply."""
    cut: bool = True
    seconds: float = 0.0
    _happened: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until it has happened: the connection is cut, the reply was swallowed, the request is held."""
        assert self._happened.wait(seconds), f"no request came for the fault {self.kind} {self.contains!r}"

    @property
    def happened(self) -> bool:
        """Whether it has."""
        return self._happened.is_set()

    def release(self) -> None:
        """Let a held request go on to the server."""
        self._released.set()


class Proxy:
    """The proxy; it listens from the moment it is made."""

    def __init__(self, server: tuple[str, int], protocol: str, *, port: int = 0) -> None:
        """Listen on a port, or on one that is free."""
        self.host = "127.0.0.1"
        self._server = server
        self._wire = WIRES[protocol]
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._faults: list[Fault] = []
        self._held: list[Fault] = []
        self._links: set[_Link] = set()
        self._requests: list[bytes] = []
        self._connections = 0
        self._closed = False
        self._listener: socket.socket | None = self._listen(port)
        self.port: int = self._listener.getsockname()[1]

    # What a test orders.

    def drop_reply(self, contains: bytes = b"", *, after_bytes: int = 0, cut: bool = True) -> Fault:
        """Pass the request, swallow the reply but its first bytes, and cut the connection when it has come.

        Without `cut` the client is left waiting on a connection that stays open.
        """
        return self._order(Fault("reply", contains, after_bytes, cut))

    def drop_request(self, contains: bytes = b"") -> Fault:
        """Cut the connection instead of passing the request."""
        return self._order(Fault("cut", contains))

    def cut_after(self, count: int, contains: bytes = b"") -> Fault:
        """Pass so many bytes of the request, then cut the connection."""
        return self._order(Fault("cut", contains, count))

    def hold(self, contains: bytes = b"") -> Fault:
        """Keep the request until `release`, even if its client has given up meanwhile."""
        return self._order(Fault("hold", contains))

    def delay(self, seconds: float, contains: bytes = b"") -> Fault:
        """Pass each such request later, until `mend`."""
        return self._order(Fault("delay", contains, seconds=seconds))

    def cut(self) -> int:
        """Cut all connections now; return how many there were."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    def stall(self) -> None:
        """Accept everything and pass nothing, in either direction, until `mend`."""
        self._flowing.clear()

    def refuse(self) -> None:
        """Refuse new connections, until `mend`; those that there are stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _close(listener)

    def mend(self) -> None:
        """Take all faults back that have not happened; held requests go on."""
        self._release()
        if self._listener is None:
            self._listener = self._listen(self.port)

    def close(self) -> None:
        """End the proxy and all its connections."""
        self._closed = True
        self.refuse()
        self.cut()
        self._release()

    # What a test learns.

    def url(self, of: str) -> str:
        """A server's URL, by way of this proxy."""
        parts = urlsplit(of)
        who, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{who}{at}{self.host}:{self.port}"))

    @property
    def connections(self) -> int:
        """How many connections were ever made."""
        return self._connections

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        with self._lock:
            return len(self._links)

    def requests(self, contains: bytes = b"") -> int:
        """How many requests came, of those that contain these bytes."""
        with self._lock:
            return sum(contains in request for request in self._requests)

    # What happens.

    def _order(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def _release(self) -> None:
        """Forget what is ordered, and let everything flow that was kept."""
        with self._lock:
            self._faults.clear()
            held, self._held = self._held, []
        for fault in held:
            fault.release()
        self._flowing.set()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server((self.host, port), backlog=512)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._connections += 1
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        """Connect to the server; one that is not there is a connection that ends."""
        try:
            server = socket.create_connection(self._server, timeout=PATIENCE_SECONDS)
        except OSError:
            _close(client)
            return
        server.settimeout(None)
        link = _Link(self, client, server, self._wire())
        with self._lock:
            self._links.add(link)
        if self._closed:
            link.cut()
        threading.Thread(target=link.pass_replies, daemon=True).start()
        link.pass_requests()

    def _meet(self, request: Request) -> Fault | None:
        """Note a request, and take the first fault that is for it."""
        with self._lock:
            self._requests.append(request.text)
            for fault in self._faults:
                if fault.contains in request.text:
                    if fault.kind != "delay":
                        self._faults.remove(fault)
                    if fault.kind == "hold":
                        self._held.append(fault)
                    return fault
        return None

    def _forget(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)

    def _flow(self) -> None:
        """Wait while the proxy is stalled."""
        self._flowing.wait()


class _Link:
    """One connection, its two directions in a thread each."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket, wire: Wire) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._wire = wire
        self._lock = threading.Lock()
        self._asked: deque[Fault | None] = deque()
        """For each request whose reply has not ended: the fault that its reply meets."""

    def cut(self) -> None:
        """End both sides now."""
        self._proxy._forget(self)
        _close(self._client)
        _close(self._server)

    def pass_requests(self) -> None:
        """Carry what the client says to the server, until either is gone."""
        with contextlib.suppress(OSError):
            while data := self._client.recv(CHUNK_BYTES):
                self._proxy._flow()
                for request in self._wire.requests(data):
                    self._pass(request)
            # Not closed: what was asked is still carried out, as with a client that died.
            self._server.shutdown(socket.SHUT_WR)
            return
        self.cut()

    def pass_replies(self) -> None:
        """Carry what the server says to the client, until the server is gone."""
        with contextlib.suppress(OSError):
            while data := self._server.recv(CHUNK_BYTES):
                self._proxy._flow()
                for piece in self._wire.replies(data):
                    self._answer(piece)
        self.cut()

    def _pass(self, request: Request) -> None:
        fault = self._proxy._meet(request)
        if fault is not None and fault.kind == "cut":
            self._server.sendall(request.data[: fault.count])
            self.cut()
            fault._happened.set()
            raise ConnectionAbortedError
        if fault is not None and fault.kind == "delay":
            time.sleep(fault.seconds)
        if fault is not None and fault.kind == "hold":
            fault._happened.set()
            fault._released.wait()
        if request.answered:
            with self._lock:
                self._asked.append(fault if fault is not None and fault.kind == "reply" else None)
        self._server.sendall(request.data)

    def _answer(self, piece: Piece) -> None:
        with self._lock:
            fault = self._asked[0] if self._asked else None
            if piece.ends and self._asked:
                self._asked.popleft()
        if fault is None:
            self._client.sendall(piece.data)
            return
        self._client.sendall(piece.data[: fault.count])
        fault.count = max(0, fault.count - len(piece.data))
        if piece.ends:
            if fault.cut:
                self.cut()
            fault._happened.set()


def _close(end: socket.socket) -> None:
    """Close a socket so that whoever waits on it in another thread wakes."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
