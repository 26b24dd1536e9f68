"""Entries of the audit log: one byte form each, chained by hash, without room for free text.

An entry is the RFC 8785 form of an `AuditLeaf`, restricted so far that a regular expression is its whole grammar:
ten keys in order, printable ASCII without quote and backslash in ids, digests as `sha256:` and 64 hex digits. So
every program writes and reads the same bytes, and a secret has nowhere to go: what an entry is about lies in a body,
of which only a salted digest is here (the body can be erased, the log still holds). `prev` is the hash of the entry
before, so a reader that follows the log notices at once; the Merkle tree over the same hashes gives short proofs.
"""

import re
from typing import Any, NamedTuple

from actions._errors import AuditInvalid
from actions._merkle import leaf_hash
from schemas import AuditLeaf, canonical, sha256

NOTHING = "sha256:" + "0" * 64
"""`prev` of the first entry."""
_ID = rb"[ !#-\[\]-~]{0,300}"
_DIGEST = rb"(?:sha256:[0-9a-f]{64})?"
_STATE = rb"[a-z][a-z_]{0,40}"
_TIME = rb"(?:(0|[1-9]\d{0,15})|\"([1-9]\d{15,18})\")"
_ENTRY = re.compile(
    rb'\{"action_id":"(%s)","actor":"(%s)","at_ns":%s,"body_digest":"(%s)","from_state":"((?:%s)?)","index":(0|[1-9]\d{0,14}),'
    rb'"inputs_digest":"(%s)","policy_digest":"(%s)","prev":"(sha256:[0-9a-f]{64})","to_state":"(%s)"\}'
    % (_ID, _ID, _TIME, _DIGEST, _STATE, _DIGEST, _DIGEST, _STATE)
)  # fmt: skip
_EXACT = 1 << 53
"""Larger integers are written as decimal strings."""
MAX_BYTES = 1500
"""No entry is longer."""


class Happening(NamedTuple):
    """What is to be recorded. Ids: printable ASCII without quote and backslash, at most 300; digests may be empty.

    from_state is empty at the start of an action, and equal to to_state where something happened to an action whose
    state stayed (`awaiting_approval`: one of two approvals came). action_id is empty where it is about no action; then
    from_state is empty too and to_state says what happened (`key_revoked`, `autonomy_lowered`).
    """

    action_id: str
    from_state: str
    to_state: str
    actor: str
    at_ns: int
    policy_digest: str = ""
    inputs_digest: str = ""
    body_digest: str = ""


class Head(NamedTuple):
    """Where a chain ends: how many entries it has, the hash of the last one and its time."""

    size: int = 0
    prev: str = NOTHING
    at_ns: int = 0


class Entry(NamedTuple):
    """What an entry says, as it stands there, and its own RFC 6962 leaf hash of 32 bytes."""

    action_id: bytes
    at_ns: int
    from_state: bytes
    number: int
    prev: bytes
    to_state: bytes
    body_digest: bytes
    leaf: bytes


def append_entry(head: Head, what: Happening) -> tuple[Head, bytes]:
    """The new head, and the bytes of the entry, without newline.

    A clock that went back is not believed: the entry has at least the time of the one before.
    Raises AuditInvalid if a field has no place in an entry; nothing is recorded then.
    """
    at_ns = max(head.at_ns, what.at_ns)
    texts = (what.action_id, what.from_state, what.to_state, what.actor, what.policy_digest, what.inputs_digest,
             what.body_digest, head.prev)  # fmt: skip
    if not {str}.issuperset(map(type, texts)) or type(at_ns) is not int:
        raise AuditInvalid("a field of an entry has another type", where=f"entry {head.size}")
    said = at_ns if at_ns < _EXACT else f'"{at_ns}"'
    # Written by hand, since it is the one form that `parse_entry` lets pass: no value in it can hold a quote.
    entry = (
        f'{{"action_id":"{what.action_id}","actor":"{what.actor}","at_ns":{said},"body_digest":"{what.body_digest}",'
        f'"from_state":"{what.from_state}","index":{head.size},"inputs_digest":"{what.inputs_digest}",'
        f'"policy_digest":"{what.policy_digest}","prev":"{head.prev}","to_state":"{what.to_state}"}}'
    ).encode("utf-8", "surrogatepass")
    _fields(entry, head.size)
    return Head(head.size + 1, hash_text(leaf_hash(entry)), at_ns), entry


def parse_entry(entry: bytes, place: int = 0) -> Entry:
    """Raises AuditInvalid, naming `place`, if the bytes are not exactly the one form of an entry."""
    action_id, _, short, long, body, from_state, index, _, _, prev, to_state = _fields(entry, place)
    return Entry(action_id, int(short or long), from_state, int(index), prev, to_state, body, leaf_hash(entry))


def _fields(entry: bytes, place: int) -> tuple[Any, ...]:
    """What stands in the places of an entry. Raises AuditInvalid."""
    found = _ENTRY.fullmatch(entry) if len(entry) <= MAX_BYTES else None
    if found is None:
        raise AuditInvalid("these bytes are not an entry", where=f"entry {place}")
    fields = found.groups()
    if (int(fields[2] or fields[3]) >= _EXACT) != (fields[2] is None):
        raise AuditInvalid("the time is not in its one form", where=f"entry {place}")
    return fields


def leaf_of(entry: bytes) -> AuditLeaf:
    """The record in an entry. Raises AuditInvalid."""
    parse_entry(entry)
    return AuditLeaf.from_bytes(entry, strict=True)


def hash_text(leaf: bytes) -> str:
    """A leaf hash as it stands in `prev` of the next entry."""
    return "sha256:" + leaf.hex()


def body_digest(salt: bytes, body: object) -> str:
    """The digest of a body that cannot be guessed from it: SHA-256 over salt (16 bytes or more) and RFC 8785 form.

    Raises AuditInvalid if the salt is short.
    """
    if len(salt) < 16:
        raise AuditInvalid(f"a salt of {len(salt)} bytes can be guessed", todo="Use 16 random bytes")
    return sha256(salt + canonical(body))
