"""What was typed for a run or a fork, checked before a store is made or a run is touched.

Every fault names the option it was typed with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cairn_runtime.cli.hints import run_command, store_words
from cairn_runtime.cli.inputs import read_object, refuse, set_values
from cairn_runtime.cli.manifests import folder_of, judge, read_file
from cairn_runtime.cli.stores import store_url
from cairn_runtime.errors import Fault, InvalidInput
from cairn_runtime.model.ids import parse_task_key
from cairn_runtime.model.suggestions import did_you_mean
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.forking import ForkRequest
from cairn_runtime.runner.starting import Accepted
from cairn_runtime.store.base import Checkpoint
from cairn_runtime.store.opening import parse_store_url

_TYPED = {
    "spec.resume.statePatch": "--patch",
    "spec.resume.asStep": "--as-step",
    "spec.resume.steps": "--steps",
    "spec.resume.skip": "--skip",
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a run is to be run."""

    store: str | None
    new: bool = False
    in_process: bool = False
    kill_at: str = ""
    debug: bool = False
    input: str | None = None
    """`--input`, as it was typed."""
    settings: Sequence[str] = ()
    """`--set`, as they were typed."""
    thread: str | None = None
    """`--thread`, as it was typed."""

    @property
    def url(self) -> str:
        """The store's URL."""
        return store_url(self.store)

    @property
    def more(self) -> str:
        """The end of each command that is printed."""
        return store_words(self.store)

    def again(self, file: str) -> str:
        """The command that goes on with the run."""
        words = run_command(file, self.input, self.settings, self.thread or "", in_process=self.in_process)
        return words + self.more


@dataclass(frozen=True, slots=True)
class ForkWishes:
    """Where a fork begins, and what is different in it."""

    from_: str
    file: str | None = None
    patch: str | None = None
    as_step: str = ""
    steps: Sequence[str] = ()
    skip: Sequence[str] = ()


def accept(file: str, input_: str | None = None, settings: Sequence[str] = ()) -> Accepted:
    """Read a file, lay the given input over its own, and judge the whole.

    Raises:
        ManifestInvalid, InvalidInput: naming everything that is wrong.
    """
    given = read_object(input_, "--input") if input_ is not None else {}
    source, document = read_file(file)
    spec = document.get("spec")
    if isinstance(spec, dict) and (given or settings):
        own = spec.get("input")
        laid = {**(own if isinstance(own, dict) else {}), **given}
        document = {**document, "spec": {**spec, "input": set_values(laid, settings)}}
    folder = folder_of(file)
    return Accepted(document, judge(source, document, folder).require(), str(folder))


def check_wishes(wishes: Wishes, workflow: Workflow) -> None:
    """Refuse wishes that cannot be met.

    Raises:
        InvalidInput: naming each.
    """
    faults = []
    if wishes.kill_at:
        faults += _kill_faults(wishes.kill_at, workflow)
        if wishes.in_process:
            faults.append(Fault("--kill-at", "kills the runner's process; leave out --in-process"))
    if not wishes.in_process and parse_store_url(wishes.url).scheme == "memory":
        faults.append(Fault("--store", "memory: lives in one process only; add --in-process"))
    if faults:
        raise InvalidInput(faults)


def fork_request(
    fork: ForkWishes, origin: Checkpoint, workflow: Workflow, patch: JSONObject, mended: Accepted | None
) -> ForkRequest:
    """Make the request for a fork of a Workflow.

    Raises:
        InvalidInput: a step that the Workflow does not have.
    """
    return ForkRequest(
        origin,
        follow_head=fork.from_ in ("head", "latest"),
        state_patch=patch,
        as_step=_known_step(fork.as_step, workflow, "--as-step") or None,
        steps=_known_steps(fork.steps, workflow, "--steps"),
        skip=_known_steps(fork.skip, workflow, "--skip"),
        mended=mended,
    )


def _kill_faults(task: str, workflow: Workflow) -> list[Fault]:
    step = task
    if "#" in task:
        try:
            step, _, _ = parse_task_key(task)
        except ValueError as error:
            return [Fault("--kill-at", str(error))]
    names = [one.name for one in workflow.spec.steps]
    if step not in names:
        return [Fault("--kill-at", f'unknown step "{step}"{did_you_mean(step, names)}')]
    spec = workflow.spec.steps[names.index(step)]
    if spec.approval or spec.signal or spec.sleep is not None:
        return [Fault("--kill-at", f'"{step}" waits and runs nothing; name a step that runs')]
    return []


def _known_steps(typed: Sequence[str], workflow: Workflow, option: str) -> tuple[str, ...]:
    names = [name.strip() for text in typed for name in text.split(",") if name.strip()]
    return tuple(dict.fromkeys(_known_step(name, workflow, option) for name in names))


def _known_step(name: str, workflow: Workflow, option: str) -> str:
    """Pass a step's name on.

    Raises:
        InvalidInput: there is no such step.
    """
    names = [step.name for step in workflow.spec.steps]
    if name and name not in names:
        refuse(option, f'unknown step "{name}"{did_you_mean(name, names)}')
    return name


def as_typed(fault: Fault) -> Fault:
    """A fault of `spec.resume` under the option that it was typed with."""
    for path, option in _TYPED.items():
        if fault.path == path or fault.path.startswith((f"{path}.", f"{path}[")):
            return replace(fault, path=f"{option}{fault.path.removeprefix(path).replace('.', ' ', 1)}")
    return fault
