"""/healthz, /readyz and /metrics: whether this process works, whether it may be relied on, and its numbers.

    healthz   fails when the watches were not proved to live for so long that only a new process helps
    readyz    fails while the API server does not answer, or the last full list was not borne out

An operator that waits for the Lease is ready: it is what a rolling update waits for. A store that is down
makes neither fail: a restart would not mend it, and the other stores' Workflows go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from cairn_operator.telemetry.metrics import CONTENT_TYPE

log = logging.getLogger("cairn.probes")

API_SECONDS = 60.0
"""How long ago the API server may have answered last."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What the answers are made of."""

    active: Callable[[], bool]
    """Whether this operator makes passes now."""
    watch_ages: Callable[[], Mapping[str, float]]
    api_age: Callable[[], float | None]
    """Seconds since the API server answered; None: it never did."""
    late_watch_seconds: float
    """Age that no watch comes to which bears the lists out."""
    oldest_watch_seconds: float
    """Age at which a watch is given up."""
    watched: str
    """Kind whose watch is held against the lists."""


def faults_of_health(signs: Signs) -> list[str]:
    """Say why this process should be ended; empty: it works."""
    return _faults_of_watch(signs, signs.oldest_watch_seconds)


def faults_of_readiness(signs: Signs) -> list[str]:
    """Say why this process cannot do its work now; empty: it can."""
    age = signs.api_age()
    if age is None:
        return ["the API server has not answered yet"]
    if age > API_SECONDS:
        return [f"the API server has not answered for {age:.0f} s"]
    return _faults_of_watch(signs, signs.late_watch_seconds)


def _faults_of_watch(signs: Signs, at_most_seconds: float) -> list[str]:
    age = signs.watch_ages().get(signs.watched, 0.0) if signs.active() else 0.0
    if age <= at_most_seconds:
        return []
    return [f"the watch of {signs.watched}s was not proved to live for {age:.0f} s"]


def probes(signs: Signs, numbers: Callable[[], bytes]) -> web.Application:
    """Make the small web application that answers."""

    async def healthz(_request: web.Request) -> web.Response:
        return _answer(faults_of_health(signs))

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(faults_of_readiness(signs))

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=numbers(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    return application


async def serve(application: web.Application, port: int) -> web.AppRunner:
    """Listen on all addresses of this pod.

    Raises:
        OSError: the port is taken.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    log.info("probes are answered", extra={"port": port})
    return runner


def _answer(faults: list[str]) -> web.Response:
    return web.Response(status=503 if faults else 200, text="\n".join(faults) or "ok")
