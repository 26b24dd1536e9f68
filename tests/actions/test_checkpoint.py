"""Checkpoints are C2SP signed notes: the format of others, in one form, under one key."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from actions import LogKey, NoteInvalid, TreeHead, log_key, read_checkpoint, read_note, sign_head
from schemas.signatures import public_key

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
READER = LogKey("example.com/log", KEY.public_key())
HEAD = TreeHead("example.com/log", 20852163, bytes(range(32)))
NOTE = sign_head(HEAD, KEY).note

# The key and the note that the Go implementation of signed notes has in its documentation.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_a_note_is_origin_size_root_and_signature_line_by_line():
    lines = NOTE.split("\n")
    assert lines[:4] == ["example.com/log", "20852163", base64.b64encode(HEAD.root).decode(), ""]
    assert lines[4].startswith("— example.com/log ") and lines[5:] == [""]
    assert read_note(NOTE, READER) == HEAD


def test_the_key_is_read_as_other_programs_write_it():
    assert log_key(GO_KEY).text == GO_KEY and log_key(GO_KEY).name == "PeterNeumann"


def test_the_key_hash_is_over_name_algorithm_and_key():
    public = KEY.public_key().public_bytes_raw()
    expected = hashlib.sha256(b"example.com/log\n\x01" + public).hexdigest()[:8]
    assert READER.text.split("+")[1] == expected and log_key(READER.text).public == KEY.public_key()


@pytest.mark.parametrize(
    ("old", "new"),
    [("20a3+", "20a4+"), ("c74f", "C74F"), ("ARpc", "ARpd"), ("Peter", "Peter+"), ("TW", "TX"), (GO_KEY, "")],
)
def test_a_key_in_another_form_is_refused(old, new):
    with pytest.raises(NoteInvalid):
        log_key(GO_KEY.replace(old, new))


@example(73, "\x1e")
@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_a_note_changed_in_one_character_is_refused(place, character):
    changed = NOTE[:place] + character + NOTE[place + 1 :]
    if changed != NOTE:
        with pytest.raises(NoteInvalid):
            read_note(changed, READER)


def test_a_signature_of_a_witness_beside_the_own_is_passed_over():
    witness = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
    line = sign_head(HEAD._replace(origin="witness"), witness).note.splitlines()[-1]
    assert read_note(NOTE + line + "\n", READER) == HEAD
    with pytest.raises(NoteInvalid):
        read_note(NOTE.replace(NOTE.splitlines()[-1], line), READER)


def test_a_record_that_says_something_else_than_its_note_is_refused():
    record = sign_head(HEAD, KEY)
    assert read_checkpoint(record, READER) == HEAD
    for edit in ({"size": 1}, {"origin": "x"}, {"root": "AA=="}):
        with pytest.raises(NoteInvalid):
            read_checkpoint(record.model_copy(update=edit), READER)


@pytest.mark.parametrize("name", ["", "with space", "plus+plus", "new\nline", "ümlaut"])
def test_a_name_that_could_be_read_two_ways_is_no_origin(name):
    with pytest.raises(NoteInvalid):
        sign_head(HEAD._replace(origin=name), KEY)


def test_keys_in_settings_and_keys_of_logs_are_the_same_keys():
    text = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    assert LogKey("example.com/log", public_key(text)).text == READER.text
