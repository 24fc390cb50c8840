from __future__ import annotations

import asyncio
import os

import pytest

from cairn_runtime.engine.execute.lines import MAX_LINE, Lines


async def passed_on(*chunks: bytes) -> tuple[list[str], Lines]:
    """What is passed on of a pipe into which these chunks are written."""
    reader, writer = os.pipe()
    out: list[str] = []
    lines = Lines(asyncio.get_running_loop(), reader, out.append)
    for chunk in chunks:
        os.write(writer, chunk)
        lines._read()
    os.close(writer)
    await lines.eof
    return out, lines


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([b"one\ntwo\n"], ["one", "two"], id="two lines"),
        pytest.param([b"on", b"e\ntw", b"o"], ["one", "two"], id="lines in pieces, the last without an end"),
        pytest.param([b"one\r\n\n  \ntwo\n"], ["one", "two"], id="blank lines and carriage returns"),
        pytest.param([b"caf\xc3", b"\xa9\n"], ["café"], id="a character in pieces"),
        pytest.param([b"\xff\n"], ["\ufffd"], id="bytes that are no text"),
        pytest.param([], [], id="nothing"),
    ],
)
async def test_each_line_is_passed_on(chunks: list[bytes], expected: list[str]) -> None:
    """Whole, decoded, however it was written."""
    out, _ = await passed_on(*chunks)

    assert out == expected


async def test_a_line_without_end_is_passed_on_in_pieces() -> None:
    """Memory stays bounded and nothing is lost."""
    out, _ = await passed_on(b"x" * (3 * MAX_LINE + 5))

    assert "".join(out) == "x" * (3 * MAX_LINE + 5)
    assert max(map(len, out)) == MAX_LINE


async def test_the_last_line_is_remembered() -> None:
    """It goes into the error's text."""
    _, lines = await passed_on(b"one\n", b"two\n\n")

    assert lines.last == "two"


async def test_draining_passes_on_a_line_that_has_no_end_yet() -> None:
    """What a step printed last must not be taken for the next step's."""
    reader, writer = os.pipe()
    out: list[str] = []
    lines = Lines(asyncio.get_running_loop(), reader, out.append)
    os.write(writer, b"one\nhalf a li")

    lines.drain()

    assert out == ["one", "half a li"]
    lines.close()
    os.close(writer)


async def test_closing_does_not_wait_for_who_still_writes() -> None:
    """A background child may hold the pipe open for ever."""
    reader, writer = os.pipe()
    out: list[str] = []
    lines = Lines(asyncio.get_running_loop(), reader, out.append)
    os.write(writer, b"half a li")
    lines._read()

    lines.close()
    lines.close()

    assert (lines.eof.done(), out) == (True, ["half a li"])
    os.close(writer)
