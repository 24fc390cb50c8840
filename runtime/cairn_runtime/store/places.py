"""Where a local store may stand: its folder, the file system under it, and the space there.

A lock of one machine means nothing on a network file system, and neither SQLite nor the file store can keep
the promise of one writer there; so these are refused, not warned about.
Container file systems (overlay, 9p of a sandbox) belong to one machine and are fine.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

from cairn_runtime.errors import StoreUnavailable, StoreUnusable

_NETWORK = re.compile(
    r"^(afs|beegfs|ceph|cifs|coda|glusterfs|gpfs|lustre|ncpfs|nfs4?|smb[23]|smbfs"
    r"|fuse\.(sshfs|ceph|glusterfs|s3fs|gcsfuse|rclone|goofys|juicefs|nfs|cifs|davfs).*)$",
    re.IGNORECASE,
)
_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def refuse_network(path: Path) -> None:
    """Refuse a place on a network file system.

    Raises:
        StoreUnusable: it is on one.
    """
    try:
        mounts = _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return  # not Linux, or /proc is hidden: nothing to go by
    kind = filesystem_of(os.path.realpath(path), mounts)
    if is_network(kind):
        raise StoreUnusable(
            f"{path} is on a network file system ({kind}), where locks of one machine mean nothing; "
            "use a local disk, or a store that is a server"
        )


def is_network(kind: str) -> bool:
    """Tell whether several machines may have this type of file system mounted."""
    return _NETWORK.match(kind) is not None


def filesystem_of(path: str, mounts: str) -> str:
    """Find the type of the file system that holds an absolute path; empty if unknown.

    Source: proc(5), /proc/pid/mountinfo; a later mount on the same point hides the one before.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])
        inside = point in ("/", path) or path.startswith(point + "/")
        if inside and len(point) >= best:
            best, kind = len(point), right.split(" ", 1)[0]
    return kind


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for this user only.

    Raises:
        StoreUnusable, StoreUnavailable: see `refused`.
    """
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue  # another process made it
        except OSError as error:
            raise refused(error, path) from error


def refused(error: OSError, path: Path) -> StoreUnusable | StoreUnavailable:
    """Say what the system's error means for a store: try again, or never."""
    text = f"{path}: {error.strerror or error}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return StoreUnavailable(f"{text}; make room, then go on")
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return StoreUnusable(f"{text}; the store needs a place that this user may write to")
        case errno.ENOTDIR | errno.EISDIR | errno.ENAMETOOLONG | errno.ELOOP | errno.EINVAL:
            return StoreUnusable(text)
        case _:
            return StoreUnavailable(text)


def free_bytes(path: Path) -> int | None:
    """Bytes that this user may still write at a place, or None where nobody can tell."""
    try:
        space = os.statvfs(path)
    except OSError:
        return None
    return space.f_bavail * space.f_frsize


def sync_folder(folder: Path) -> None:
    """Make durable which names a folder holds."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_whole(fd: int, data: bytes) -> None:
    """Write all of it: one `write` may take less."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_file(path: Path, parts: Iterable[bytes], *, durable: bool, writer: str = "") -> None:
    """Put a file in the place of another in one step; writers that may meet need different names."""
    new = path.with_name(f".{path.name}{writer}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        for part in parts:
            write_whole(fd, part)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(path)
    if durable:
        sync_folder(path.parent)
