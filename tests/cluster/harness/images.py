"""Images where there is no registry and no Docker engine: a base by debootstrap, builds by buildah.

The base and the pause image are made once and lie in the cache, as archives.  A build may reach package
registries as this machine does: its pip configuration, its certificates and its folders of wheels are shown
to the build and are not part of what comes out.  buildah keeps its layers in the cache too; each call has a
mount namespace of its own, so that it leaves no mount behind.
"""

from __future__ import annotations

import configparser
import os
import shutil
import ssl
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.harness import binaries
from tests.cluster.harness.commands import QUIETLY, CommandFailed, output, say, watched
from tests.cluster.harness.configs import PAUSE
from tests.cluster.harness.places import CHECKOUT, Places, digest_of, emptied, made_whole

BASE = "localhost/cairn-base:1"
FORMAT = "docker-archive"
"""Its layers are not compressed, which for a file that never leaves the machine is time for nothing."""

SUITE = "bookworm"
PACKAGES = "ca-certificates,python3,python3-venv"
MIRROR = "http://deb.debian.org/debian"
BASE_MINUTES = 3

MOST_LAYERS = 60

ALONE = ("unshare", "--mount", "--propagation=private")
"""Before what mounts: the mounts are gone when it is, however it ends."""

STRIPPED = (
    "boot",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/zoneinfo",
    "var/cache",
    "var/lib/apt/lists",
    "var/log",
)
"""What of a fresh Debian no container of a test looks at; the folders stay, empty."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Where the base has its certificates: what is mounted over it leaves no file behind."""

PIP_CONFIGURATION = "/etc/pip.conf"

PIP_FILE = "[global]\ndisable-pip-version-check = true\nno-cache-dir = true\n"
"""The base's own pip configuration: that of this machine is mounted over it, and leaves no file behind."""

BASE_FILE = """
FROM scratch
ADD root.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
"""

PAUSE_FILE = """
FROM scratch
COPY pause /pause
USER 65535:65535
ENTRYPOINT ["/pause"]
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is built from."""

    tag: str
    dockerfile: Path
    context: Path = CHECKOUT
    build_args: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None
    """The build argument BASE; None: the local base, or with Docker what the file itself says."""


def base(places: Places) -> Path:
    """The archive of the base image: a small Debian with Python."""
    recipe = digest_of(FORMAT, SUITE, PACKAGES, *STRIPPED, PIP_FILE, BASE_FILE)
    archive = places.cache / "images" / f"base-{SUITE}-{recipe}.tar"
    if archive.exists():
        return archive
    with places.locked(places.cache / "images", "making the base image"):
        if not archive.exists():
            say(f"making the base image by debootstrap (about {BASE_MINUTES} minutes)")
            with emptied(places.cache / "images" / "making") as folder:
                _debootstrap(folder, places.cache / "logs" / "debootstrap.log")
                (folder / "Dockerfile").write_text(BASE_FILE)
                _archive(places, Recipe(BASE, folder / "Dockerfile", folder), archive)
    return archive


def pause(places: Places) -> Path:
    """The archive of the image whose program holds a pod's network."""
    program = binaries.ensure(places, "pause") / "pause"
    archive = places.cache / "images" / f"pause-{digest_of(program, FORMAT, PAUSE_FILE)}.tar"
    if archive.exists():
        return archive
    with places.locked(places.cache / "images", "making the pause image"):
        if not archive.exists():
            with emptied(places.cache / "images" / "making") as folder:
                shutil.copy(program, folder)
                (folder / "Dockerfile").write_text(PAUSE_FILE)
                _archive(places, Recipe(PAUSE, folder / "Dockerfile", folder), archive)
    return archive


def build(places: Places, recipe: Recipe) -> Path:
    """Build an image by buildah from a Dockerfile; answer its archive."""
    archive = places.cache / "built" / f"{recipe.tag.replace('/', '_').replace(':', '_')}.tar"
    _archive(places, recipe, archive, {"BASE": recipe.base or _local_base(places), **recipe.build_args})
    return archive


def _archive(
    places: Places, recipe: Recipe, archive: Path, build_args: Mapping[str, str] | None = None
) -> None:
    """Build and write the result as an archive that names the image."""
    arguments = [f"--build-arg={name}={value}" for name, value in (build_args or {}).items()]
    with ExitStack() as stack:
        stack.enter_context(places.locked(places.cache / "buildah", "building an image"))
        shown = _shown_to_builds(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        mounts = [f"--volume={source}:{target}:ro" for source, target in shown.items()]
        options = ["--isolation=chroot", "--network=host", "--layers", *mounts, *arguments]
        files = [f"--file={recipe.dockerfile}", f"--tag={recipe.tag}", str(recipe.context)]
        taken = watched(
            [*QUIETLY, *_buildah(places), "build", *options, *files],
            f"building {recipe.tag}",
            log=places.cache / "logs" / "build-image.log",
            timeout_seconds=1800,
        )
        draft = stack.enter_context(made_whole(archive))
        target = f"{FORMAT}:{draft}:{recipe.tag}"
        output(*_buildah(places), "push", recipe.tag, target, timeout_seconds=300)
        # Layers of earlier builds make the next one short; only where there are many they go, all at once.
        if len(output(*_buildah(places), "images", "--all", "--quiet").split()) > MOST_LAYERS:
            # A build that was killed leaves its container, which holds an image; none is at work but ours.
            output(*_buildah(places), "rm", "--all")
            output(*_buildah(places), "rmi", "--prune")
    say(f"  built {recipe.tag} in {round(taken)} s: {archive.stat().st_size >> 20} MiB")


def _local_base(places: Places) -> str:
    """See that buildah has the base image, of this recipe; answer its name there."""
    archive = base(places)
    name = f"{BASE.partition(':')[0]}:{archive.stem.rpartition('-')[2]}"
    with places.locked(places.cache / "buildah", "building an image"):
        try:
            output(*_buildah(places), "inspect", "--type=image", name)
        except CommandFailed:
            found = output(*_buildah(places), "pull", f"{FORMAT}:{archive}", timeout_seconds=300).split()
            output(*_buildah(places), "tag", found[-1], name)
    return name


def _buildah(places: Places) -> list[str]:
    """Call buildah with a store of its own."""
    own = places.cache / "buildah"
    roots = [f"--root={own / 'storage'}", f"--runroot={own / 'run'}", "--storage-driver=overlay"]
    return [*ALONE, "buildah", *roots]


def _debootstrap(folder: Path, log: Path) -> None:
    """Write `root.tar`: a minimal Debian with Python, without what no test needs."""
    root = folder / "root"
    mirror = os.environ.get("CAIRN_TEST_DEBIAN_MIRROR", MIRROR)
    options = ["--variant=minbase", f"--include={PACKAGES}"]
    watched([*QUIETLY, *ALONE, "debootstrap", *options, SUITE, str(root), mirror], "debootstrap", log=log)
    for name in STRIPPED:
        for entry in (root / name).iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    (root / PIP_CONFIGURATION.lstrip("/")).write_text(PIP_FILE)
    with tarfile.open(folder / "root.tar", "w") as archive:
        # Devices are made by the runtime; what is in them here could not be unpacked everywhere.
        archive.add(root, ".", filter=lambda member: None if member.ischr() or member.isblk() else member)


def _shown_to_builds(folder: Path) -> dict[str, str]:
    """Files of this machine -> where a build sees them: how its pip reaches its registries."""
    shown = {}
    certificates = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    certificates = certificates or ssl.get_default_verify_paths().cafile or CERTIFICATES
    if Path(certificates).is_file():
        shown[certificates] = CERTIFICATES
    pip = _pip_settings()
    if "cert" in pip:
        pip["cert"] = CERTIFICATES
    shown.update({found: found for found in pip.get("find-links", "").split() if Path(found).is_dir()})
    parser = configparser.RawConfigParser()
    parser["global"] = pip
    with (folder / "pip.conf").open("w") as file:
        parser.write(file)
    return {**shown, str(folder / "pip.conf"): PIP_CONFIGURATION}


def _pip_settings() -> dict[str, str]:
    """What pip is told on this machine, by files and by the environment, whichever wins."""
    listed = output(sys.executable, "-m", "pip", "config", "list").splitlines()
    found: dict[str, str] = {}
    for kind in ("global.", "user.", "site.", "install.", ":env:."):
        for line in listed:
            name, _, value = line.partition("=")
            if name.startswith(kind):
                found[name.removeprefix(kind)] = value.strip("'\"").replace("\\n", " ")
    return found
