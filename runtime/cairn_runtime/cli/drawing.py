"""Drawing a Workflow's graph, and how far a run came in it."""

from __future__ import annotations

import sys

from cairn_runtime.cli.manifests import check_file
from cairn_runtime.cli.outputs import Drawing, Format, Output, write
from cairn_runtime.cli.verbs.finishing import finish
from cairn_runtime.cli.views.pictures import Box, Picture, boxes_of, picture, picture_document
from cairn_runtime.errors import EXIT_DONE, Fault, InvalidInput
from cairn_runtime.model.workflow import Workflow


def draw(drawing: Drawing, file: str, run: str | None, url: str | None) -> int:
    """Draw a file's graph; with a run coloured by what was done in it.

    Raises:
        ManifestInvalid: the file.
        RunNotFound, NotFound: the run.
    """
    workflow = check_file(file).require()
    boxes = finish(_boxes(workflow, run, url)) if run else None
    shown = picture(workflow, boxes)
    if drawing in (Drawing.JSON, Drawing.YAML):
        Output(Format(drawing.value)).document(picture_document(shown))
    else:
        write(sys.stdout, "".join(f"{line}\n" for line in _lines(drawing, shown)))
    return EXIT_DONE


def _lines(drawing: Drawing, shown: Picture) -> list[str]:
    from cairn_runtime.cli.views.drawing_mermaid import draw_mermaid
    from cairn_runtime.cli.views.drawing_svg import draw_svg
    from cairn_runtime.cli.views.drawing_text import draw_text

    match drawing:
        case Drawing.MERMAID:
            return draw_mermaid(shown)
        case Drawing.SVG:
            return draw_svg(shown)
        case _:
            return draw_text(shown, Output(Format.TABLE).width)


async def _boxes(workflow: Workflow, text: str, url: str | None) -> dict[str, Box]:
    """How each step of the Workflow stands in a run.

    Raises:
        InvalidInput: the run is another Workflow's.
    """
    from cairn_runtime.cli.finding import the_run
    from cairn_runtime.cli.histories import checkpoints_of
    from cairn_runtime.cli.stores import existing_store
    from cairn_runtime.engine.frontier import RunState
    from cairn_runtime.engine.history import newest_valid
    from cairn_runtime.runner.naming import workflow_name
    from cairn_runtime.store.keys import codec_from_environment

    async with existing_store(url) as store:
        run = await the_run(store, text)
        if run.workflow.split("/")[:2] != [workflow.metadata.namespace, workflow.metadata.name]:
            problem = (
                f'run "{text}" belongs to {workflow_name(run)}, and the file is {workflow.metadata.name}'
            )
            raise InvalidInput([Fault("--run", problem)])
        state = (
            (await newest_valid(store, codec_from_environment(), run)).folded.state
            if run.head_seq
            else RunState()
        )
        every_step = workflow.spec.checkpoint.policy == "EveryStep" and run.origin is None
        named = (
            {row.step async for row in checkpoints_of(store, run.run_id)} if every_step else set(state.ended)
        )
        pruned = bool(await store.gaps(run.run_id))
    # Under EveryStep each step that ran has a checkpoint of its own; one that ended without was skipped.
    skipped = set() if pruned else set(state.ended) - named
    return boxes_of(workflow, state, running=run.phase == "Running", skipped=skipped)
