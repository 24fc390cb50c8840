"""The operator's reference page names what there is, and nothing else."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from cairn_operator.names import WRITES
from cairn_operator.settings import Settings, read_settings
from cairn_operator.telemetry.metrics import Gauges, Metrics

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/reference/operator.md").read_text()


def test_every_variable_is_on_the_page():
    """A setting that nobody can find is none."""
    asked = set()

    class Environ(dict):
        def get(self, name, default=None):
            asked.add(name)
            return {"CAIRN_INSTALLATION": "x", "CAIRN_IMAGE": "x"}.get(name, default)

    read_settings(Environ(), host="h", own_namespace="")

    assert set(re.findall(r"^\| `(CAIRN_[A-Z_]+)`", PAGE, re.MULTILINE)) == asked
    assert len(asked) == len(fields(Settings))


def test_every_write_is_on_the_page():
    """Whoever writes a test of a fault finds where the process can end."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith("The writes that `CAIRN_DIE_AT` knows")]

    assert tuple(re.findall(r"`([a-z_]+)`", line)) == WRITES


def test_every_number_is_on_the_page():
    """An alert is written from the page."""
    nothing = Gauges(lambda: 0, dict, lambda: 0, lambda: True, dict, set, dict, dict)
    told = re.findall(r"^# TYPE (\w+)", Metrics(nothing).text().decode(), re.MULTILINE)

    assert set(re.findall(r"^\| `(cairn_[a-z_]+)", PAGE, re.MULTILINE)) == set(told)
