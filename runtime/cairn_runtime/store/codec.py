"""Values to bytes and back: what a checkpoint's payload looks like.

    plain   = salt (16 random bytes) + JSON                     digest = SHA-256 of plain
    payload = format byte (1) + flags byte + body               body = plain, or its zstd frame

The salt keeps two equal states from having one digest.
Flags: bit 0 says that the body is a zstd frame; bit 1 that it is encrypted, which this release cannot read.
A new flag needs a new format byte.

Reading trusts nothing: sizes are bounded before anything is unpacked, the digest is checked before anything
is parsed, and bytes that are not what was written are `CheckpointCorrupted`, whatever they are.
Only an unknown format and a missing key are told apart from that, because there the history is sound and must
not be passed over.
No I/O, no randomness: the salt is passed in.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import orjson
import zstandard

from cairn_runtime.errors import (
    CheckpointCorrupted,
    CheckpointTooLarge,
    FormatUnknown,
    KeyMissing,
    WriteRefused,
)
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Checkpoint

FORMAT_VERSION = 1
"""What this release writes, and the newest that it reads; also `Checkpoint.format_version`."""
SALT_BYTES = 16
MAX_NESTING = 254
"""Levels of lists and objects: what orjson writes. Its parser stops at 1,024 by itself."""

_ZSTD, _ENCRYPTED = 1, 2
_PLAIN_HEADER = bytes((FORMAT_VERSION, 0))
_ZSTD_HEADER = bytes((FORMAT_VERSION, _ZSTD))
_ZSTD_LEVEL = 1
_ZSTD_ABOVE = 1024
_WIDE_ABOVE = 512 * 1024
"""Beyond the window of the level: a snapshot holds large values twice, as events and as state."""
_WIDE_WINDOW_LOG = 22


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold when writing and when reading."""

    payload_bytes: int = 64 * 1024**2
    """One stored payload."""
    plain_bytes: int = 256 * 1024**2
    """One payload, unpacked."""
    commit_bytes: int = 8 * 1024**2
    """Payloads of one commit, together: a writer with more makes several commits."""


DEFAULT_LIMITS = Limits()


class Encoded(NamedTuple):
    """A payload ready to be stored."""

    payload: bytes
    digest: str
    plain_bytes: int


class _Zstd(threading.local):
    """One compressor for each thread: the objects are cheap to reuse and not safe to share."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress
        wide = zstandard.ZstdCompressionParameters.from_level(_ZSTD_LEVEL, window_log=_WIDE_WINDOW_LOG)
        self.compress_wide = zstandard.ZstdCompressor(compression_params=wide).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


class Codec:
    """Encodes and decodes payloads; may be shared between threads."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._zstd = _Zstd()

    def encode(self, value: JSONObject, *, salt: bytes) -> Encoded:
        """Encode a JSON object; `salt` is 16 random bytes. Raises like `plain` and `pack`."""
        return self.pack(self.plain(value, salt=salt))

    def plain(self, value: JSONObject, *, salt: bytes) -> bytes:
        """Write a JSON object as it is digested: its length tells what it weighs.

        Raises:
            CheckpointTooLarge: over the bound.
            WriteRefused: not JSON.
        """
        if len(salt) != SALT_BYTES:
            msg = f"a salt has {SALT_BYTES} bytes, not {len(salt)}"
            raise ValueError(msg)
        try:
            plain = salt + orjson.dumps(value)
        except orjson.JSONEncodeError as error:
            msg = f"the checkpoint is not JSON: {error}"
            raise WriteRefused(msg) from error
        if len(plain) > self.limits.plain_bytes:
            raise _too_large(len(plain), self.limits.plain_bytes)
        return plain

    def pack(self, plain: bytes) -> Encoded:
        """Compress and digest what `plain` wrote.

        Raises:
            CheckpointTooLarge: over the bound.
        """
        size = len(plain)
        if size > _ZSTD_ABOVE:
            compress = self._zstd.compress_wide if size > _WIDE_ABOVE else self._zstd.compress
            payload = _ZSTD_HEADER + compress(plain)
        else:
            payload = _PLAIN_HEADER + plain
        if len(payload) > self.limits.payload_bytes:
            raise _too_large(len(payload), self.limits.payload_bytes)
        return Encoded(payload, sha256(plain).hexdigest(), size)

    def decode(self, payload: bytes, *, digest: str) -> JSONObject:
        """Check and decode a stored payload.

        Raises:
            CheckpointCorrupted: these are not the bytes that were written.
            FormatUnknown: written by a newer release.
            KeyMissing: encrypted.
        """
        plain = self._plain(payload)
        if sha256(plain).hexdigest() != digest:
            raise _corrupted("its digest does not match")
        try:
            value = orjson.loads(memoryview(plain)[SALT_BYTES:])
        except orjson.JSONDecodeError as error:
            raise _corrupted(f"its content is not JSON ({error.msg})") from error
        if type(value) is not dict:
            raise _corrupted("its content is not a JSON object")
        if plain.count(b"[") + plain.count(b"{") > MAX_NESTING:
            _refuse_deep(value)
        return value

    def decode_checkpoint(self, checkpoint: Checkpoint) -> JSONObject:
        """Decode a checkpoint's payload, knowing from its header in which format it was written.

        So a damaged format byte is seen as damage and not taken for a newer release.

        Raises:
            CheckpointCorrupted: the payload is missing or damaged.
            FormatUnknown: written by a newer release.
            KeyMissing: encrypted.
        """
        if checkpoint.format_version > FORMAT_VERSION:
            raise _unknown(checkpoint.format_version)
        payload = checkpoint.payload
        if not payload or payload[0] != checkpoint.format_version:
            raise _corrupted("its payload is missing or has another format than its header")
        return self.decode(payload, digest=checkpoint.digest)

    def _plain(self, payload: bytes) -> bytes:
        """Take off header and compression, within the bounds."""
        if len(payload) > self.limits.payload_bytes:
            raise _corrupted(f"its {len(payload)} bytes are over the bound of {self.limits.payload_bytes}")
        if len(payload) < len(_PLAIN_HEADER):
            raise _corrupted("it is cut short")
        if payload[0] != FORMAT_VERSION:
            raise _unknown(payload[0])
        match payload[1]:
            case 0:
                return payload[len(_PLAIN_HEADER) :]
            case flags if flags == _ZSTD:
                return self._unpacked(payload[len(_ZSTD_HEADER) :])
            case flags if flags & _ENCRYPTED and not flags & ~(_ZSTD | _ENCRYPTED):
                msg = "the checkpoint is encrypted, and this release of Cairn has no keys"
                raise KeyMissing(msg)
        raise _corrupted(f"its flags {payload[1]:#04x} do not exist in format {FORMAT_VERSION}")

    def _unpacked(self, frame: bytes) -> bytes:
        """Unpack a zstd frame whose stated size is within the bound.

        The stated size is what zstd allocates, and it is an error of zstd's if the content has another one.
        """
        try:
            size = zstandard.frame_content_size(frame)
            if 0 <= size <= self.limits.plain_bytes:
                return self._zstd.decompress(frame, max_output_size=size, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise _corrupted(f"it does not unpack ({error})") from error
        raise _corrupted(f"it states a size of {size} bytes; the bound is {self.limits.plain_bytes}")


def _refuse_deep(value: JSONObject) -> None:
    """Refuse what is nested deeper than anything we write: code that recurses must not meet it."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise _corrupted(f"its content is nested deeper than {MAX_NESTING} levels") from error


def _corrupted(why: str) -> CheckpointCorrupted:
    return CheckpointCorrupted(f"a checkpoint is corrupted: {why}")


def _unknown(version: int) -> FormatUnknown:
    return FormatUnknown(
        f"a checkpoint has format {version}; this release reads up to {FORMAT_VERSION}: use a newer one"
    )


def _too_large(size: int, bound: int) -> CheckpointTooLarge:
    return CheckpointTooLarge(
        f"one checkpoint has {size} bytes, over the bound of {bound}; "
        "write less in one step, or keep large data elsewhere and its address in the state"
    )
