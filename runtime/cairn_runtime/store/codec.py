"""Values to bytes and back: what a checkpoint's payload looks like.

    plain   = salt (16 random bytes) + JSON                     digest = SHA-256 of plain
    payload = format byte (1) + flags byte + body               body = plain, or its zstd frame
              encrypted: body = key id (8) + nonce (12) + CRC-32 of all before it (4) + AES-256-GCM of body

The salt keeps two equal states from having one digest, and an encrypted state from being guessed by it.
Flags: bit 0 says that the body is a zstd frame; bit 1 that it is encrypted. A new flag needs a new format
byte.

What is encrypted is bound to its place: run, seq and hash are authenticated with it, and the hash covers the
header and, through its parents, all of the history before. Who has no key can put nothing in its place, move
it or change its header. The digest is of what is plain, so that another key leaves the chain as it is.
The CRC tells a damaged key id, which is corruption, from a key that is missing, which is not.

Reading trusts nothing: sizes are bounded before anything is unpacked, the digest is checked before anything
is parsed, and bytes that are not what was written are `CheckpointCorrupted`, whatever they are.
Only an unknown format, a missing key and what ought to be encrypted and is not are told apart from that,
because there the history may be sound and must not be passed over.
No I/O but the key ring's own; the salt is passed in, a nonce is drawn.
"""

from __future__ import annotations

import os
import threading
from binascii import crc32
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import orjson
import zstandard

from cairn_runtime.errors import (
    CheckpointCorrupted,
    CheckpointTooLarge,
    FormatUnknown,
    KeyMissing,
    NotEncrypted,
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
_KEY_ID, _NONCE, _CRC, _TAG = 8, 12, 4, 16
_HEAD = len(_PLAIN_HEADER) + _KEY_ID + _NONCE + _CRC
"""Bytes before what is encrypted."""
LOCK_BYTES = _HEAD - len(_PLAIN_HEADER) + _TAG
"""By so much a payload grows when it is encrypted."""
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


class Key(Protocol):
    """A key of a ring; `place` is authenticated with what is encrypted."""

    @property
    def id(self) -> bytes:
        """Its fingerprint, of 8 bytes."""
        ...

    def encrypt(self, nonce: bytes, data: bytes | memoryview, place: bytes) -> bytes:
        """Encrypt by AES-256-GCM; the tag stands at the end."""
        ...

    def decrypt(self, nonce: bytes, data: bytes | memoryview, place: bytes) -> bytes | None:
        """Decrypt, or answer None: not encrypted by this key or at this place, or damaged since."""
        ...


class Keys(Protocol):
    """A key ring; see `store.keys`."""

    @property
    def refuses_plain(self) -> bool:
        """Whether only what is encrypted may be read."""
        ...

    def first(self) -> Key:
        """The key that writes."""
        ...

    def find(self, key_id: bytes) -> Key | None:
        """The key with a fingerprint, if it is in the ring."""
        ...


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

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, keys: Keys | None = None) -> None:
        self.limits = limits
        self.keys = keys
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
        bound = self.limits.payload_bytes - LOCK_BYTES
        if len(payload) > bound:
            raise _too_large(len(payload), bound)
        return Encoded(payload, sha256(plain).hexdigest(), size)

    def lock(self, checkpoint: Checkpoint) -> Checkpoint:
        """Encrypt the payload of a sealed checkpoint with the first key; without keys nothing is done."""
        if self.keys is None or checkpoint.payload is None:
            return checkpoint
        payload = _locked(self.keys.first(), checkpoint.payload, _place(checkpoint))
        columns: tuple[Any, ...] = (*checkpoint[:17], len(payload), payload)
        return Checkpoint._make(columns)

    def relock(self, checkpoint: Checkpoint) -> bytes | None:
        """Encrypt a stored payload with the first key in the place of what it has; None: it has that already.

        Raises:
            CheckpointCorrupted, KeyMissing, FormatUnknown: it cannot be read; it stays as it is.
        """
        payload = _payload_of(checkpoint)
        if self.keys is None or _key_id(payload) == self.keys.first().id:
            return None
        opened = self._opened(payload, _place(checkpoint))
        self.decode(opened, digest=checkpoint.digest)
        return _locked(self.keys.first(), opened, _place(checkpoint))

    def lock_progress(self, run_id: str, task: str, data: bytes) -> bytes:
        """Encrypt a task's progress, which is JSON; without keys nothing is done."""
        if self.keys is None:
            return data
        return _locked(self.keys.first(), _PLAIN_HEADER + data, _progress_place(run_id, task))

    def open_progress(self, run_id: str, task: str, stored: bytes) -> bytes:
        """Take the encryption off a task's progress.

        Raises:
            CheckpointCorrupted: these are not the bytes that were written.
            KeyMissing, NotEncrypted: see `decode_checkpoint`.
        """
        if not _is_locked(stored):
            self._refuse_plain()
            return stored
        return self._opened(stored, _progress_place(run_id, task))[len(_PLAIN_HEADER) :]

    def relock_progress(self, run_id: str, task: str, stored: bytes) -> bytes | None:
        """Like `relock`, for progress."""
        if self.keys is None or (_is_locked(stored) and _key_id(stored) == self.keys.first().id):
            return None
        plain = self.open_progress(run_id, task, stored) if _is_locked(stored) else stored
        return self.lock_progress(run_id, task, plain)

    def decode(self, payload: bytes, *, digest: str) -> JSONObject:
        """Check and decode a payload that is not encrypted.

        Raises:
            CheckpointCorrupted: these are not the bytes that were written.
            FormatUnknown: written by a newer release.
            KeyMissing: encrypted; `decode_checkpoint` knows the place that it is bound to.
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
        if _has_many_brackets(plain):
            _refuse_deep(value)
        return value

    def decode_checkpoint(self, checkpoint: Checkpoint) -> JSONObject:
        """Decode a checkpoint's payload, knowing from its header in which format it was written.

        So a damaged format byte is seen as damage and not taken for a newer release.

        Raises:
            CheckpointCorrupted: the payload is missing or damaged.
            FormatUnknown: written by a newer release.
            KeyMissing: encrypted with a key that is not in the ring.
            NotEncrypted: the ring refuses what is plain.
        """
        payload = _payload_of(checkpoint)
        if self.keys is None:
            return self.decode(payload, digest=checkpoint.digest)
        opened = self._opened(payload, _place(checkpoint))
        value = self.decode(opened, digest=checkpoint.digest)
        if opened is payload:
            # Only now: what was encrypted and has a damaged flag is damaged, not forged.
            self._refuse_plain()
        return value

    def _opened(self, payload: bytes, place: bytes) -> bytes:
        """Take off the encryption, if there is one: what comes out has a plain header."""
        if len(payload) > self.limits.payload_bytes:
            raise _corrupted(f"its {len(payload)} bytes are over the bound of {self.limits.payload_bytes}")
        flags = payload[1] if len(payload) > 1 else 0
        if not flags & _ENCRYPTED or flags & ~(_ZSTD | _ENCRYPTED):
            return payload
        key = self._key_of(payload)
        head = payload[:_HEAD]
        body = key.decrypt(_nonce(head), memoryview(payload)[_HEAD:], place + head)
        if body is None:
            raise _corrupted("it is not what was encrypted at this place")
        return bytes((payload[0], flags & ~_ENCRYPTED)) + body

    def _key_of(self, payload: bytes) -> Key:
        """The key that a payload names. Raises `CheckpointCorrupted`, `KeyMissing`."""
        head = payload[:_HEAD]
        if len(payload) < _HEAD + _TAG or crc32(head[:-_CRC]) != int.from_bytes(head[-_CRC:], "big"):
            raise _corrupted("what says how it is encrypted is damaged")
        key_id = _key_id(payload)
        key = self.keys.find(key_id) if self.keys is not None else None
        if key is None:
            raise _missing(key_id)
        return key

    def _refuse_plain(self) -> None:
        """Refuse what is not encrypted, where the key ring says so. Raises `NotEncrypted`."""
        if self.keys is not None and self.keys.refuses_plain:
            raise NotEncrypted

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
                self._key_of(payload)
                raise _corrupted("it is encrypted, and was read without the place that it is bound to")
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


def _payload_of(checkpoint: Checkpoint) -> bytes:
    """The stored bytes, if header and payload say the same format."""
    if checkpoint.format_version > FORMAT_VERSION:
        raise _unknown(checkpoint.format_version)
    payload = checkpoint.payload
    if not payload or payload[0] != checkpoint.format_version:
        raise _corrupted("its payload is missing or has another format than its header")
    return payload


def _place(checkpoint: Checkpoint) -> bytes:
    """What binds a payload to its place: the hash covers every column of the header, and the history."""
    return f"checkpoint\0{checkpoint.run_id}\0{checkpoint.seq}\0{checkpoint.hash}\0".encode()


def _progress_place(run_id: str, task: str) -> bytes:
    return f"progress\0{run_id}\0{task}\0".encode()


def _locked(key: Key, payload: bytes, place: bytes) -> bytes:
    """Encrypt what stands behind a plain header."""
    head = bytes((payload[0], payload[1] | _ENCRYPTED)) + key.id + os.urandom(_NONCE)
    head += crc32(head).to_bytes(_CRC, "big")
    body = memoryview(payload)[len(_PLAIN_HEADER) :]
    return head + key.encrypt(_nonce(head), body, place + head)


def _nonce(head: bytes) -> bytes:
    return head[len(_PLAIN_HEADER) + _KEY_ID : -_CRC]


def _is_locked(progress: bytes) -> bool:
    """Whether progress is encrypted: no JSON begins with the byte of a format."""
    return progress[:1] == _PLAIN_HEADER[:1]


def _key_id(payload: bytes) -> bytes:
    """The fingerprint of the key that a payload says it is encrypted with; empty where it is plain."""
    encrypted = len(payload) >= _HEAD and payload[1] & _ENCRYPTED
    return payload[len(_PLAIN_HEADER) :][:_KEY_ID] if encrypted else b""


def _missing(key_id: bytes) -> KeyMissing:
    return KeyMissing(
        f"a checkpoint is encrypted with the key of fingerprint {key_id.hex()}, which is not at hand; "
        "add it to the file that CAIRN_KEYS_FILE names"
    )


def _has_many_brackets(plain: bytes) -> bool:
    """Whether it may be nested too deeply at all; counting them would take half as long as decoding."""
    left = MAX_NESTING
    for bracket in (b"[", b"{"):
        at = plain.find(bracket)
        while at >= 0:
            left -= 1
            if left < 0:
                return True
            at = plain.find(bracket, at + 1)
    return False


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
