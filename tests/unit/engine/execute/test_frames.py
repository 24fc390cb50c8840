from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.engine.execute.frames import Channel, Decoder, pack

MESSAGES: list[Any] = [{"kind": "a"}, {"value": "é" * 100}, {}, {"n": [1, 2.5, None]}]


@given(st.lists(st.integers(1, 40), min_size=1))
def test_messages_survive_any_cutting(sizes: list[int]) -> None:
    """A stream knows no message borders."""
    data = b"".join(pack(message) for message in MESSAGES) * 3
    decoder, out, rest = Decoder(), [], data

    for size in sizes:
        out += decoder.feed(rest[:size])
        rest = rest[size:]
    out += decoder.feed(rest)

    assert out == MESSAGES * 3


def test_what_is_not_json_is_refused_before_it_is_sent() -> None:
    """Half a surrogate pair is text to Python only."""
    with pytest.raises(TypeError):
        pack({"a": "\ud800"})


def test_a_channel_gives_messages_in_order_and_then_the_end() -> None:
    """None tells the worker that its runner has closed."""
    near, far = socket.socketpair()
    channel = Channel(far.detach())
    near.sendall(b"".join(pack(message) for message in MESSAGES))
    near.close()

    assert [channel.receive() for _ in range(5)] == [*MESSAGES, None]
    channel._socket.close()


def test_a_channel_is_not_inherited_by_what_a_step_starts() -> None:
    """A child of the step must not hold the runner's line open."""
    near, far = socket.socketpair()
    fd = far.detach()
    os.set_inheritable(fd, True)

    channel = Channel(fd)

    assert os.get_inheritable(fd) is False
    channel.send(pack({"a": 1}))
    assert Decoder().feed(near.recv(100)) == [{"a": 1}]
    near.close()
    channel._socket.close()
