"""Encrypted payloads: nobody without the key reads one, forges one, or moves one to another place."""

from __future__ import annotations

import os
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.unit.store.rings import codec, key_file

from cairn_runtime.errors import CheckpointCorrupted, KeyMissing, NotEncrypted, PayloadError
from cairn_runtime.store.chain import sealed, verify_history
from cairn_runtime.store.codec import LOCK_BYTES, Codec, Limits
from cairn_runtime.store.contract.cases import checkpoint
from cairn_runtime.store.keys import KeyRing

CANARY = "xyzzy-canary-9431"
SMALL = {"events": [["write", "a", "replace", CANARY]]}
LARGE = {"events": [["write", f"channel-{n}", "append", {"text": f"{CANARY} " * 20}] for n in range(50)]}


def row(value, seq=2, **changes):
    """A sealed checkpoint with this content, not encrypted."""
    encoded = Codec().encode(value, salt=os.urandom(16))
    made = checkpoint("run", seq, epoch=1, write_id="w", parent_hash="cd" * 32)
    columns = {"payload": encoded.payload, "digest": encoded.digest, "size": len(encoded.payload)}
    return sealed(made._replace(**columns, **changes))


@pytest.mark.parametrize("value", [SMALL, LARGE, {}], ids=["small", "compressed", "empty"])
def test_what_was_encrypted_is_read_with_the_key(tmp_path, value):
    """It comes back equal; header, hash and digest are what they were; nothing of it can be seen."""
    plain, ours = row(value), codec(tmp_path, "a")

    locked = ours.lock(plain)

    assert ours.decode_checkpoint(locked) == value
    assert locked._replace(payload=None, size=0) == plain._replace(payload=None, size=0)
    assert locked.size == len(locked.payload) == len(plain.payload) + LOCK_BYTES
    assert CANARY.encode() not in (locked.payload or b"")
    assert verify_history([locked._replace(payload=None)]) == verify_history([plain._replace(payload=None)])


def test_what_is_over_the_bound_is_not_decrypted(tmp_path):
    """Its length alone says that nobody here wrote it, whatever is inside."""
    ours = codec(tmp_path, "a")
    locked = ours.lock(row(SMALL))
    bounded = Codec(Limits(payload_bytes=locked.size - 1), keys=ours.keys)

    with pytest.raises(CheckpointCorrupted, match="over the bound"):
        bounded.decode_checkpoint(locked)


def test_the_form_is_fixed(tmp_path):
    """Format, flags, key id, nonce, CRC, then AES-256-GCM: what was written once must be read for ever."""
    ours = codec(tmp_path, "a")
    plain = row(SMALL)
    locked = ours.lock(plain)
    payload, place = locked.payload, f"checkpoint\0run\0{plain.seq}\0{plain.hash}\0".encode()

    assert payload[:2] == b"\1\2"
    assert payload[2:10].hex() == "9e7f603874a95e64"
    cipher = AESGCM(sha256(b"a").digest())
    assert b"\1\0" + cipher.decrypt(payload[10:22], payload[26:], place + payload[:26]) == plain.payload


def test_no_two_encryptions_are_alike(tmp_path):
    """Each has a nonce of its own, also of the same content."""
    ours, plain = codec(tmp_path, "a"), row(SMALL)

    assert len({ours.lock(plain).payload[10:22] for _ in range(200)}) == 200


def test_without_keys_nothing_changes():
    """The very same checkpoint, and the very same progress."""
    plain = row(SMALL)

    assert Codec().lock(plain) is plain
    assert Codec().lock_progress("r", "a#1", b"[1]") == b"[1]"
    assert Codec().relock(plain) is None
    assert Codec().open_progress("r", "a#1", b"[1]") == b"[1]"


@pytest.mark.parametrize("names", [None, ("b",)], ids=["no key", "another key"])
def test_a_key_that_is_missing_is_no_corruption(tmp_path, names):
    """Whoever has no key, or not this one, is told which one it is, by its fingerprint."""
    locked = codec(tmp_path, "a").lock(row(SMALL))
    theirs = codec(tmp_path, *names) if names else Codec()

    with pytest.raises(KeyMissing, match="9e7f603874a95e64"):
        theirs.decode_checkpoint(locked)
    assert KeyMissing.exit_code == 78


def test_another_key_under_an_old_name_is_a_missing_key(tmp_path):
    """Nothing looks damaged because somebody replaced a key in place."""
    locked = codec(tmp_path, "a").lock(row(SMALL))
    path = key_file(tmp_path, "b")
    path.write_text(path.read_text().replace("b:", "a:"))

    with pytest.raises(KeyMissing):
        Codec(keys=KeyRing(path)).decode_checkpoint(locked)


def test_every_flipped_bit_is_found(tmp_path):
    """In the header of what is encrypted, in it, in its tag: an error each, and mostly corruption."""
    ours = codec(tmp_path, "a")
    locked = ours.lock(row(SMALL))
    found = []
    for at in range(len(locked.payload)):
        for bit in range(8):
            payload = bytearray(locked.payload)
            payload[at] ^= 1 << bit
            with pytest.raises(PayloadError) as caught:
                ours.decode_checkpoint(locked._replace(payload=bytes(payload)))
            found.append(type(caught.value))

    # One bit damages; it never takes the key away, or makes a newer release of it.
    assert set(found) == {CheckpointCorrupted}


def test_every_length_is_found(tmp_path):
    """A payload that was cut anywhere is corrupt."""
    ours = codec(tmp_path, "a")
    locked = ours.lock(row(SMALL))

    for length in range(len(locked.payload)):
        with pytest.raises(CheckpointCorrupted):
            ours.decode_checkpoint(locked._replace(payload=locked.payload[:length]))


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 3},
        {"run_id": "other"},
        {"step": "other"},
        {"next": ()},
        {"kind": "snapshot"},
        {"metadata": {}},
        {"parent_hash": "ef" * 32},
        {"epoch": 9},
        {"graph_hash": "00" * 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_who_has_no_key_cannot_change_a_header(tmp_path, changes):
    """Also with a hash that was computed anew: the payload is bound to the one that it was written under."""
    ours = codec(tmp_path, "a")
    forged = sealed(ours.lock(row(SMALL))._replace(**changes))

    with pytest.raises(CheckpointCorrupted, match="not what was encrypted at this place"):
        ours.decode_checkpoint(forged)


def test_who_has_no_key_cannot_put_a_plain_payload_in(tmp_path):
    """With `plain: refuse`; it is no corruption, so nobody goes back to an older state for it."""
    forged = row({"events": [["write", "admin", "replace", True]]})

    with pytest.raises(NotEncrypted, match="rekey"):
        codec(tmp_path, "a", plain="refuse").decode_checkpoint(forged)
    assert codec(tmp_path, "a").decode_checkpoint(forged)["events"]
    assert NotEncrypted.exit_code == 78
    assert "\n" not in NotEncrypted().message


def test_another_key_leaves_the_history_as_it_is(tmp_path):
    """Encrypted again: the same header, content and chain; with the first key already: nothing to do."""
    plain = row(LARGE)
    locked = codec(tmp_path, "old").lock(plain)
    ours = codec(tmp_path, "new", "old", plain="refuse")

    for stored in (locked, plain):
        relocked = ours.relock(stored)
        assert relocked is not None
        again = stored._replace(payload=relocked)
        assert codec(tmp_path, "new").decode_checkpoint(again) == LARGE
        assert ours.relock(again) is None


def test_what_cannot_be_read_is_not_encrypted_again(tmp_path):
    """Damage keeps its look, and a payload whose key is lost stays for whoever finds the key."""
    damaged = row(SMALL)._replace(payload=b"\1\0" + b"x" * 40)
    locked = codec(tmp_path, "old").lock(row(SMALL))
    ours = codec(tmp_path, "new")

    with pytest.raises(CheckpointCorrupted):
        ours.relock(damaged)
    with pytest.raises(KeyMissing):
        ours.relock(locked)


def test_progress_is_encrypted_for_its_task(tmp_path):
    """It comes back for the same task of the same run, and for no other."""
    ours = codec(tmp_path, "a")
    stored = ours.lock_progress("run", "fetch#1", f'"{CANARY}"'.encode())

    assert ours.open_progress("run", "fetch#1", stored) == f'"{CANARY}"'.encode()
    assert CANARY.encode() not in stored
    for place in (("run", "fetch#2"), ("other", "fetch#1")):
        with pytest.raises(CheckpointCorrupted):
            ours.open_progress(*place, stored)
    with pytest.raises(KeyMissing):
        Codec().open_progress("run", "fetch#1", stored)


def test_plain_progress_is_read_unless_it_is_refused(tmp_path):
    """As with payloads."""
    assert codec(tmp_path, "a").open_progress("run", "fetch#1", b"[1]") == b"[1]"
    with pytest.raises(NotEncrypted):
        codec(tmp_path, "a", plain="refuse").open_progress("run", "fetch#1", b"[1]")


def test_progress_is_encrypted_again(tmp_path):
    """From plain and from an old key; what has the first key is left alone."""
    old = codec(tmp_path, "old").lock_progress("run", "fetch#1", b"[1]")
    ours = codec(tmp_path, "new", "old", plain="refuse")

    for stored in (old, b"[1]"):
        relocked = ours.relock_progress("run", "fetch#1", stored)
        assert relocked is not None
        assert ours.open_progress("run", "fetch#1", relocked) == b"[1]"
        assert ours.relock_progress("run", "fetch#1", relocked) is None
