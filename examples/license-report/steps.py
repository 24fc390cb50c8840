"""Find every Python distribution on this machine, say under which licence it is, and write a report."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import Any

import licences
import metadata
import report

from cairn_runtime import Context, SyncContext


def find(state: Mapping[str, Any]) -> dict[str, Any]:
    """List the folders and files in which distributions describe themselves."""
    found: set[str] = set()
    warnings: list[str] = []
    for place in folders(state["places"]):
        try:
            found.update(str(path) for path in metadata.descriptions(place))
        except OSError as error:
            warnings.append(f"{place} could not be read: {error.strerror}")
    return {"distributions": sorted(found), "warnings": warnings}


async def classify(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """Say under which licence one distribution is: one task of the foreach.

    What it returns is the item's result. Whatever is wrong with a distribution is part of that result, since
    one broken file must not end the report.
    """
    leave_trace(state["trace"], ctx)
    await asyncio.sleep(state["pace"])
    found = await asyncio.to_thread(metadata.read, Path(str(ctx.item)))
    return {**found.names(), **licences.classify(found.evidence).as_dict()}


def summarise(state: Mapping[str, Any]) -> dict[str, Any]:
    """Count, and warn of what was asked for."""
    packages = state["packages"]
    families = Counter(package["family"] for package in packages)
    summary = {
        "total": len(packages),
        "unknown": families.get(licences.UNKNOWN, 0),
        "families": {family: families[family] for family in licences.FAMILIES if family in families},
    }
    wanted = set(state["warn_about"])
    warnings = [
        f"{package['name']} {package['version']} is under {package['licence']} ({package['family']})"
        for package in packages
        if package["family"] in wanted
    ]
    return {"summary": summary, "warnings": warnings}


def list_unknown(state: Mapping[str, Any]) -> dict[str, Any]:
    """List what nobody knows the licence of; runs only if there is such a thing."""
    unknown = [package for package in state["packages"] if package["family"] == licences.UNKNOWN]
    listed = [f"{package['name']} {package['version']}: {package['reason']}" for package in unknown]
    warning = f"{len(unknown)} of {len(state['packages'])} distributions are under an unknown licence"
    return {"unknown": listed, "warnings": [warning]}


def write_report(state: Mapping[str, Any], ctx: SyncContext) -> dict[str, Any]:
    """Write the report in a way that may be repeated.

    A step may run again after a crash, so it writes a new file and puts it in the place of the old one in one
    move: whoever looks sees the old report or the new one, never half of one.
    """
    target = Path(state["report"]).expanduser().absolute()
    part = target.with_name(f"{target.name}.{ctx.idempotency_key}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    with part.open("w", encoding="utf-8") as file:
        file.write(report.markdown(state))
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
    ctx.log.info("wrote %s", target)
    return {"written": str(target)}


def folders(places: list[str]) -> Iterator[Path]:
    """Name the folders to look in: those that the interpreter imports from, and the places that exist."""
    matches = [match for place in places for match in sorted(glob(os.path.expanduser(place)))]  # noqa: PTH111, PTH207
    real = (os.path.realpath(entry) for entry in [*sys.path, *matches] if entry)
    for folder in dict.fromkeys(real):
        if os.path.isdir(folder):  # noqa: PTH112 - an entry of sys.path may be anything
            yield Path(folder)


def leave_trace(trace: str, ctx: Context) -> None:
    """Add a line to the trace, if there is one: proof that this task really ran, outside of all checkpoints.

    The line is written by one call to a file that is only added to, so that tasks and processes do not
    disturb each other.
    """
    if not trace:
        return
    line = {"task": f"{ctx.step}#{ctx.visit}[{ctx.index}]", "attempt": ctx.attempt, "pid": os.getpid()}
    fd = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, (json.dumps(line) + "\n").encode())
    finally:
        os.close(fd)
