"""Damage by the thousand: all of it is found, plain or encrypted, and nothing is read that was not written.

CAIRN_TEST_TRIALS (for each store, plain and encrypted each) and CAIRN_TEST_TRIALS_BEHIND ask for more than
the suite takes time for.
"""

from __future__ import annotations

import logging
import os

import orjson
import pytest
from tests.contract import trials
from tests.contract.trials import DAMAGES, behind_its_back, key_file, place_of, through_the_codec

from cairn_runtime.engine.history import newest_valid
from cairn_runtime.store import chain
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.keys import codec_from_environment
from cairn_runtime.store.opening import open_store

TRIALS = int(os.environ.get("CAIRN_TEST_TRIALS", "1000"))
BEHIND = int(os.environ.get("CAIRN_TEST_TRIALS_BEHIND", "60"))
STORES = ["memory", "sqlite", "file", "postgres", "redis"]


@pytest.fixture(params=["plain", "encrypted"])
def codec(request, tmp_path, monkeypatch) -> Codec:
    """Without keys, and with a ring that refuses what is plain."""
    logging.getLogger("cairn.history").setLevel(logging.CRITICAL)
    if request.param == "encrypted":
        monkeypatch.setenv("CAIRN_KEYS_FILE", str(key_file(tmp_path)))
    return codec_from_environment()


@pytest.fixture(autouse=True)
def loud_again():
    """Leave the log as it was."""
    yield
    logging.getLogger("cairn.history").setLevel(logging.NOTSET)


def misses(found) -> list[str]:
    return [name for name in found if name.startswith("MISSED")]


@pytest.mark.parametrize("kind", STORES)
async def test_all_damage_to_what_a_store_gives_is_found(url_of, codec, kind):
    """Bits, lengths, places, headers, other runs; with keys also hashes that were computed anew."""
    found = await through_the_codec(url_of(kind), TRIALS, 1, codec)

    assert misses(found) == []
    done = {damage.__name__ for damage in DAMAGES} | ({"forge"} if codec.keys else set())
    assert set(found) - {"bits that say nothing"} == done


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_all_damage_behind_the_back_of_a_server_is_found(url_of, codec, kind):
    """Rows are changed by SQL and by commands; a run goes on from the newest valid checkpoint, or stops."""
    url = url_of(kind)

    found = await behind_its_back(url, BEHIND, 1, codec, place_of(url))

    assert misses(found) == []
    assert len(found.keys() - {"bits that say nothing"}) == 6


async def test_what_is_passed_over_is_said_loudly(url_of, codec, caplog):
    """An error in the log for each checkpoint that was passed over, and the state of the newest valid one."""
    logging.getLogger("cairn.history").setLevel(logging.NOTSET)
    url = url_of("postgres")
    store = await open_store(url)
    history = await trials.written(store, codec)
    place_of(url).flip_payload(history.rows[-1], 60)

    newest = await newest_valid(store, codec, history.run)
    await store.close()

    assert newest.folded.state.to_json() == history.states[8]
    [record] = [record for record in caplog.records if record.message == "checkpoint was corrupt"]
    assert (record.levelno, vars(record)["seq"]) == (logging.ERROR, 9)
    assert len(newest.corrupt) == 1


@pytest.mark.parametrize("blind", ["is_sealed", "Codec.decode"], ids=["to headers", "to digests"])
async def test_the_trials_have_teeth(url_of, monkeypatch, blind):
    """Whoever does not look at hashes, or at digests, is found out by them."""
    if blind == "is_sealed":
        monkeypatch.setattr(chain, "is_sealed", lambda checkpoint: True)
    else:
        monkeypatch.setattr(
            Codec, "decode", lambda self, payload, *, digest: orjson.loads(self._plain(payload)[16:])
        )

    try:
        found = await through_the_codec(url_of("memory"), 400, 1, Codec())
    except ValueError:
        return  # bytes that are not JSON came through

    assert misses(found)
