"""Reads how an installed distribution describes itself: a `.dist-info` folder, or an older `.egg-info`.

Source: https://packaging.python.org/en/latest/specifications/core-metadata/
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from licences import Evidence

_MOST_BYTES = 256 * 1024
"""More is read of no file: what it says about licences stands at its beginning."""


@dataclass(frozen=True)
class Description:
    """What a distribution says about itself."""

    name: str
    version: str
    folder: str
    evidence: Evidence = field(default_factory=Evidence)

    def names(self) -> dict[str, str]:
        """What tells it from others."""
        return {"name": self.name, "version": self.version, "folder": self.folder}


def descriptions(folder: Path) -> Iterator[Path]:
    """Find the descriptions in a folder of packages.

    Raises:
        OSError: the folder cannot be listed.
    """
    for path in folder.iterdir():
        if path.suffix in (".dist-info", ".egg-info"):
            yield path


def read(path: Path) -> Description:
    """Read one description. What cannot be read becomes a problem that the evidence names."""
    name, _, version = path.stem.partition("-")
    try:
        headers = HeaderParser().parsestr(_text(_main_file(path)))
        files = tuple(_licence_texts(path))
    except OSError as error:
        evidence = Evidence(problem=f"its metadata cannot be read: {error.strerror}")
        return Description(name, version, str(path.parent), evidence)
    evidence = Evidence(
        expression=_header(headers, "License-Expression"),
        classifiers=tuple(str(line) for line in headers.get_all("Classifier") or ()),
        field=_header(headers, "License"),
        files=files,
    )
    name, version = _header(headers, "Name") or name, _header(headers, "Version") or version
    return Description(name, version, str(path.parent), evidence)


def _main_file(path: Path) -> Path:
    """The file with the headers: METADATA, PKG-INFO in an .egg-info, or the .egg-info itself."""
    if path.is_file():
        return path
    return path / ("METADATA" if path.suffix == ".dist-info" else "PKG-INFO")


def _licence_texts(path: Path) -> Iterator[str]:
    """The licence files that came along, in `licenses/` or beside the metadata."""
    if not path.is_dir():
        return
    for file in sorted([*path.glob("licenses/**/*"), *path.iterdir()]):
        if file.is_file() and file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            yield _text(file)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES).decode("utf-8", "replace")


def _header(headers: Message, name: str) -> str:
    text = str(headers.get(name) or "").strip()
    return "" if text.upper() in ("UNKNOWN", "NONE") else text
