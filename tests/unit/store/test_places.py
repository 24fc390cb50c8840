"""Where a local store may stand."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from cairn_runtime.errors import StoreUnavailable, StoreUnusable
from cairn_runtime.store import places
from cairn_runtime.store.places import (
    filesystem_of,
    free_bytes,
    is_network,
    make_folder,
    refuse_network,
    refused,
)

MOUNTS = """\
22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/a
23 22 0:21 / /proc rw - proc proc rw
30 22 0:30 / /home rw shared:9 - ext4 /dev/sda1 rw
31 30 0:31 / /home/shared rw - nfs4 server:/export rw
32 31 0:32 / /home/shared/local\\040disk rw - xfs /dev/sdb1 rw
33 22 0:33 / /mnt rw - ext4 /dev/sdc1 rw
34 22 0:34 / /mnt rw - cifs //server/share rw
broken line
35 22 0:35 / /short
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/var/lib/x.db", "overlay", id="under the root"),
        pytest.param("/home/me/x.db", "ext4", id="under a mount"),
        pytest.param("/home/shared/x.db", "nfs4", id="under the longest mount"),
        pytest.param("/home/shared", "nfs4", id="the mount itself"),
        pytest.param("/home/sharedx/x.db", "ext4", id="a name that begins like a mount"),
        pytest.param("/home/shared/local disk/x.db", "xfs", id="an escaped space"),
        pytest.param("/mnt/x.db", "cifs", id="the later of two mounts on one point"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path, kind):
    """As the kernel sees it."""
    assert filesystem_of(path, MOUNTS) == kind


def test_without_mounts_the_file_system_is_unknown():
    """Nothing is guessed, and the unknown is not refused."""
    assert filesystem_of("/x", "") == ""
    assert not is_network("")


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "fuse.sshfs", "fuse.glusterfs", "lustre"]
)
def test_network_file_systems_are_known(kind):
    """Several machines may have them mounted."""
    assert is_network(kind)


@pytest.mark.parametrize(
    "kind",
    ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "9p", "virtiofs", "fuse.gocryptfs", "zfs", "ecryptfs"],
)
def test_file_systems_of_one_machine_are_allowed(kind):
    """Also those of containers and sandboxes."""
    assert not is_network(kind)


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    """The text names the path, the type and the way out; a link to it does not help."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 1 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path}/net rw - nfs4 b rw\n")
    monkeypatch.setattr(places, "_MOUNTS", mounts)
    (tmp_path / "link").symlink_to(tmp_path / "net")

    refuse_network(tmp_path / "local" / "x.db")
    for path in (tmp_path / "net" / "x.db", tmp_path / "link" / "x.db"):
        with pytest.raises(StoreUnusable, match=r"network file system \(nfs4\)"):
            refuse_network(path)


def test_without_a_list_of_mounts_nothing_is_refused(tmp_path, monkeypatch):
    """Elsewhere than on Linux there is nothing to go by."""
    monkeypatch.setattr(places, "_MOUNTS", tmp_path / "none")

    refuse_network(tmp_path)


def test_missing_folders_are_made_for_this_user_only(tmp_path):
    """All that are missing, and none that is there is changed."""
    tmp_path.chmod(0o755)

    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")

    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    """What is there already is a file."""
    (tmp_path / "a").write_text("")

    with pytest.raises(StoreUnusable, match="a/b: Not a directory"):
        make_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENOSPC, StoreUnavailable, "make room"),
        (errno.EDQUOT, StoreUnavailable, "make room"),
        (errno.EROFS, StoreUnusable, "may write to"),
        (errno.EACCES, StoreUnusable, "may write to"),
        (errno.EISDIR, StoreUnusable, "/x"),
        (errno.EIO, StoreUnavailable, "/x"),
    ],
)
def test_errors_of_the_system_are_told_apart(number, kind, text):
    """What may pass by itself can be tried again; what will not, cannot."""
    error = refused(OSError(number, "words"), Path("/x"))

    assert type(error) is kind
    assert text in error.message
    assert "words" in error.message


def test_space_is_told_where_it_can_be(tmp_path):
    """A place that is not there has none to tell of."""
    assert (free_bytes(tmp_path) or 0) > 0
    assert free_bytes(tmp_path / "none") is None
