"""A runner that waits for its collector as long as it takes, started by tests that look at what arrives.

In place of `python -m cairn_runtime.runner`, which leaves behind what was not sent within a second.
"""

from __future__ import annotations

import sys

from cairn_runtime.runner import otel, process
from cairn_runtime.runner.__main__ import main

if __name__ == "__main__":
    vars(otel)["CLOSE_SECONDS"] = vars(process)["LEAVE_SECONDS"] = 60.0
    sys.exit(main())
