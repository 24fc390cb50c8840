"""The verbs of `kubectl cairn`: Workflows on a cluster, through the user's own kubectl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cairn_runtime.cli.options import (
    AsStepOption,
    ContextOption,
    DebugOption,
    InputOption,
    KubeconfigOption,
    NamespaceOption,
    OutputOption,
    PatchOption,
    SetOption,
    SkipOption,
    StepsOption,
)
from cairn_runtime.cli.outputs import Format, Output

if TYPE_CHECKING:
    from cairn_runtime.cli.kubectl import Kubectl

WorkflowArgument = Annotated[str, typer.Argument(metavar="WORKFLOW", help="A Workflow's name.")]
AllOption = Annotated[
    bool,
    typer.Option("--all-namespaces", "-A", help="Look into every namespace.", show_default=False),
]
CheckpointArgument = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT", help="A Checkpoint object's name, or WORKFLOW/SEQ such as digest/7."
    ),
]
NonceOption = Annotated[
    str,
    typer.Option(
        "--nonce",
        metavar="TEXT",
        help="A text that is served once, for ever; default: a new one.",
        show_default=False,
    ),
]
_FROM = "An id, a Checkpoint object's name, a seq, RUN/SEQ, head or start."


def submit(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE|DIR", help="A Workflow file, or a folder with a kustomization.yaml."),
    ],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Under this name.", show_default=False)
    ] = "",
    generate_name: Annotated[
        str,
        typer.Option(
            "--generate-name",
            metavar="PREFIX",
            help="Under a new name that begins so: another Workflow each time.",
            show_default=False,
        ),
    ] = "",
    input_: InputOption = None,
    set_: SetOption = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", "-w", help="Follow it to its end, which gives the exit code.", show_default=False
        ),
    ] = False,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Check a Workflow file, and apply it. Code beside the file goes along where nothing else brings it."""
    from cairn_runtime.cli.cluster import submitting

    made = submitting.Submission(file, name, generate_name, input_, tuple(set_ or ()), watch)
    return submitting.submit(Output(output), _kubectl(context, namespace, kubeconfig), made)


def get(
    workflow: Annotated[
        str, typer.Argument(metavar="[WORKFLOW]", help="Only this one, in full.", show_default=False)
    ] = "",
    all_namespaces: AllOption = False,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """List Workflows, newest first, or show one: how it stands, what it waits for, what to do next."""
    from cairn_runtime.cli.cluster import looking, naming

    name = naming.workflow_name(workflow) if workflow else ""
    kubectl = _kubectl(context, namespace, kubeconfig)
    return looking.get(Output(output), kubectl, name, everywhere=all_namespaces)


def tree(
    workflow: WorkflowArgument,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Show a Workflow's runs and where they were forked, with their pods and newest checkpoints."""
    from cairn_runtime.cli.cluster import looking, naming

    name = naming.workflow_name(workflow)
    return looking.tree(Output(output), _kubectl(context, namespace, kubeconfig), name)


def logs(
    workflow: WorkflowArgument,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            "-f",
            help="Go on, from one pod to the next, until the run is over.",
            show_default=False,
        ),
    ] = False,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Of the pod before the newest.", show_default=False)
    ] = False,
    run: Annotated[
        str,
        typer.Option(
            "--run", metavar="RUN", help="Of this run; default: the current one.", show_default=False
        ),
    ] = "",
    step: Annotated[
        str, typer.Option("--step", metavar="STEP", help="Only lines of this step.", show_default=False)
    ] = "",
    task: Annotated[
        str,
        typer.Option(
            "--task", metavar="TASK", help="Only lines of this task, such as draft#2.", show_default=False
        ),
    ] = "",
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Show the log of a Workflow's newest runner. Readable; with -o json as the runner wrote it."""
    from cairn_runtime.cli.cluster import naming, runnerlogs
    from cairn_runtime.cli.views.loglines import Wanted

    name, part = naming.workflow_name(workflow), naming.run_part(run) if run else ""
    reading = runnerlogs.Reading(name, part, follow, previous, Wanted(step, task))
    return runnerlogs.logs(Output(output), _kubectl(context, namespace, kubeconfig), reading)


def checkpoints(
    workflow: Annotated[
        str, typer.Argument(metavar="[WORKFLOW]", help="Only those of this one.", show_default=False)
    ] = "",
    run: Annotated[
        str, typer.Option("--run", metavar="RUN", help="Only those of this run.", show_default=False)
    ] = "",
    all_namespaces: AllOption = False,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """List Checkpoint objects, newest first; the store keeps older ones too."""
    from cairn_runtime.cli.cluster import looking, naming

    name = naming.workflow_name(workflow) if workflow else ""
    part = naming.run_part(run) if run else ""
    kubectl = _kubectl(context, namespace, kubeconfig)
    return looking.checkpoints(Output(output), kubectl, name, part, everywhere=all_namespaces)


def watch(
    workflow: WorkflowArgument,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Follow a Workflow until nothing more comes by itself; how it ended is the exit code."""
    from cairn_runtime.cli.cluster import following, naming

    name = naming.workflow_name(workflow)
    return following.watch(Output(output), _kubectl(context, namespace, kubeconfig), name)


def resume(
    workflow: WorkflowArgument,
    from_: Annotated[
        str, typer.Option("--from", metavar="CHECKPOINT", help=f"{_FROM} Default: head.", show_default=False)
    ] = "head",
    patch: PatchOption = None,
    as_step: AsStepOption = "",
    steps: StepsOption = None,
    skip: SkipOption = None,
    nonce: NonceOption = "",
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Go on with a Workflow that has ended or failed, from its newest checkpoint. A new run does it."""
    where = (context, namespace, kubeconfig)
    return _fork(output, where, (workflow, from_, nonce), (patch, as_step, steps, skip))


def fork(
    workflow: WorkflowArgument,
    from_: Annotated[str, typer.Option("--from", metavar="CHECKPOINT", help=_FROM, show_default=False)],
    patch: PatchOption = None,
    as_step: AsStepOption = "",
    steps: StepsOption = None,
    skip: SkipOption = None,
    nonce: NonceOption = "",
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Go back to a checkpoint, and on from there in a new run. The old history stays as it is."""
    where = (context, namespace, kubeconfig)
    return _fork(output, where, (workflow, from_, nonce), (patch, as_step, steps, skip))


def pause(
    workflow: WorkflowArgument,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Hold a Workflow: steps under way end and are written down, then it holds no pod (spec.suspend)."""
    from cairn_runtime.cli.cluster import changing, naming

    name = naming.workflow_name(workflow)
    return changing.pause(Output(output), _kubectl(context, namespace, kubeconfig), name)


def unpause(
    workflow: WorkflowArgument,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Let a Workflow that is held go on."""
    from cairn_runtime.cli.cluster import changing, naming

    name = naming.workflow_name(workflow)
    return changing.unpause(Output(output), _kubectl(context, namespace, kubeconfig), name)


def cancel(
    workflow: WorkflowArgument,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """End a Workflow's current run for good. Its runner stops, its history stays."""
    from cairn_runtime.cli.cluster import changing, naming

    name = naming.workflow_name(workflow)
    return changing.cancel(Output(output), _kubectl(context, namespace, kubeconfig), name)


def pin(
    checkpoint: CheckpointArgument,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Keep a checkpoint for good, whatever the history's bounds."""
    from cairn_runtime.cli.cluster import changing

    return changing.pin(Output(output), _kubectl(context, namespace, kubeconfig), checkpoint, pinned=True)


def unpin(
    checkpoint: CheckpointArgument,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Let a checkpoint go with the others again."""
    from cairn_runtime.cli.cluster import changing

    return changing.pin(Output(output), _kubectl(context, namespace, kubeconfig), checkpoint, pinned=False)


def doctor(
    all_namespaces: AllOption = False,
    context: ContextOption = "",
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Say what is wrong with Cairn on this cluster, and what mends it. Exit code 1 where something is."""
    from cairn_runtime.cli.cluster import checkups

    kubectl = _kubectl(context, namespace, kubeconfig)
    return checkups.doctor(Output(output), kubectl, everywhere=all_namespaces)


def _kubectl(context: str, namespace: str, kubeconfig: str) -> Kubectl:
    from cairn_runtime.cli.cluster import naming
    from cairn_runtime.cli.kubectl import Kubectl

    return Kubectl(naming.target_named(context, namespace, kubeconfig))


def _fork(
    output: Format,
    where: tuple[str, str, str],
    what: tuple[str, str, str],
    how: tuple[str | None, str, list[str] | None, list[str] | None],
) -> int:
    """Both verbs write `spec.resume`; they differ in where they begin by themselves."""
    from cairn_runtime.cli import clusters, wishes
    from cairn_runtime.cli.cluster import naming

    (workflow, from_, nonce), (patch, as_step, steps, skip) = what, how
    kubectl, name = _kubectl(*where), naming.workflow_name(workflow)
    begins = naming.checkpoint_named(kubectl, name, from_, "--from")
    fork = wishes.ForkWishes(begins, None, patch, as_step, tuple(steps or ()), tuple(skip or ()))
    return clusters.resume_on_cluster(Output(output), kubectl, name, fork, nonce)
