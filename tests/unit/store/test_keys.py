"""The key ring: what a key file may say, and how a process follows it."""

from __future__ import annotations

import logging

import pytest
from tests.unit.store.rings import key_file, key_text, lines

from cairn_runtime.errors import SettingsInvalid
from cairn_runtime.store.keys import KeyRing, codec_from_environment, codec_of, with_new_key


def test_the_first_key_writes_and_all_are_found(tmp_path):
    """By their fingerprints; comments and empty lines are passed over."""
    path = tmp_path / "keys"
    path.write_text("# ours\n\n" + lines("new", "old"))

    ring = KeyRing(path)

    assert ring.first().name == "new"
    [old] = [ring.find(key.id) for key in (KeyRing(key_file(tmp_path, "old")).first(),)]
    assert old is not None
    assert old.name == "old"
    assert not ring.refuses_plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no key"),
        ("# nothing\n", "has no key"),
        ("SECRETSECRET\n", "line 1 is not NAME: BASE64"),
        ("a: SECRET!SECRET\n", 'line 1: key "a" is not base64'),
        (f"a: {key_text('a')[:-4]}\n", 'key "a" has'),
        ("a: " + "A" * 43 + "=\n", 'key "a" is not random'),
        (lines("a") + f"a: {key_text('b')}\n", 'line 2: key "a" is there already'),
        (lines("a") + f"b: {key_text('a')}\n", 'line 2: key "b" is there already, as "a"'),
        (lines("a") + "plain: maybe\n", "line 2: write plain: accept, or plain: refuse"),
        ("plain: refuse\n", "has no key"),
        ("\u00e4: x\n", "is not text"),
        ("a" * 70_000, "it is no file of keys"),
    ],
)
def test_a_file_that_is_wrong_is_named_and_never_quoted(tmp_path, text, said):
    """Every line that is wrong, by its number; what stands in it is no part of the error."""
    path = tmp_path / "keys"
    path.write_text(text)

    with pytest.raises(SettingsInvalid) as caught:
        KeyRing(path)

    assert said in str(caught.value)
    assert caught.value.faults[0].path == "CAIRN_KEYS_FILE"
    assert caught.value.exit_code == 78
    assert not any(part in str(caught.value) for part in ("SECRET", key_text("a"), key_text("a")[:12]))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    """Keys that were asked for and are not there never mean that nothing is encrypted."""
    with pytest.raises(SettingsInvalid, match="No such file"):
        codec_of(str(tmp_path / "nowhere"))
    with pytest.raises(SettingsInvalid, match="Is a directory"):
        codec_of(str(tmp_path))


def test_a_change_of_the_file_is_followed(tmp_path):
    """The new first key writes at once, a key that was added is found, one that left goes on reading."""
    ring = KeyRing(key_file(tmp_path, "old"))
    old = ring.first()

    key_file(tmp_path, "new", plain="refuse")

    assert ring.first().name == "new"
    assert ring.find(old.id) is old
    assert ring.refuses_plain
    assert KeyRing(tmp_path / "keys").find(old.id) is None


def test_a_key_that_was_added_is_found_without_a_write(tmp_path):
    """Who only reads hears of it too."""
    ring = KeyRing(key_file(tmp_path, "old"))
    key_file(tmp_path, "new", "old")
    new = KeyRing(tmp_path / "keys").first()

    found = ring.find(new.id)

    assert found is not None
    assert found.name == "new"


@pytest.mark.parametrize("how", ["gone", "half written", "empty"])
def test_a_file_that_cannot_be_read_now_changes_nothing(tmp_path, caplog, how):
    """The keys known before stay in use, the log says so without quoting, and a good file is taken again."""
    caplog.set_level(logging.ERROR)
    path = key_file(tmp_path, "old")
    ring = KeyRing(path)
    path.unlink()
    if how != "gone":
        path.write_text("" if how == "empty" else lines("old", "new")[:-20])

    assert ring.first().name == "old"
    assert "key file could not be read" in caplog.text
    assert key_text("new")[:10] not in str([vars(record) for record in caplog.records])
    key_file(tmp_path, "new", "old")
    assert ring.first().name == "new"


def test_keys_are_in_no_repr(tmp_path):
    """Neither of the ring nor of a key, in any form."""
    ring = KeyRing(key_file(tmp_path, "a"))
    shown = repr(ring) + repr(ring.first()) + repr(vars(ring)) + repr(codec_of(str(tmp_path / "keys")))

    assert key_text("a") not in shown
    assert "_ring" not in repr(ring)


def test_a_new_key_is_added_where_it_was_asked_for():
    """At the end it only reads, which is how a rotation begins; first it writes."""
    text = lines("old") + "plain: refuse\n"

    last, first = with_new_key(text, "new", first=False), with_new_key(text, "new", first=True)

    assert last.startswith(text)
    assert last.splitlines()[-1].startswith("new: ")
    assert first.endswith(text)
    assert first.splitlines()[0].startswith("new: ")
    assert last.splitlines()[-1] != first.splitlines()[0]


@pytest.mark.parametrize("name", ["old", "plain", "a b", "", "-x", "x" * 64])
def test_a_name_that_cannot_be_a_key_s_is_refused(name):
    """One that is taken, one that is a word of the file, one that is no name."""
    with pytest.raises(SettingsInvalid):
        with_new_key(lines("old"), name, first=False)


def test_the_environment_names_the_file(tmp_path, monkeypatch):
    """Unset or empty: nothing is encrypted."""
    monkeypatch.delenv("CAIRN_KEYS_FILE", raising=False)
    assert codec_from_environment().keys is None
    monkeypatch.setenv("CAIRN_KEYS_FILE", "")
    assert codec_from_environment().keys is None
    monkeypatch.setenv("CAIRN_KEYS_FILE", str(key_file(tmp_path, "a")))
    keys = codec_from_environment().keys
    assert keys is not None
    assert keys.first().id == KeyRing(tmp_path / "keys").first().id
