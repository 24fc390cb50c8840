"""Moving runs between stores by a file: `export`, `import`.

What could not be moved is told and makes the exit code 1; everything else was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from cairn_runtime import __version__
from cairn_runtime.cli.finding import the_run
from cairn_runtime.cli.inputs import refuse
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.stores import existing_store, store_url
from cairn_runtime.cli.views.texts import plain
from cairn_runtime.cli.views.units import counted, size
from cairn_runtime.errors import EXIT_DONE, EXIT_FAILED, InvalidInput
from cairn_runtime.model.ids import short_id
from cairn_runtime.model.values import JSONObject
from cairn_runtime.runner.archives.arrivals import Wishes
from cairn_runtime.runner.archives.exporting import Exporter, Left, Report
from cairn_runtime.runner.archives.files import (
    STANDARD,
    SUFFIX,
    dated_name,
    opened,
    remove_broken_off,
    written,
)
from cairn_runtime.runner.archives.importing import Importer
from cairn_runtime.runner.naming import all_runs, workflow_name
from cairn_runtime.store.base import Run, Store
from cairn_runtime.store.keys import codec_from_environment
from cairn_runtime.store.opening import open_store, parse_store_url


async def export_runs(
    output: Output, url: str | None, who: str, file: str, *, everything: bool, keep: int
) -> int:
    """Write one run, a Workflow's runs, or all into a file."""
    if bool(who) is everything:
        refuse("WORKFLOW|RUN", "name what to export, or give --all")
    async with existing_store(url) as store:
        name, runs = await _chosen(store, who)
        path = _path(file, dated_name(name or parse_store_url(store_url(url)).scheme, output.now))
        if keep and path != STANDARD and not _stem(Path(path)):
            refuse("--keep", f"keeps files with a date in their names; {file} is no folder")
        exporter = Exporter(store, __version__)
        if keep and path != STANDARD:
            remove_broken_off(Path(path).parent)
        try:
            with written(path) as stream:
                async for line in exporter.lines(runs):
                    stream.write(line)
        except OSError as error:
            refuse("--file", f"{path}: {error.strerror or error}")
    # What is empty or lacks something is no reason to let go of what is older and whole.
    if keep and path != STANDARD and exporter.report.runs and not exporter.report.left:
        _keep_newest(Path(path), keep)
    _tell(output, "exported", "to", path, exporter.report)
    return _exit_code(exporter.report)


async def import_runs(output: Output, url: str | None, file: str, wishes: Wishes) -> int:
    """Bring the runs of a file into a store; it is made where there is none."""
    store = await open_store(store_url(url))
    importer = Importer(store, codec_from_environment(), wishes)
    try:
        with opened(file) as lines:
            await importer.take(lines)
    except OSError as error:
        refuse("FILE", f"{file}: {error.strerror or error}")
    except InvalidInput as error:
        importer.report.left.append(Left("", error.reason, f"{file}: {error.message}"))
    finally:
        await store.close()
    _tell(output, "imported", "from", file, importer.report)
    return _exit_code(importer.report)


async def _chosen(store: Store, who: str) -> tuple[str, list[str]]:
    """A name for the file, and the ids of the runs, the oldest first: so they come in their order."""
    if not who:
        return "", await _ids(all_runs(store))
    run = await the_run(store, who)
    name = workflow_name(run).replace("/", "-")
    if who in (run.run_id, short_id(run.run_id)) or run.run_id.startswith(who):
        return f"{name}-{short_id(run.run_id)}", [run.run_id]
    return name, await _ids(all_runs(store, run.workflow))


async def _ids(runs: AsyncIterator[Run]) -> list[str]:
    return [run.run_id async for run in runs][::-1]


def _path(file: str, name: str) -> str:
    """The file that is meant: a folder gets a file with a date in its name."""
    if not file:
        return name
    if file != STANDARD and (file.endswith("/") or Path(file).is_dir()):
        return str(Path(file) / name)
    return file


def _keep_newest(path: Path, keep: int) -> None:
    """Remove older exports of the same name, but for so many."""
    others = sorted(path.parent.glob(f"{_stem(path)}-20*{SUFFIX}"))
    for old in others[:-keep]:
        old.unlink(missing_ok=True)


def _stem(path: Path) -> str:
    """What stands before the date in a file's name; empty where it has none."""
    return path.name.removesuffix(SUFFIX).rpartition("-20")[0]


def _tell(output: Output, done: str, where: str, path: str, report: Report) -> None:
    if output.for_people or path == STANDARD:
        say = output.note if path == STANDARD else lambda *lines: output.text(lines)
        say(*_lines(done, where, path, report))
    else:
        output.document(_document(path, report))


def _lines(done: str, where: str, path: str, report: Report) -> Iterable[str]:
    target = {"-": "standard output" if done == "exported" else "standard input"}.get(path, path)
    what = f"{counted(report.runs, 'run')}, {counted(report.checkpoints, 'checkpoint')}"
    yield f"{done} {what}, {size(report.bytes)}, {where} {target}"
    if report.there:
        yield f"{counted(report.there, 'run')} there already, the same"
    yield from _left_lines(report.left)


def _left_lines(left: Sequence[Left]) -> Iterable[str]:
    if left:
        yield f"left behind: {len(left)}"
    for one in left:
        seqs = "" if one.first is None else f", checkpoints {one.first} to {one.last}"
        run = f"run {one.run}{seqs}: " if one.run else ""
        yield plain(f"  {run}{one.message} ({one.reason})")


def _document(path: str, report: Report) -> JSONObject:
    return {
        "file": path,
        "runs": report.runs,
        "checkpoints": report.checkpoints,
        "bytes": report.bytes,
        "alreadyThere": report.there,
        "left": [asdict(one) for one in report.left],
    }


def _exit_code(report: Report) -> int:
    return EXIT_FAILED if report.left else EXIT_DONE
