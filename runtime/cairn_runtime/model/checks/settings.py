"""Settings: sizes, numbers that fit together, and what a pod may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from cairn_runtime.errors import Fault
from cairn_runtime.model.durations import format_duration, parse_duration
from cairn_runtime.model.outline import Outline
from cairn_runtime.model.paths import at_key
from cairn_runtime.model.threads import RULE, THREAD_LABEL, is_thread, labelled_thread
from cairn_runtime.model.values import JSONObject, JSONValue

MAX_STEPS = 500
MAX_SPEC_BYTES = 256 * 1024

_VOLUMES = ("configMap", "secret", "emptyDir", "persistentVolumeClaim", "ephemeral", "downwardAPI")
_BASE = {"Exponential": 0.1, "Fixed": 1.0, "Adaptive": 0.1, "Emergency": 0.1}
_LONGEST = {"Exponential": 30.0, "Fixed": 30.0, "Adaptive": 30.0, "Emergency": 5.0}


def step_count(outline: Outline) -> Iterator[Fault]:
    """More steps than a Workflow may have."""
    if len(outline.steps) > MAX_STEPS:
        advice = "go through a list with foreach, or split the Workflow"
        yield Fault("spec.steps", f"more than {MAX_STEPS} steps ({len(outline.steps)}); {advice}")


def spec_size(outline: Outline) -> Iterator[Fault]:
    """A spec larger than the API server should be given."""
    size = len(orjson.dumps(outline.spec))
    if size > MAX_SPEC_BYTES:
        yield too_large(size)


def too_large(size: int) -> Fault:
    """What is said of a spec of so many bytes."""
    advice = "larger code comes by codeFrom or the image, larger input from a file or a store"
    text = f"larger than {MAX_SPEC_BYTES // 1024} KiB ({-(-size // 1024)} KiB as JSON); {advice}"
    return Fault("spec", text)


def thread(outline: Outline) -> Iterator[Fault]:
    """A label that names a thread by what is no name."""
    name = labelled_thread(outline.document)
    if name and not is_thread(name):
        yield Fault(at_key("metadata.labels", THREAD_LABEL), f'"{name}" {RULE}')


def delays(outline: Outline) -> Iterator[Fault]:
    """A first delay that is longer than the longest one, and errors that are wanted and refused."""
    places = [("spec.retry", outline.spec.get("retry"))]
    places += [(f"{step.path}.retry", step.raw.get("retry")) for step in outline.steps]
    for path, retry in places:
        if not isinstance(retry, dict):
            continue
        policy = str(retry.get("policy") or "Exponential")
        yield from _delay(path, retry, _BASE.get(policy, 0.0), _LONGEST.get(policy, 30.0))
        wanted, refused = _names(retry.get("errors")), _names(retry.get("notErrors"))
        for name in sorted(wanted & refused):
            yield Fault(f"{path}.notErrors", f'"{name}" is in errors too; notErrors wins, so drop one')
    restart = outline.spec.get("restart")
    if isinstance(restart, dict):
        yield from _delay("spec.restart", restart, 1.0, 300.0)


def interval(outline: Outline) -> Iterator[Fault]:
    """An interval that no policy uses."""
    checkpoint = outline.spec.get("checkpoint")
    if isinstance(checkpoint, dict) and checkpoint.get("interval") is not None:
        policy = checkpoint.get("policy") or "EveryStep"
        if policy != "Interval":
            yield Fault(
                "spec.checkpoint.interval", f"is used with policy Interval only, and the policy is {policy}"
            )


def pod(outline: Outline) -> Iterator[Fault]:
    """What a runner's pod cannot have."""
    raw = outline.spec.get("pod")
    if not isinstance(raw, dict):
        return
    yield from _variables(raw)
    volumes = _objects(raw.get("volumes"))
    for path, volume in volumes:
        kinds = [key for key in volume if key != "name"]
        if not _named(volume):
            yield Fault(f"spec.pod.volumes{path}", "has no name")
        if len(kinds) != 1 or kinds[0] not in _VOLUMES:
            found = ", ".join(kinds) or "nothing"
            yield Fault(f"spec.pod.volumes{path}", f"has {found}; a volume is one of {', '.join(_VOLUMES)}")
    names = {volume["name"] for _, volume in volumes if _named(volume)}
    for path, mount in _objects(raw.get("volumeMounts")):
        if not _named(mount) or not isinstance(mount.get("mountPath"), str):
            yield Fault(f"spec.pod.volumeMounts{path}", "needs a name and a mountPath")
        elif mount.get("name") not in names:
            yield Fault(f"spec.pod.volumeMounts{path}.name", f'no volume is named "{mount["name"]}"')


def _variables(raw: JSONObject) -> Iterator[Fault]:
    seen: set[str] = set()
    for path, variable in _objects(raw.get("env")):
        name = variable.get("name")
        if not isinstance(name, str) or not name:
            yield Fault(f"spec.pod.env{path}", "has no name")
            continue
        if name.startswith("CAIRN_"):
            yield Fault(f"spec.pod.env{path}.name", "names that begin with CAIRN_ are for Cairn itself")
        if name in seen:
            yield Fault(f"spec.pod.env{path}.name", f'"{name}" is there twice')
        seen.add(name)
        if ("value" in variable) == ("valueFrom" in variable):
            yield Fault(f"spec.pod.env{path}", "has either value or valueFrom")
        elif not isinstance(variable.get("value", ""), str):
            yield Fault(f"spec.pod.env{path}.value", "this must be text; put it in quotes")


def _delay(path: str, raw: JSONObject, base: float, longest: float) -> Iterator[Fault]:
    first, most = _seconds(raw.get("baseDelay"), base), _seconds(raw.get("maxDelay"), longest)
    if first is None or most is None or first <= most:
        return
    default = " (the default)" if raw.get("maxDelay") is None else ""
    problem = f"{format_duration(first)} is longer than maxDelay, which is {format_duration(most)}{default}"
    yield Fault(f"{path}.baseDelay", problem)


def _seconds(value: JSONValue, default: float) -> float | None:
    if value is None:
        return default
    try:
        return parse_duration(value)
    except ValueError:
        return None


def _names(value: JSONValue) -> set[str]:
    return {name for name in value if isinstance(name, str)} if isinstance(value, list) else set()


def _objects(value: JSONValue) -> list[tuple[str, JSONObject]]:
    items = value if isinstance(value, list) else []
    return [(f"[{n}]", item) for n, item in enumerate(items) if isinstance(item, dict)]


def _named(raw: JSONObject) -> bool:
    return isinstance(raw.get("name"), str) and bool(raw["name"])
