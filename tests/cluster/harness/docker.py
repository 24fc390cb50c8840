"""Images where a Docker engine is: built by it, and written as archives."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cluster.harness.commands import output, succeeds, watched
from tests.cluster.harness.images import Recipe
from tests.cluster.harness.places import Places, made_whole


def engine_answers() -> bool:
    """Whether there is a Docker engine; its client alone builds nothing."""
    return shutil.which("docker") is not None and succeeds("docker", "info")


def build(places: Places, recipe: Recipe) -> Path:
    """Build an image from a Dockerfile, with the base that it names itself unless one is given."""
    given = {**({"BASE": recipe.base} if recipe.base else {}), **recipe.build_args}
    arguments = [f"--build-arg={name}={value}" for name, value in given.items()]
    files = [f"--file={recipe.dockerfile}", f"--tag={recipe.tag}", str(recipe.context)]
    log = places.cache / "logs" / "build-image.log"
    watched(["docker", "build", *arguments, *files], f"building {recipe.tag}", log=log, timeout_seconds=1800)
    archive = places.cache / "built" / f"{recipe.tag.replace('/', '_').replace(':', '_')}.tar"
    with made_whole(archive) as draft:
        output("docker", "save", f"--output={draft}", recipe.tag, timeout_seconds=300)
    return archive
