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


def signed(origin="example.com/log", root=HEAD.root, *, text="", name="example.com/log"):
    """A note whose signature fits, whatever it says; `text` stands for the root as it is written."""
    body = f"{origin}\n7\n{text or base64.b64encode(root).decode()}\n"
    public = KEY.public_key().public_bytes_raw()
    hash_ = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    return f"{body}\n— {name} {base64.b64encode(hash_ + KEY.sign(body.encode())).decode()}\n"


def test_a_note_that_is_signed_and_about_another_log_or_another_kind_of_root_is_refused():
    assert read_note(signed(), READER).size == 7
    with pytest.raises(NoteInvalid, match=r"a checkpoint of 'other', not of 'example.com/log'"):
        read_note(signed(origin="other"), READER)
    for root in (HEAD.root[:31], HEAD.root + b"x"):
        with pytest.raises(NoteInvalid, match="the root is not 32 bytes"):
            read_note(signed(root=root), READER)


def test_base64_in_another_form_is_refused_though_it_has_the_same_bytes():
    text = base64.b64encode(HEAD.root).decode()
    assert text.endswith("8=") and base64.b64decode(text[:-2] + "9=") == HEAD.root
    with pytest.raises(NoteInvalid, match="another form"):
        read_note(signed(text=text[:-2] + "9="), READER)
    for broken in ("A", "AA==AA=="):
        with pytest.raises(NoteInvalid, match="not base64"):
            read_note(signed(text=broken), READER)


def test_a_key_of_another_algorithm_or_length_is_refused_though_name_and_hash_fit():
    name, hash_, material = READER.text.split("+", 2)
    key = base64.b64decode(material)
    for wrong in (b"\x02" + key[1:], key + b"x", key[:-1], b""):
        text = base64.b64encode(wrong).decode() or "="
        with pytest.raises(NoteInvalid):
            log_key(f"{name}+{hash_}+{text}")
