"""`cairn run` on a terminal: the live table, what stands above it, Ctrl-C, and where it is not welcome."""

from __future__ import annotations

import pytest
from tests.crash.cli.terminal import Terminal, cairn

pytestmark = pytest.mark.slow


def test_a_terminal_gets_a_live_table(folder):
    """Every step has its row, a foreach its count; what steps print stands above; the end says what to do."""
    screen = Terminal("run", "tour.yaml", cwd=folder)

    assert screen.wait() == 3
    text = screen.text
    assert "6/6" in text
    assert "seen a" in text
    assert "check#1 │ checking" in text
    table = text.rpartition("tour  ")[2]
    for step in ("visit", "draft", "check", "sign", "send"):
        assert f" {step}" in table
    assert "visit 2" in table
    assert "◷ sign" in table.replace("  ", " ")
    assert "cairn approve tour --step sign" in table
    assert "then go on with: cairn run tour.yaml" in table


def test_no_line_is_wider_than_the_terminal(folder):
    """Eighty columns are enough, and so are fifty."""
    screen = Terminal("run", "tour.yaml", cwd=folder, size=(24, 50))
    screen.wait()

    drawn = [line for line in screen.text.splitlines() if line.strip().startswith(("✓", "◷", "·", "⠋"))]
    assert drawn
    assert max(map(len, drawn)) <= 50


def test_ctrl_c_drains_and_is_answered_at_once(folder):
    """The person reads that it was heard, and how to go on."""
    (folder / "hold").touch()
    screen = Terminal("run", "tour.yaml", cwd=folder)
    screen.read_until("5/6")

    screen.send("\x03")
    screen.read_until("draining; again to stop at once; go on with: cairn run tour.yaml")
    (folder / "hold").unlink()
    assert screen.wait() == 130
    assert "Traceback" not in screen.text
    assert cairn("run", "tour.yaml", cwd=folder).code == 3


def test_a_restart_is_visible(folder):
    """The table says that there was one, and a line above it why."""
    screen = Terminal("run", "tour.yaml", "--kill-at", "draft", cwd=folder)

    assert screen.wait() == 3
    assert "runner died (SIGKILL); restarting, epoch 2" in screen.text
    assert "epoch 2  1 restart" in screen.text


def test_colours_are_left_out_where_they_are_not_wanted(folder):
    """NO_COLOR keeps the table and takes the colours."""
    screen = Terminal("run", "tour.yaml", cwd=folder, NO_COLOR="1")

    assert screen.wait() == 3
    assert "6/6" in screen.text
    assert "\x1b[31m" not in screen.raw
    assert "\x1b[32m" not in screen.raw
    assert "\x1b[36m" not in screen.raw


def test_a_dumb_terminal_and_ci_get_plain_lines(folder):
    """No escape sequence at all: one line for each checkpoint."""
    for more in ({"TERM": "dumb"}, {"CI": "true"}):
        screen = Terminal("run", "tour.yaml", "--new", cwd=folder, **more)

        assert screen.wait() == 3
        assert "\x1b" not in screen.raw
        assert "(start)            → visit" in screen.text


def test_a_document_on_a_terminal_is_still_one_document(folder):
    """`-o json` draws no table, wherever it goes."""
    screen = Terminal("run", "tour.yaml", "-o", "json", cwd=folder)

    assert screen.wait() == 3
    assert "\x1b" not in screen.raw
    assert '"phase": "Waiting"' in screen.text
