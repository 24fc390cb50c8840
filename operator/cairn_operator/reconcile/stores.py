"""The stores of this installation: opened as they can be, looked at again as long as the operator runs.

    <folder>/<name>/url         one file for each store, mounted from a Secret
    <folder>/<name>/capacity    how much it may hold, e.g. 50Gi, where somebody says so
    <folder>/<name>/namespaces  whose Workflows may name it, between spaces or lines; without it all may

A store that does not open keeps nobody from using the others: in its place stands one that answers every call
with the reason, and it is tried again. A URL that was changed (a new password) is opened and takes the old
one's place; a store whose file is gone stays as it is until the process ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from cairn_runtime.errors import CairnError, StoreUnavailable
from cairn_runtime.model.durations import parse_size
from cairn_runtime.store.base import Store
from cairn_runtime.store.opening import open_store

log = logging.getLogger("cairn.stores")

LOOK_SECONDS = 10.0
FIRST_SECONDS = 5.0
"""How long the first passes wait for stores; a new operator must not say that there are none."""
_DOUBLINGS = 10
OPEN_SECONDS = 30.0
"""How long one opening may take, a migration of its schema apart."""


class _Closed:
    """Stands where a store will be: every call says why it is not there."""

    def __init__(self, error: CairnError) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a Store has
        if name.startswith("_"):
            raise AttributeError(name)
        return self._refuse

    async def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise self.error


class Stores(Mapping[str, Store]):
    """The stores by name; those that are not open yet answer with the reason."""

    def __init__(
        self,
        folder: Path,
        *,
        hide: Callable[[str], None] = lambda _url: None,
        opener: Callable[[str], Awaitable[Store]] = open_store,
    ) -> None:
        self._folder = folder
        self._hide = hide
        self._opener = opener
        self._urls: dict[str, str] = {}
        """URLs of those that are open."""
        self._stores: dict[str, Store] = {}
        self._namespaces: dict[str, frozenset[str]] = {}
        """Of stores that are not for all."""
        self._retired: list[Store] = []
        self._looked = asyncio.Event()

    def __getitem__(self, name: str) -> Store:
        return self._stores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stores)

    def __len__(self) -> int:
        return len(self._stores)

    def is_open(self, name: str) -> bool:
        """Whether it was opened; it may have gone away since."""
        return name in self._urls

    def allows(self, name: str, namespace: str) -> bool:
        """Whether Workflows of a namespace may name this store."""
        return name not in self._namespaces or namespace in self._namespaces[name]

    def capacity(self, name: str) -> int | None:
        """How many bytes a store may hold; None: nobody said so, or not so that it can be read."""
        file = self._folder / name / "capacity"
        try:
            return parse_size(file.read_text().strip())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("capacity could not be read", extra={"store": name, "why": str(error)})
            return None

    async def ready(self) -> None:
        """Wait until every store was opened or refused, but not for long; whoever is late answers so."""
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                await self._looked.wait()
        except TimeoutError:
            for name in self._read().keys() - self._stores.keys():
                self._stores[name] = cast(
                    "Store", _Closed(StoreUnavailable(f"store {name} has not answered yet"))
                )

    async def keep_open(self) -> None:
        """Open what can be opened, again and again, until cancelled."""
        failures = 0
        while True:
            await self.look()
            self._looked.set()
            failures = 0 if all(self.is_open(name) for name in self._stores) else failures + 1
            await asyncio.sleep(look_again_seconds(failures))

    async def look(self) -> None:
        """Read the folder, open what is new or was changed, and try again what could not be opened."""
        retired, self._retired = self._retired, []
        for store in retired:
            await _closed(store)
        found = self._read()
        self._namespaces = {name: told for name in found if (told := self._told(name)) is not None}
        await asyncio.gather(
            *(self._open(name, url) for name, url in found.items() if self._urls.get(name) != url)
        )

    async def close(self) -> None:
        """Close them all."""
        names = [*self._urls]
        self._urls.clear()
        for store in (*self._retired, *(self._stores[name] for name in names)):
            await _closed(store)

    def _read(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for file in sorted(self._folder.glob("*/url")):
            try:
                found[file.parent.name] = file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                log.warning("url could not be read", extra={"store": file.parent.name, "why": str(error)})
        return found

    def _told(self, name: str) -> frozenset[str] | None:
        """For which namespaces a store is; None: nobody said so. What cannot be read lets nobody in."""
        try:
            return frozenset((self._folder / name / "namespaces").read_text().split())
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            log.warning("namespaces could not be read", extra={"store": name, "why": str(error)})
            return frozenset()

    async def _open(self, name: str, url: str) -> None:
        self._hide(url)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                store = await self._opener(url)
        except TimeoutError:
            self._keep_closed(name, StoreUnavailable(f"store {name} did not open in {OPEN_SECONDS:g} s"))
        except CairnError as error:
            self._keep_closed(name, error)
        except Exception as error:  # a store from outside may raise anything
            log.exception("store could not be opened", extra={"store": name})
            self._keep_closed(name, StoreUnavailable(f"store {name}: {type(error).__name__}"))
        else:
            if name in self._urls:
                self._retired.append(self._stores[name])
            self._stores[name], self._urls[name] = store, url
            log.info("store was opened", extra={"store": name, "url": store.url})

    def _keep_closed(self, name: str, error: CairnError) -> None:
        """Say why; one that was open under another URL goes on meanwhile."""
        if name in self._urls:
            log.warning("new url could not be opened", extra={"store": name, "reason": error.reason})
            return
        before = cast("object", self._stores.get(name))
        if not isinstance(before, _Closed) or before.error.reason != error.reason:
            log.warning(
                "store could not be opened",
                extra={"store": name, "reason": error.reason, "why": error.message},
            )
        self._stores[name] = cast("Store", _Closed(error))


def look_again_seconds(failures: int) -> float:
    """How long to wait after so many looks in a row that found a store closed; it may just be starting."""
    return min(2.0 ** min(failures - 1, _DOUBLINGS), LOOK_SECONDS) if failures else LOOK_SECONDS


async def _closed(store: Store) -> None:
    try:
        await store.close()
    except CairnError as error:
        log.info("store was not closed well", extra={"reason": error.reason})
