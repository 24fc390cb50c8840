"""Times and sizes as people read them; pure, the present is passed in."""

from __future__ import annotations

from datetime import datetime

_AGES = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def age(since: datetime, now: datetime) -> str:
    """Say how long ago a moment was, in one unit: `5s`, `2m`, `3h`, `4d`; the future is `0s`."""
    seconds = max((now - since).total_seconds(), 0.0)
    for size, unit in _AGES:
        # Two of a unit before it is used: `90s` says more than `1m`.
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def span(seconds: float) -> str:
    """Say how long something took, in at most two units: `0.4s`, `12s`, `3m12s`, `1h04m`, `2d03h`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def moment(at: datetime, now: datetime) -> str:
    """Write a moment in the reader's own zone: the time today, with the date on other days."""
    local, today = at.astimezone(), now.astimezone()
    return local.strftime("%H:%M:%S" if local.date() == today.date() else "%Y-%m-%d %H:%M")


def size(count: int) -> str:
    """Write a number of bytes in at most four digits: `512 B`, `1.4 KiB`, `23 MiB`."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_SIZES) - 1:
        value, unit = value / 1024, unit + 1
    if unit == 0:
        return f"{count} B"
    return f"{value:.1f} {_SIZES[unit]}" if value < 9.95 else f"{value:.0f} {_SIZES[unit]}"


def counted(count: int, what: str) -> str:
    """Say how many: `1 step`, `2 steps`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
