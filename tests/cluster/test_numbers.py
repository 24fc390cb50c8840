"""The operator's numbers after real runs: those of the store, though no runner was ever scraped."""

from __future__ import annotations

import signal

from tests.cluster.workflows import chain

STORE = 'store="default"'


def test_the_sums_are_those_of_the_store_though_a_runner_was_killed(installed):
    """Checkpoints and bytes to the last one; of the rest a dead runner takes along what it had not told."""
    installed.hold("b#1")
    installed.apply(chain("killed", "a", "b", "c"))
    installed.begun("b#1")
    installed.namespace.kill(installed.newest_runner("killed"), signal.SIGKILL)
    installed.begun("b#1", times=2)
    installed.release()
    installed.apply(chain("whole", "a", "b"))
    installed.phase("killed", "Succeeded")
    installed.phase("whole", "Succeeded")
    rows = installed.checkpoints("killed") + installed.checkpoints("whole")

    found = installed.numbers_when(
        lambda seen: (
            seen['cairn_run_seconds_count{phase="Succeeded"}'] == 2
            and seen[f'cairn_steps_total{{result="done",{STORE}}}'] >= 4
        )
    )

    assert found[f"cairn_checkpoints_written_total{{{STORE}}}"] == len(rows) == 7
    assert found[f"cairn_checkpoint_bytes_total{{{STORE}}}"] == sum(row["bytes"] for row in rows)
    assert found[f"cairn_restore_seconds_count{{{STORE}}}"] == 1
    assert found[f"cairn_runner_crashes_total{{{STORE}}}"] == 1
    assert found[f"cairn_checkpoint_failures_total{{{STORE}}}"] == 0
    assert found[f'cairn_steps_total{{result="done",{STORE}}}'] in (4, 5)
    assert found[f"cairn_checkpoint_write_seconds_count{{{STORE}}}"] in range(5, 8)
    assert found[f"cairn_store_up{{{STORE}}}"] == 1
    assert found[f"cairn_store_used_bytes{{{STORE}}}"] > 0
