"""The builder yields what YAML would have been read into, and refuses what no runner can import."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import pytest

import cairn_runtime
from cairn_runtime.errors import ManifestInvalid
from cairn_runtime.model.building import Workflow
from cairn_runtime.model.reading import read_manifest
from cairn_runtime.model.validation import validate
from cairn_runtime.runner.accepting import accept

HERE = __name__
YAML = f"""
apiVersion: cairn.dev/v1alpha1
kind: Workflow
metadata: {{name: digest, labels: {{team: a}}}}
spec:
  input: {{urls: [a, b]}}
  timeout: 1h
  deletionPolicy: Delete
  state:
    channels:
      pages: {{reducer: extend}}
      best: {{reducer: "python:{HERE}:better", initial: 0}}
    strict: true
  steps:
    - {{name: fetch, python: "{HERE}:fetch", retry: {{limit: 5}},
       foreach: {{in: state.urls, collect: pages}}}}
    - {{name: count-all, python: "{HERE}:count_all", needs: [fetch], maxVisits: 3,
       next: [{{to: fetch, when: "state.best < 7"}}, {{to: sign, otherwise: true}}]}}
    - {{name: sign, approval: {{message: "Publish?"}}}}
    - {{name: shell, run: "true", needs: [sign]}}
"""


def better(old, new):
    return max(old, new)


async def fetch(state, ctx):
    return ctx.item


def count_all(state):
    return {"best": 7}


def built():
    flow = Workflow(
        "digest", labels={"team": "a"}, strict=True, input={"urls": ["a", "b"]}, timeout="1h",
        deletion_policy="Delete",
    )  # fmt: skip
    flow.channel("pages", reducer="extend")
    flow.channel("best", reducer=better, initial=0)
    flow.step(foreach={"in": "state.urls", "collect": "pages"}, retry={"limit": 5})(fetch)
    branches = [{"to": fetch, "when": "state.best < 7"}, {"to": "sign", "otherwise": True}]
    flow.step(needs=[fetch], max_visits=3, next=branches)(count_all)
    flow.add("sign", approval={"message": "Publish?"})
    flow.add("shell", run="true", needs=["sign"])
    return flow


def steps_of(flow: Workflow) -> Any:
    document: Any = flow.manifest()
    return document["spec"]["steps"]


def test_it_yields_what_yaml_would_be_read_into():
    """Field by field the same document, from the object and from the text that it prints."""
    wanted = read_manifest(YAML, source="test")

    assert built().manifest() == wanted
    assert read_manifest(built().to_yaml(), source="test") == wanted


def test_its_faults_are_those_of_the_document():
    """The same checks judge it, with the same paths and words."""
    flow = Workflow("digest", tiemout="1h")
    flow.add("a", run="true", needs=["b"])

    with pytest.raises(ManifestInvalid) as refused:
        flow.to_yaml()

    assert list(refused.value.faults) == list(validate(flow.manifest()).faults)
    assert [fault.path for fault in refused.value.faults] == ["spec.steps[0].needs[0]", "spec.tiemout"]


def test_a_decorated_function_stays_what_it_is():
    """It can be called and tested without any Workflow, and be a step of several."""
    flow = Workflow("one")

    assert flow.step(count_all) is count_all
    assert steps_of(flow) == [{"name": "count-all", "python": f"{HERE}:count_all"}]


def test_what_is_done_to_a_manifest_reaches_no_builder():
    """Each call gives a document of its own."""
    flow = built()
    steps_of(flow)[0]["foreach"]["in"] = "state.other"

    assert steps_of(flow)[0]["foreach"]["in"] == "state.urls"


def local():
    def inner(state):
        return None

    return inner


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda state: None, "<lambda>"),
        (local(), "local.<locals>.inner"),
        (functools.partial(count_all), "partial"),
    ],
    ids=["lambda", "local", "partial"],
)
def test_a_function_without_an_importable_name_is_refused(function, named):
    """A runner is another process: it finds a function by module and name, or not at all."""
    with pytest.raises(ManifestInvalid) as refused:
        Workflow("w").add("a", python=function)

    (fault,) = refused.value.faults
    assert fault.path == "spec.steps[0].python"
    assert fault.message.startswith(f"{named} cannot be imported by a runner; define it with def")


def test_a_function_that_is_no_step_leads_nowhere():
    """Where a step is named by its function, that must have been made a step before."""
    with pytest.raises(ManifestInvalid, match="fetch is no step of this Workflow yet") as refused:
        Workflow("w").add("a", run="true", needs=[fetch])

    assert refused.value.faults[0].path == "spec.steps[0].needs[0]"


def test_it_is_accepted_with_the_folder_of_its_functions(tmp_path, monkeypatch):
    """So that a runner finds the modules wherever it is started."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "built_steps.py").write_text("def a(state):\n    return None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    built_steps = importlib.import_module("pack.built_steps")

    flow = Workflow("w")
    flow.step(built_steps.a)

    assert accept(flow).folder == str(tmp_path)
    assert steps_of(flow) == [{"name": "a", "python": "pack.built_steps:a"}]


def test_it_is_behind_the_front_door():
    """`from cairn_runtime import Workflow`."""
    assert cairn_runtime.Workflow is Workflow
