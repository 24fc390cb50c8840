"""The proxy of the tests, in front of a server that answers each line with the same line."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.servers.proxy import Proxy

PATIENCE_SECONDS = 20.0


class Echo:
    """A server that says what was said to it, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                threading.Thread(target=self._serve, args=self._listener.accept()[:1], daemon=True).start()
        except OSError:
            return

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rwb") as stream:
            for line in stream:
                self.heard.append(line)
                stream.write(line)
                stream.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Client:
    """Somebody who asks the server, by way of the proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._socket = socket.create_connection((proxy.host, proxy.port), timeout=PATIENCE_SECONDS)
        self._stream = self._socket.makefile("rwb")

    def say(self, data: bytes) -> None:
        self._stream.write(data)
        self._stream.flush()

    def hear(self) -> bytes:
        """A line, or nothing where the connection has ended."""
        try:
            return self._stream.readline()
        except ConnectionResetError:
            return b""

    def ask(self, data: bytes) -> bytes:
        self.say(data)
        return self.hear()

    def hears_nothing(self) -> bool:
        """Whether the connection is open and nothing has come."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1)
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(PATIENCE_SECONDS)
        return False

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo) -> Iterator[Proxy]:
    made = Proxy(echo.address, "lines")
    yield made
    made.close()


@pytest.fixture
def connect(proxy):
    clients = []

    def connected() -> Client:
        clients.append(Client(proxy))
        return clients[-1]

    yield connected
    for client in clients:
        client.close()


def test_what_is_asked_is_answered(proxy, connect):
    """Without a fault the proxy is not there, and it counts."""
    first, second = connect(), connect()

    answers = [first.ask(b"a\n"), second.ask(b"b\n"), first.ask(b"c\n")]

    assert answers == [b"a\n", b"b\n", b"c\n"]
    assert (proxy.connections, proxy.open_connections, proxy.requests()) == (2, 2, 3)


def test_a_request_in_many_packets_is_one(proxy, connect):
    """What TCP makes of a request does not matter: a fault meets it as a whole."""
    client = connect()
    lost = proxy.drop_reply(b"commit")

    for part in (b"com", b"mi", b"t\n"):
        client.say(part)

    assert client.hear() == b""
    lost.wait()


def test_a_dropped_reply_was_carried_out(proxy, connect, echo):
    """The server has done it, and the client sees its connection end; the next one works."""
    client = connect()
    lost = proxy.drop_reply(b"commit")

    answers = [client.ask(b"read\n"), client.ask(b"commit 1\n")]
    lost.wait()
    after = connect().ask(b"commit 2\n")

    assert answers == [b"read\n", b""]
    assert echo.heard == [b"read\n", b"commit 1\n", b"commit 2\n"]
    assert after == b"commit 2\n"


def test_a_dropped_reply_can_leave_the_client_waiting(proxy, connect):
    """Without a cut nothing tells the client; later replies on the same connection do come."""
    client = connect()
    lost = proxy.drop_reply(b"commit", cut=False)

    client.say(b"commit\n")
    lost.wait()

    assert client.hears_nothing()
    assert client.ask(b"again\n") == b"again\n"


def test_a_reply_can_be_torn(proxy, connect):
    """Its first bytes come, the rest does not."""
    client = connect()
    proxy.drop_reply(b"commit", after_bytes=3)

    assert client.ask(b"commit\n") == b"com"


def test_a_dropped_request_was_never_carried_out(proxy, connect, echo):
    """The client cannot tell it from a dropped reply, the server can."""
    proxy.drop_request(b"commit")

    assert connect().ask(b"commit 1\n") == b""
    assert connect().ask(b"commit 2\n") == b"commit 2\n"
    assert echo.heard == [b"commit 2\n"]


def test_a_request_can_be_torn(proxy, connect, echo):
    """The server gets its first bytes and then the end."""
    proxy.cut_after(4, b"commit")

    assert connect().ask(b"commit\n") == b""
    until(lambda: echo.heard == [b"comm"])


def test_a_held_request_comes_late(proxy, connect, echo):
    """Its client has given up, another has asked, and only then the old request arrives."""
    old = connect()
    held = proxy.hold(b"commit old")
    old.say(b"commit old\n")
    held.wait()
    old.close()

    answer = connect().ask(b"commit new\n")
    heard = list(echo.heard)
    held.release()

    assert answer == b"commit new\n"
    assert heard == [b"commit new\n"]
    until(lambda: echo.heard == [b"commit new\n", b"commit old\n"])


def test_faults_come_in_the_order_in_which_they_were_ordered(proxy, connect):
    """Each meets one request, and only one that contains its bytes."""
    proxy.drop_request(b"commit")
    proxy.drop_reply(b"commit")

    answers = [connect().ask(line) for line in (b"read\n", b"commit\n", b"commit\n", b"commit\n")]

    assert answers == [b"read\n", b"", b"", b"commit\n"]


def test_a_cut_ends_all_connections(proxy, connect):
    """All that there are now, and no later one."""
    clients = [connect() for _ in range(3)]
    said = [client.ask(b"a\n") for client in clients]

    cut = proxy.cut()

    assert (said, cut) == ([b"a\n"] * 3, 3)
    assert [client.hear() for client in clients] == [b""] * 3
    assert connect().ask(b"b\n") == b"b\n"
    assert proxy.open_connections == 1


def test_a_stalled_proxy_accepts_and_says_nothing(proxy, connect, echo):
    """What was said meanwhile goes on when it is mended."""
    before = connect()
    before.ask(b"a\n")
    proxy.stall()
    during = connect()
    before.say(b"b\n")
    during.say(b"c\n")
    silent = before.hears_nothing() and during.hears_nothing() and echo.heard == [b"a\n"]

    proxy.mend()

    assert silent
    assert (before.hear(), during.hear()) == (b"b\n", b"c\n")


def test_a_refusing_proxy_has_no_door(proxy, connect):
    """New connections are refused, those that there are stay; mended, it has the same port as before."""
    before = connect()
    before.ask(b"a\n")
    proxy.refuse()

    with pytest.raises(ConnectionRefusedError):
        connect()
    still = before.ask(b"b\n")
    proxy.mend()

    assert still == b"b\n"
    assert connect().ask(b"c\n") == b"c\n"


def test_a_delayed_request_is_passed(proxy, connect, echo):
    """A delay holds for every request until it is taken back, and loses nothing."""
    proxy.delay(0.01, b"slow")

    answers = [connect().ask(line) for line in (b"slow 1\n", b"quick\n", b"slow 2\n")]

    assert answers == echo.heard == [b"slow 1\n", b"quick\n", b"slow 2\n"]


def test_faults_that_did_not_happen_are_taken_back(proxy, connect):
    """Mended means that nothing is lost any more."""
    lost = proxy.drop_request(b"commit")

    proxy.mend()

    assert connect().ask(b"commit\n") == b"commit\n"
    assert not lost.happened


def test_a_server_that_is_not_there_is_a_connection_that_ends(proxy, connect, echo):
    """The proxy stands; whoever comes is let in and sees the end."""
    echo.close()

    assert connect().ask(b"a\n") == b""


def test_a_proxy_is_put_into_a_url(proxy):
    """User, password, database and options stay."""
    url = proxy.url("postgresql://u:p%40@db.example:5432/x?sslmode=require")

    assert url == f"postgresql://u:p%40@127.0.0.1:{proxy.port}/x?sslmode=require"


def until(fact) -> None:
    """Wait for what must come true."""
    waiting = threading.Event()
    for _ in range(2_000):
        if fact():
            return
        waiting.wait(0.01)
    pytest.fail("never came true")
