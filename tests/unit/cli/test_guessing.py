"""What a shell offers behind a verb: asked as the installed completion asks it."""

from __future__ import annotations

import pytest
from tests.unit.cli.builders import waiting_run

from cairn_runtime.cli.__main__ import main


@pytest.fixture
def offered(capsys, monkeypatch):
    """Press TAB behind these words, in bash."""

    def press(*words):
        monkeypatch.setenv("_CAIRN_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(["cairn", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit) as ended:
            main([])
        assert ended.value.code == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out.split()

    return press


def test_workflows_of_a_store_on_this_machine_are_offered(offered, url, write):
    """Those that begin with what was typed, behind every verb that takes one."""
    write(waiting_run)

    assert offered("state", "--store", url, "di") == ["digest"]
    assert offered("runs", "--store", url, "") == ["digest"]
    assert offered("delete", "--store", url, "d") == ["digest"]
    assert offered("state", "--store", url, "x") == []


@pytest.mark.parametrize(
    "store", ["sqlite:///not/there.db", "postgresql://127.0.0.1:1/db", "redis://127.0.0.1:1", "nonsense"]
)
def test_what_cannot_be_found_out_is_left_out(offered, store):
    """Nothing is made, no server is asked, nothing is said."""
    assert offered("state", "--store", store, "") == []


def test_verbs_and_formats_are_offered(offered):
    """As before."""
    assert "checkpoints" in offered("che")
    assert offered("runs", "-o", "j") == ["json"]
