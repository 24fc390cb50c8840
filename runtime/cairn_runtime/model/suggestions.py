"""Did you mean: the nearest of the names that exist, for every message about one that does not."""

from __future__ import annotations

from collections.abc import Iterable

_NEAR = 0.6


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Find the known name that is most like a word; None if none is."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a manifest with faults pays for it

    names = sorted(set(known))
    lowered = {name.lower(): name for name in reversed(names)}
    if word.lower() in lowered and word not in names:
        return lowered[word.lower()]
    found = get_close_matches(word[:100], [name for name in names if name != word], n=1, cutoff=_NEAR)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Continue a message: `; did you mean "a"?`, or nothing."""
    found = nearest(word, known)
    return f'; did you mean "{found}"?' if found else ""
