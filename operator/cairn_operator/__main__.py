"""The operator's entry point: `python -m cairn_operator`.

Reads the settings once, sets up the log, runs one `Operator`, and answers with an exit code:
0 stopped when asked to, 1 something unforeseen, 78 settings that cannot be used.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from uuid import uuid4

from cairn_operator.cluster.client import Cluster
from cairn_operator.process import Operator
from cairn_operator.settings import SERVICE_ACCOUNT_NAMESPACE, Settings, read_settings
from cairn_operator.telemetry.logs import Lines, set_up_logs
from cairn_runtime.errors import EXIT_CONFIG, EXIT_DONE, EXIT_FAILED, SettingsInvalid

log = logging.getLogger("cairn.process")


def main() -> int:
    """Run the operator; answers its exit code."""
    host = f"{socket.gethostname()}-{uuid4().hex[:8]}"
    try:
        settings = read_settings(os.environ, host=host, own_namespace=_own_namespace())
    except SettingsInvalid as error:
        for fault in error.faults:
            sys.stderr.write(f"{fault}\n")
        return EXIT_CONFIG
    lines = set_up_logs(settings.log_format, settings.log_level)
    try:
        asyncio.run(_run(settings, lines))
    except Exception:
        log.exception("operator ended")
        return EXIT_FAILED
    return EXIT_DONE


async def _run(settings: Settings, lines: Lines) -> None:
    cluster = await Cluster.connect()
    try:
        operator = Operator(settings, cluster, _version(), hide=lines.hide)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, operator.stop)
        log.info("operator started", extra={"version": _version(), "installation": settings.installation})
        await operator.run()
        log.info("operator stopped")
    finally:
        await cluster.close()


def _own_namespace() -> str:
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
    except OSError:
        return ""


def _version() -> str:
    try:
        return version("cairn-workflows")
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
