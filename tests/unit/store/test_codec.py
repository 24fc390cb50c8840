"""The codec: what goes in comes out, and nothing that is broken comes out as anything but an error."""

from __future__ import annotations

import os
from binascii import crc32
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.errors import (
    CheckpointCorrupted,
    CheckpointTooLarge,
    FormatUnknown,
    KeyMissing,
    PayloadError,
    WriteRefused,
)
from cairn_runtime.store.codec import MAX_NESTING, SALT_BYTES, Codec, Limits
from cairn_runtime.store.contract.cases import checkpoint

SALT = bytes(range(SALT_BYTES))
SMALL = {"events": [["done", "draft#1"]]}
LARGE = {"events": [["write", f"channel-{n}", "append", {"text": "word " * 20}] for n in range(50)]}
CODEC = Codec()

scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=15
)
objects = st.dictionaries(st.text(), values, max_size=5)


def digest_of(plain: bytes) -> str:
    return sha256(plain).hexdigest()


def zipped(plain: bytes) -> bytes:
    return b"\1\1" + zstandard.compress(plain, level=1)


@given(value=objects, salt=st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES))
def test_what_was_encoded_is_decoded(value, salt):
    """Every JSON object comes back equal, whatever the salt."""
    encoded = CODEC.encode(value, salt=salt)

    assert CODEC.decode(encoded.payload, digest=encoded.digest) == value


def test_the_format_is_fixed():
    """Format byte, flags, salt, JSON: what was written once must be read for ever."""
    encoded = CODEC.encode({"a": [1, "\u00fc"]}, salt=SALT)

    assert encoded.payload == b"\x01\x00" + SALT + b'{"a":[1,"\xc3\xbc"]}'
    assert encoded.digest == "7ab0d5067249075e89350aecbd5e7d47301c12563747cad3c198c19ed44ec018"
    assert encoded.plain_bytes == len(encoded.payload) - 2


def test_a_payload_above_a_kibibyte_is_compressed():
    """Below, the frame would cost more than it saves."""
    small, large = CODEC.encode(SMALL, salt=SALT), CODEC.encode(LARGE, salt=SALT)

    assert small.payload[:2] == b"\x01\x00"
    assert large.payload[:2] == b"\x01\x01"
    assert len(large.payload) < large.plain_bytes / 4
    assert zstandard.decompress(large.payload[2:])[:SALT_BYTES] == SALT


@pytest.mark.parametrize("size", [600_000, 1_500_000])
def test_a_large_value_that_stands_twice_is_stored_once(size):
    """As in a snapshot, which holds it as an event and as state; the usual window would not see it again."""
    text = os.urandom(size // 2).hex()

    encoded = CODEC.encode({"events": text, "state": text}, salt=SALT)

    assert len(encoded.payload) < size * 0.6  # hex takes half its length
    assert CODEC.decode(encoded.payload, digest=encoded.digest) == {"events": text, "state": text}


def test_equal_values_have_different_digests():
    """The salt hides that two states are equal."""
    one, two = CODEC.encode(SMALL, salt=SALT), CODEC.encode(SMALL, salt=SALT[::-1])

    assert one.digest != two.digest


def test_a_salt_of_another_length_is_refused():
    """A short salt would be read as part of the JSON."""
    with pytest.raises(ValueError, match="16 bytes"):
        CODEC.encode(SMALL, salt=b"short")


@given(payload=st.binary(max_size=200), digest=st.text(max_size=64))
def test_random_bytes_are_a_payload_error(payload, digest):
    """Whatever bytes a store gives, the answer is an error of ours."""
    with pytest.raises(PayloadError):
        CODEC.decode(payload, digest=digest)


@given(body=st.binary(max_size=200), flag=st.sampled_from([0, 1]))
def test_random_bytes_behind_a_sound_header_are_corruption(body, flag):
    """With the format and flags of ours, broken bytes are broken bytes and nothing else."""
    with pytest.raises(CheckpointCorrupted):
        CODEC.decode(bytes((1, flag)) + body, digest="0" * 64)


@pytest.mark.parametrize("value", [SMALL, LARGE], ids=["as it is", "compressed"])
@given(data=st.data())
def test_a_flipped_bit_never_gives_another_value(value, data):
    """One bit anywhere behind the header is corruption, or one of the few that mean nothing to zstd."""
    encoded = CODEC.encode(value, salt=SALT)
    at = data.draw(st.integers(min_value=2, max_value=len(encoded.payload) - 1))
    broken = bytearray(encoded.payload)
    broken[at] ^= 1 << data.draw(st.integers(min_value=0, max_value=7))

    try:
        assert CODEC.decode(bytes(broken), digest=encoded.digest) == value
    except CheckpointCorrupted:
        return
    assert broken[1] == 1


@pytest.mark.parametrize("bit", range(16))
@pytest.mark.parametrize("value", [SMALL, LARGE], ids=["as it is", "compressed"])
def test_a_flipped_bit_in_the_header_never_gives_a_value(value, bit):
    """Format and flags decide how to read; wrong ones end in an error of ours."""
    encoded = CODEC.encode(value, salt=SALT)
    broken = bytearray(encoded.payload)
    broken[bit // 8] ^= 1 << bit % 8

    with pytest.raises(PayloadError):
        CODEC.decode(bytes(broken), digest=encoded.digest)


@pytest.mark.parametrize("value", [SMALL, LARGE], ids=["as it is", "compressed"])
def test_every_truncation_is_corruption(value):
    """However much is missing, and when something was added."""
    encoded = CODEC.encode(value, salt=SALT)

    for broken in [*(encoded.payload[:n] for n in range(len(encoded.payload))), encoded.payload + b"\0"]:
        with pytest.raises(CheckpointCorrupted):
            CODEC.decode(broken, digest=encoded.digest)


def test_another_payload_is_corruption():
    """A sound payload that belongs to another checkpoint has another digest."""
    one, two = CODEC.encode(SMALL, salt=SALT), CODEC.encode(LARGE, salt=SALT)

    with pytest.raises(CheckpointCorrupted, match="digest"):
        CODEC.decode(one.payload, digest=two.digest)


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param(SALT + b"[1]", id="a list"),
        pytest.param(SALT + b"", id="nothing"),
        pytest.param(SALT + b"{", id="half an object"),
        pytest.param(SALT + b'{"a":1}x', id="something behind it"),
        pytest.param(SALT + b'{"a":"\xff"}', id="no UTF-8"),
        pytest.param(SALT + b'{"a":NaN}', id="a number that is none"),
        pytest.param(b"short", id="shorter than a salt"),
    ],
)
def test_content_that_is_no_object_is_corruption(plain):
    """Even with the right digest."""
    with pytest.raises(CheckpointCorrupted):
        CODEC.decode(b"\1\0" + plain, digest=digest_of(plain))


@pytest.mark.parametrize("levels", [MAX_NESTING, 1000, 1024, 1025, 100_000])
@pytest.mark.parametrize("pack", [lambda plain: b"\1\0" + plain, zipped], ids=["as it is", "compressed"])
def test_content_nested_too_deep_is_corruption(levels, pack):
    """Code that recurses over values must never meet what we cannot have written."""
    plain = SALT + b'{"a":' + b"[" * levels + b"]" * levels + b"}"

    with pytest.raises(CheckpointCorrupted):
        CODEC.decode(pack(plain), digest=digest_of(plain))


def test_content_as_deep_as_can_be_written_is_read():
    """The bound for reading is not below the one for writing."""
    value = {}
    for _ in range(MAX_NESTING - 1):
        value = {"a": value}
    encoded = CODEC.encode(value, salt=SALT)

    assert CODEC.decode(encoded.payload, digest=encoded.digest) == value
    with pytest.raises(WriteRefused):
        CODEC.encode({"a": value}, salt=SALT)


@pytest.mark.parametrize(
    "value",
    ["\ud800", 2**64, {1: 2}, object()],
    ids=["half of a surrogate pair", "an integer beyond 64 bits", "a key that is no text", "a Python object"],
)
def test_what_is_not_json_is_refused(value):
    """The error is ours, also for text that UTF-8 cannot hold."""
    with pytest.raises(WriteRefused):
        CODEC.encode({"a": value}, salt=SALT)


def test_a_newer_format_is_told_apart_from_corruption():
    """Its history is sound: it must not be passed over."""
    encoded = CODEC.encode(SMALL, salt=SALT)

    with pytest.raises(FormatUnknown, match="format 2"):
        CODEC.decode(b"\2" + encoded.payload[1:], digest=encoded.digest)


def test_an_encrypted_payload_asks_for_a_key():
    """A missing key is not corruption either; a flag that is set by damage is."""
    head = b"\1\2" + bytes(20)
    with pytest.raises(KeyMissing):
        CODEC.decode(head + crc32(head).to_bytes(4, "big") + bytes(60), digest="0" * 64)
    with pytest.raises(CheckpointCorrupted):
        CODEC.decode(head + bytes(64), digest="0" * 64)


def row(payload: bytes | None, version: int = 1):
    encoded = CODEC.encode(SMALL, salt=SALT)
    made = checkpoint("run", 1, epoch=1, write_id="w", parent_hash="")
    return made._replace(payload=payload, format_version=version, digest=encoded.digest)


def test_a_checkpoint_says_in_which_format_it_was_written():
    """So a damaged format byte is damage, and a newer format is a newer format."""
    payload = CODEC.encode(SMALL, salt=SALT).payload

    assert CODEC.decode_checkpoint(row(payload)) == SMALL
    for broken in (b"\2" + payload[1:], b"", None):
        with pytest.raises(CheckpointCorrupted):
            CODEC.decode_checkpoint(row(broken))
    with pytest.raises(FormatUnknown):
        CODEC.decode_checkpoint(row(b"\2" + payload[1:], version=2))


def test_sizes_are_bounded_when_writing():
    """Both bounds, and the text says what to do."""
    with pytest.raises(CheckpointTooLarge, match="over the bound of 100"):
        Codec(Limits(plain_bytes=100)).encode(LARGE, salt=SALT)
    with pytest.raises(CheckpointTooLarge, match="keep large data elsewhere"):
        Codec(Limits(payload_bytes=100)).encode(LARGE, salt=SALT)


def test_sizes_are_bounded_before_anything_is_unpacked(monkeypatch):
    """A small payload that claims to be huge is refused without unpacking it."""
    encoded = CODEC.encode(LARGE, salt=SALT)
    strict = Codec(Limits(plain_bytes=encoded.plain_bytes - 1))
    monkeypatch.setattr(strict._zstd, "decompress", lambda *_args, **_kwargs: pytest.fail("unpacked"))

    with pytest.raises(CheckpointCorrupted, match="bound"):
        strict.decode(encoded.payload, digest=encoded.digest)
    with pytest.raises(CheckpointCorrupted, match="bound"):
        Codec(Limits(payload_bytes=20)).decode(encoded.payload, digest=encoded.digest)


@pytest.mark.parametrize("claim", [2**63, 2**64 - 1, 2**40], ids=hex)
def test_a_frame_that_claims_terabytes_is_corruption(claim):
    """The stated size is what would be allocated."""
    frame = b"\x28\xb5\x2f\xfd\xe0" + claim.to_bytes(8, "little") + b"\x01\x00\x00"

    with pytest.raises(CheckpointCorrupted):
        CODEC.decode(b"\1\1" + frame, digest="0" * 64)


def test_a_frame_without_a_stated_size_is_corruption():
    """We always write one."""
    stream = zstandard.ZstdCompressor(level=1, write_content_size=False).compressobj()
    frame = stream.compress(SALT + b"{}") + stream.flush()

    with pytest.raises(CheckpointCorrupted):
        CODEC.decode(b"\1\1" + frame, digest=digest_of(SALT + b"{}"))


def test_one_codec_serves_many_threads():
    """Compressors are not shared between threads."""

    def rounds(n: int) -> bool:
        value = {"events": [f"{n}-{i}" * 20 for i in range(200)]}
        encoded = [CODEC.encode(value, salt=SALT) for _ in range(50)]
        return all(CODEC.decode(e.payload, digest=e.digest) == value for e in encoded)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(rounds, range(16)))
