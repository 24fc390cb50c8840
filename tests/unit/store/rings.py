"""Key files for tests: keys with bytes that a test can search for."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from cairn_runtime.store.codec import Codec
from cairn_runtime.store.keys import KeyRing


def key_text(name: str) -> str:
    """The base64 text of the key that a test calls by a name; no two names have the same."""
    return b64encode(sha256(name.encode()).digest()).decode()


def lines(*names: str, plain: str = "") -> str:
    """The text of a key file."""
    return "".join(f"{name}: {key_text(name)}\n" for name in names) + (f"plain: {plain}\n" if plain else "")


def key_file(folder: Path, *names: str, plain: str = "") -> Path:
    """Put a key file in the place of the one before, as a mounted Secret is: in one step, as another file."""
    path, new = folder / "keys", folder / "keys.new"
    new.write_text(lines(*names, plain=plain))
    new.rename(path)
    return path


def codec(folder: Path, *names: str, plain: str = "") -> Codec:
    """A codec with these keys."""
    return Codec(keys=KeyRing(key_file(folder, *names, plain=plain)))
