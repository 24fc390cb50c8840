"""What holds of the report on every machine, whatever is installed there."""

from pathlib import Path
from typing import Any


def check(state: dict[str, Any]) -> None:
    """Look at the state at the end of a run, and at the report that it wrote.

    Raises:
        AssertionError: something does not hold.
    """
    paths = [Path(path) for path in state["distributions"]]
    packages, summary = state["packages"], state["summary"]
    assert len(packages) == len(paths) >= 8, "Cairn alone brings eight distributions along"
    assert [package["folder"] for package in packages] == [str(path.parent) for path in paths], "not in order"
    assert summary["total"] == len(packages) == sum(summary["families"].values())

    unknown = [package for package in packages if package["family"] == "unknown"]
    assert summary["unknown"] == len(unknown) == len(state["unknown"] or [])
    assert all(package["reason"] for package in unknown), "an unknown licence has no reason"
    own = [package for package in packages if package["name"] == "pydantic"]
    assert own, "pydantic, which Cairn needs, was not found"
    assert all((package["licence"], package["family"]) == ("MIT", "permissive") for package in own)

    report = Path(state["written"]).read_text(encoding="utf-8")
    assert report.startswith(f"# {state['title']}\n")
    assert all(f"| {package['name']} | {package['version']} |" in report for package in packages)
    assert all(f"- {warning}" in report for warning in state["warnings"])
