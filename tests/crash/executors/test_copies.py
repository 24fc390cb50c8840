"""Steps that fork: a copy that comes back out of its function is ended, and one process runs the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

PROGRAM = """
import asyncio, json, os
from cairn_runtime import run

STEPS = '''
import os, sys

def forked(leave):
    pid = os.fork()
    if pid == 0:
        return leave()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def fail(): raise ValueError("of the copy")

async def returned(state): return {"returned": forked(lambda: 0)}
async def left(state): return {"left": forked(lambda: sys.exit(3))}
async def raised(state): return {"raised": forked(fail)}
async def timed(state): return {"timed": forked(lambda: sys.exit(4))}
def threaded(state): return {"threaded": forked(lambda: sys.exit(5))}
def back(state): return {"back": forked(lambda: 0)}
def worker(state): return {"worker": forked(lambda: sys.exit(6))}
'''
names = ["returned", "left", "raised", "timed", "threaded", "back", "worker"]
timeouts = {"timed": {"timeout": "1m"}, "worker": {"timeout": "1m"}}
steps = [
    {"name": name, "python": f"steps:{name}", "needs": names[:n][-1:], **timeouts.get(name, {})}
    for n, name in enumerate(names)
]
manifest = {
    "apiVersion": "cairn.dev/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": "forks"},
    "spec": {"code": {"steps.py": STEPS}, "steps": steps, "state": {"strict": False}},
}
print(json.dumps(asyncio.run(run(manifest, store="memory:")).state), os.getpid())
"""


def test_a_copy_that_a_step_forked_ends_where_the_step_does():
    """Else two engines write under one fence; its exit code is what a program of its own would have given."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        try:
            told, _ = program.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)

    state, pid = told.strip().rsplit(" ", 1)
    assert int(pid) == program.pid
    assert json.loads(state) == {
        "error": None,
        "returned": 0,
        "left": 3,
        "raised": 1,
        "timed": 4,
        "threaded": 5,
        "back": 0,
        "worker": 6,
    }
