"""What the license report is built of: evidence, licences, the page, the move into place."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.crash.examples.places import EXAMPLES, apply

FOLDER = EXAMPLES / "license-report"
MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy\nof this software"


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The example's modules, as its runner imports them; forgotten afterwards, as their names are plain."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("licences", "metadata", "report", "steps")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("expression", "family"),
    [
        ("MIT", "permissive"),
        ("mit", "permissive"),
        ("MIT OR GPL-3.0-only", "permissive"),
        ("MIT AND GPL-3.0-only", "strong copyleft"),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", "weak copyleft"),
        ("GPL-2.0+", "strong copyleft"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "weak copyleft"),
        ("Apache-2.0 WITH LLVM-exception", "permissive"),
        ("MIT OR LicenseRef-Own", "permissive"),
        ("MIT AND LicenseRef-Own", "unknown"),
        ("(MIT", "unknown"),
        ("MIT BSD-3-Clause", "unknown"),
        ("MIT OR", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_expression_has_the_family_of_what_counts(modules, expression, family):
    """Of `A OR B` one may choose, of `A AND B` the stricter counts; what is no expression is unknown."""
    assert modules.licences.family_of(expression) == family


@pytest.mark.parametrize(
    ("evidence", "licence", "source"),
    [
        ({"expression": "Apache-2.0", "field": "GPL"}, "Apache-2.0", "License-Expression"),
        ({"field": "bsd-3-clause"}, "BSD-3-Clause", "License"),
        ({"field": "Apache License, Version 2.0"}, "Apache-2.0", "License"),
        ({"field": "GNU GPL v3 or later"}, "GPL-3.0-or-later", "License"),
        ({"field": "GNU LGPL, version 2.1 only"}, "LGPL-2.1-only", "License"),
        ({"field": "LGPL"}, "LGPL", "License"),
        ({"field": "MIT License, Apache License, Version 2.0"}, "Apache-2.0 AND MIT", "License"),
        ({"field": f"Copyright\n\n\n\n{MIT}"}, "MIT", "License"),
        ({"classifiers": ("License :: OSI Approved :: MIT License",)}, "MIT", "Classifier"),
        ({"classifiers": ("License :: Other/Proprietary License",)}, "proprietary", "Classifier"),
        ({"field": "see AUTHORS", "files": (MIT,)}, "MIT", "licence file"),
        ({"files": ("Mozilla Public License Version 2.0\n" + "x " * 900 + "GNU General Public License",)},
         "MPL-2.0", "licence file"),
    ],
)  # fmt: skip
def test_the_most_exact_evidence_is_believed(modules, evidence, licence, source):
    """Expressions before classifiers, classifiers before words, words before licence files."""
    found = modules.licences.classify(modules.licences.Evidence(**evidence))

    assert (found.licence, found.source, found.reason) == (licence, source, "")


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        ({}, "it does not name a licence anywhere"),
        ({"field": "Dual License"}, '"Dual License" names no licence that is known'),
        ({"expression": "LicenseRef-Own"}, 'License-Expression says "LicenseRef-Own"'),
        (
            {"problem": "its metadata cannot be read: No such file or directory"},
            "its metadata cannot be read",
        ),
        ({"classifiers": ("License :: OSI Approved",)}, "it does not name a licence anywhere"),
    ],
)
def test_what_is_unknown_says_why(modules, evidence, reason):
    """Nothing is guessed: an unknown licence stays unknown, and its reason is in the report."""
    found = modules.licences.classify(modules.licences.Evidence(**evidence))

    assert (found.licence, found.family) == ("unknown", "unknown")
    assert found.reason.startswith(reason)


def described(folder: Path, name: str, text: str) -> Path:
    """Install a distribution that consists of its description."""
    path = folder / f"{name}-1.0.dist-info"
    path.mkdir(parents=True)
    (path / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{text}")
    return path


def test_a_description_is_read_in_all_its_forms(modules, tmp_path):
    """A .dist-info folder, an .egg-info folder and an .egg-info file say the same; `UNKNOWN` is nothing."""
    new = described(tmp_path, "new", "License-Expression: MIT\n")
    old = tmp_path / "old-2.0.egg-info"
    old.mkdir()
    (old / "PKG-INFO").write_text("Name: old\nVersion: 2.0\nLicense: UNKNOWN\nClassifier: A :: B\n")
    older = tmp_path / "older-3.0.egg-info"
    older.write_text("Name: older\nVersion: 3.0\nLicense: GPL\n")

    found = [modules.metadata.read(path) for path in (new, old, older)]

    assert [(one.name, one.version) for one in found] == [("new", "1.0"), ("old", "2.0"), ("older", "3.0")]
    assert [one.evidence.expression or one.evidence.field for one in found] == ["MIT", "", "GPL"]
    assert found[1].evidence.classifiers == ("A :: B",)
    assert sorted(modules.metadata.descriptions(tmp_path)) == [new, old, older]


def test_a_broken_description_is_a_result(modules, tmp_path):
    """Metadata that are not there make an unknown licence, with the name that the folder tells."""
    path = tmp_path / "lost-1.2.dist-info"
    path.mkdir()

    found = modules.metadata.read(path)

    assert (found.name, found.version) == ("lost", "1.2")
    assert found.evidence.problem == "its metadata cannot be read: No such file or directory"


def state(**changes):
    """A state as the step that writes finds it."""
    package = {"name": "a|b", "version": "1", "licence": "MIT", "family": "permissive", "source": "License"}
    summary = {"total": 1, "unknown": 0, "families": {"permissive": 1}}
    return {
        "title": "T",
        "summary": summary,
        "warnings": [],
        "unknown": None,
        "packages": [package],
    } | changes


def test_the_same_state_gives_the_same_page(modules):
    """The page has no date and no order of its own, so writing it twice is writing it once."""
    page = modules.report.markdown(state(warnings=["over\ntwo lines"]))

    assert page == modules.report.markdown(state(warnings=["over\ntwo lines"]))
    assert "| a\\|b | 1 | MIT | permissive | License |" in page
    assert "- over two lines\n" in page


def test_a_report_takes_the_place_of_the_old_one_at_once(modules, tmp_path):
    """Half a file that a killed attempt left behind does no harm, and none is left in the end."""
    target = tmp_path / "deep" / "report.md"
    target.parent.mkdir()
    target.write_text("the old one")
    (target.parent / "report.md.key.part").write_text("half of a n")
    context = SimpleNamespace(idempotency_key="key", log=SimpleNamespace(info=lambda *_: None))

    written = modules.steps.write_report(state(report=str(target)), context)

    assert written == {"written": str(target)}
    assert target.read_text() == modules.report.markdown(state())
    assert [path.name for path in target.parent.iterdir()] == ["report.md"]


@pytest.mark.slow
def test_unknown_licences_take_the_other_branch(tmp_path):
    """With an unknown licence `list-unknown` runs before the report is written; its warning comes last."""
    described(tmp_path / "packages", "strange", "License: Dual License\n")
    described(tmp_path / "packages", "copyleft", "License-Expression: AGPL-3.0-only\n")

    answer = apply(
        "license-report", "--set", f"places={json.dumps([str(tmp_path / 'packages')])}", cwd=tmp_path
    )

    document = answer.document
    assert answer.code == 0, answer.err
    assert 'strange 1.0: "Dual License" names no licence that is known' in document["state"]["unknown"]
    assert "copyleft 1.0 is under AGPL-3.0-only (strong copyleft)" in document["state"]["warnings"]
    assert document["state"]["warnings"][-1].endswith("distributions are under an unknown licence")
    assert "## Unknown\n\n" in Path(document["state"]["written"]).read_text()
