"""Steps that have a second way when the first one fails."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from cairn_runtime import SyncContext


def live_rates(state: Mapping[str, Any], ctx: SyncContext) -> dict[str, Any]:
    """Ask for the rates of today.

    When that fails it says so and no more: whether to try again, and what to do instead, stands in the
    manifest.

    Raises:
        ConnectionError: nobody answered; it may go better the next time.
        ValueError: the answer is no JSON.
    """
    url = state["rates_url"]
    ctx.log.info("asks %s, attempt %d", url, ctx.attempt)
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - the user's own address
            return {"rates": json.load(answer), "source": "live"}
    except URLError as error:
        raise ConnectionError(f"no rates from {url}: {error.reason}") from None


def stored_rates(state: Mapping[str, Any], ctx: SyncContext) -> dict[str, Any]:
    """Take the rates that lie beside the manifest."""
    error = state["error"]
    ctx.log.warning("takes stored rates, because %s failed %d times", error["step"], error["attempts"])
    return {"rates": json.loads(Path(__file__).with_name("rates.json").read_text()), "source": "stored"}


def add_up(state: Mapping[str, Any]) -> dict[str, Any]:
    """Add the amounts up in one currency."""
    rates = state["rates"]
    return {"total": round(sum(amount * rates[name] for name, amount in state["amounts"].items()), 2)}
