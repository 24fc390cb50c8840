"""The key ring: the keys that payloads are encrypted with, from the file that `CAIRN_KEYS_FILE` names.

    # the first key writes, all of them read
    2026-05: q83vEjRW...=          a name, and 32 random bytes as base64
    2025-11: 3q2+7wEj...=
    plain: refuse                  optional: nothing that is not encrypted is read

The file is looked at again whenever it has changed, so keys are rotated under a running process; what cannot
be read then is said in the log, and the keys known before stay in use.
A key that was read once goes on reading until the process ends, whatever the file says later: a writer may be
slower to hear of a rotation than a reader.
A key is known in a payload by its fingerprint, never by its name: another key under an old name is a key that
is missing, and no payload looks damaged through it.
Keys are in no repr, error, log line or argument list. The cipher is loaded with the first key ring.
"""

from __future__ import annotations

import logging
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cairn_runtime.errors import Fault, SettingsInvalid
from cairn_runtime.store.codec import Codec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

log = logging.getLogger("cairn.keys")

VARIABLE = "CAIRN_KEYS_FILE"
KEY_BYTES = 32
KEY_ID_BYTES = 8
MAX_FILE_BYTES = 64 * 1024
_PLAIN = "plain"
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})\s*:\s*(\S+)")
_FEWEST_VALUES = 8
"""Different bytes in a key; 32 random ones hold fewer once in 10^30 keys, an example from a page always."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key, ready for use."""

    name: str
    id: bytes
    """Its fingerprint, which stands in what it encrypts."""
    _cipher: AESGCM = field(repr=False)

    def encrypt(self, nonce: bytes, data: bytes | memoryview, place: bytes) -> bytes:
        """See `codec.Key`."""
        return self._cipher.encrypt(nonce, data, place)

    def decrypt(self, nonce: bytes, data: bytes | memoryview, place: bytes) -> bytes | None:
        """See `codec.Key`."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra, there with the cipher

        try:
            return self._cipher.decrypt(nonce, data, place)
        except InvalidTag:
            return None


@dataclass(frozen=True, slots=True)
class _Ring:
    """What the file said when it was read last."""

    first: Key
    by_id: Mapping[bytes, Key]
    refuses_plain: bool


class KeyRing:
    """The keys of a file; may be shared between threads."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            SettingsInvalid: there are no usable keys; it names each line that is wrong, never what is in it.
        """
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        text, self._seen = _read(path)
        self._ring = _parse(text, path)

    def first(self) -> Key:
        """The key that writes."""
        self._look_again()
        return self._ring.first

    def find(self, key_id: bytes) -> Key | None:
        """The key with a fingerprint; None where it is not in the ring, also not by now."""
        found = self._ring.by_id.get(key_id)
        if found is None:
            self._look_again()
            found = self._ring.by_id.get(key_id)
        return found

    @property
    def refuses_plain(self) -> bool:
        """Whether only what is encrypted may be read."""
        self._look_again()
        return self._ring.refuses_plain

    def _look_again(self) -> None:
        """Read the file where it has changed; keep what was known where it cannot be used now."""
        try:
            if _identity(self._path) == self._seen:
                return
            text, seen = _read(self._path)
            if seen == self._seen:
                return
            self._seen = seen
            ring = _parse(text, self._path)
        except (SettingsInvalid, OSError) as error:
            facts = {"file": str(self._path), "error": str(error)}
            log.error("key file could not be read; the keys known before are used", extra=facts)  # noqa: TRY400 - no fault of ours
            return
        self._ring = _Ring(ring.first, {**self._ring.by_id, **ring.by_id}, ring.refuses_plain)
        log.info("key file was read again", extra={"file": str(self._path), "key": ring.first.name})


def codec_from_environment() -> Codec:
    """The codec of a program that was told nothing else: with the keys of `CAIRN_KEYS_FILE`, if that is set.

    Raises:
        SettingsInvalid: the file cannot be used.
    """
    return codec_of(os.environ.get(VARIABLE, ""))


def codec_of(keys_file: str) -> Codec:
    """The codec with the keys of a file; empty: without keys. Raises `SettingsInvalid`."""
    return Codec(keys=KeyRing(Path(keys_file))) if keys_file else Codec()


def with_new_key(text: str, name: str, *, first: bool) -> str:
    """Add a new random key to the text of a key file, at its end or before all others.

    Raises:
        SettingsInvalid: the name cannot be one, or is taken, or the file is not one of keys.
    """
    line = f"{name}: {b64encode(os.urandom(KEY_BYTES)).decode()}"
    lines = text.splitlines()
    if name in [line.partition(":")[0].strip() for line in lines]:
        raise SettingsInvalid([Fault("--name", f'key "{name}" is there already; give another')])
    out = "\n".join([line, *lines] if first else [*lines, line]) + "\n"
    _parse(out, Path(name))
    return out


def _identity(path: Path) -> tuple[int, int, int]:
    """What tells two states of a file apart; a mounted Secret is another file after each change."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> tuple[str, tuple[int, int, int]]:
    """Read a key file with its identity. Raises `SettingsInvalid`."""
    try:
        # Before the content: what is written in between is read again the next time.
        seen = _identity(path)
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unusable(f"{path}: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise _unusable(f"{path} has over {MAX_FILE_BYTES} bytes; it is no file of keys")
    try:
        return data.decode("ascii"), seen
    except UnicodeDecodeError:
        raise _unusable(f"{path} is not text; write lines of NAME: BASE64") from None


def _parse(text: str, path: Path) -> _Ring:
    """Read the lines of a key file. Raises `SettingsInvalid`."""
    keys: list[Key] = []
    plain = ""
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            faults.append(f"{path}: line {number} is not NAME: BASE64")
        elif match[1] == _PLAIN:
            plain = match[2]
            if plain not in ("accept", "refuse"):
                faults.append(f"{path}: line {number}: write plain: accept, or plain: refuse")
        else:
            try:
                keys.append(_key(match[1], match[2], keys))
            except ValueError as error:
                faults.append(f"{path}: line {number}: {error}")
    if not keys and not faults:
        faults.append(f"{path} has no key; make one with: cairn store new-key {path}")
    if faults:
        raise SettingsInvalid([Fault(VARIABLE, fault) for fault in faults])
    return _Ring(keys[0], {key.id: key for key in keys}, plain == "refuse")


def _key(name: str, text: str, others: Iterable[Key]) -> Key:
    """Make a key of its text. Raises `ValueError`, which never holds the text."""
    try:
        secret = b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f'key "{name}" is not base64') from None
    if len(secret) != KEY_BYTES:
        raise ValueError(f'key "{name}" has {len(secret)} bytes; a key has {KEY_BYTES}')
    if len(set(secret)) < _FEWEST_VALUES:
        raise ValueError(f'key "{name}" is not random; make one with: cairn store new-key FILE')
    key = Key(name, sha256(b"cairn key\0" + secret).digest()[:KEY_ID_BYTES], _cipher(secret))
    for other in others:
        if other.name == name or other.id == key.id:
            raise ValueError(f'key "{name}" is there already, as "{other.name}"')
    return key


def _cipher(secret: bytes) -> AESGCM:
    """Load the cipher. Raises `SettingsInvalid` where it is not installed."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra, for keys only
    except ModuleNotFoundError as error:
        text = f"encryption is not installed ({error.name}): pip install 'cairn-workflows[encryption]'"
        raise _unusable(text) from error
    return AESGCM(secret)


def _unusable(why: str) -> SettingsInvalid:
    return SettingsInvalid([Fault(VARIABLE, why)])
