"""The protocol: commands as bytes, and replies however their bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.store.redis.replies import Refusal, Reply, ReplyReader, command

LINES = st.binary(max_size=20).filter(lambda data: b"\r" not in data and b"\n" not in data)
REPLIES = st.recursive(
    st.binary(max_size=300) | st.integers() | st.none() | st.builds(lambda text: ("line", text), LINES),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


def written(reply: Reply) -> bytes:
    """Write a reply as a server does."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case ("line", text):
            return b"+%b\r\n" % text
        case Refusal():
            return f"-{reply.text}\r\n".encode()
    return b"*%d\r\n" % len(reply) + b"".join(map(written, reply))


def plain(reply: Reply) -> Reply:
    """The reply as it is read: a line is bytes."""
    if isinstance(reply, tuple) and reply[0] == "line":
        return reply[1]
    return [plain(part) for part in reply] if isinstance(reply, list) else reply


@given(st.lists(REPLIES, max_size=5), st.lists(st.integers(min_value=1, max_value=40), max_size=60))
def test_replies_are_read_however_they_are_cut(replies, cuts):
    """A packet may end anywhere, in the middle of a length as well as of a line's end."""
    data = b"".join(map(written, replies))
    reader, found = ReplyReader(), []
    for cut in cuts:
        found += reader.feed(data[:cut])
        data = data[cut:]
    found += reader.feed(data)

    assert found == [plain(reply) for reply in replies]


def test_large_replies_come_in_many_packets():
    """What was read is let go, so that memory follows what is still to come."""
    blob = bytes(range(256)) * 4000
    data = written([blob, [blob, 1], None]) * 3
    reader, found = ReplyReader(), []
    for start in range(0, len(data), 1000):
        found += reader.feed(data[start : start + 1000])

    assert found == [[blob, [blob, 1], None]] * 3
    assert len(reader._data) == 0


def test_an_error_is_a_reply_with_a_code():
    """Its first word says what kind it is."""
    (reply, nested) = ReplyReader().feed(b"-WRONGTYPE Operation against\r\n*2\r\n:1\r\n-ERR no\r\n")

    assert reply == Refusal("WRONGTYPE", "WRONGTYPE Operation against")
    assert nested == [1, Refusal("ERR", "ERR no")]


def test_an_absent_list_is_nothing():
    """A null array, as a transaction that was not carried out answers."""
    assert ReplyReader().feed(b"*-1\r\n*0\r\n") == [None, []]


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n", b"$x\r\n", b":\r\n"])
def test_what_is_no_reply_is_refused(data):
    """Another protocol on the port is not waited for."""
    with pytest.raises(ValueError, match=r"not a reply|invalid literal"):
        ReplyReader().feed(data)


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        (("GET", b"k"), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
        (("SET", "\u00fc", -7), b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xbc\r\n$2\r\n-7\r\n"),
        (("X", b"a\r\nb" * 300), b"*2\r\n$1\r\nX\r\n$1200\r\n%b\r\n" % (b"a\r\nb" * 300)),
        (("X", ""), b"*2\r\n$1\r\nX\r\n$0\r\n\r\n"),
    ],
    ids=["bytes", "text and numbers", "long and binary", "empty"],
)
def test_a_command_is_written_with_lengths(arguments, data):
    """Whatever stands in an argument, it is one argument."""
    assert command(*arguments) == data
