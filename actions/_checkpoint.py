"""Signed heads of the audit tree, in the format of transparency logs, so that tools and witnesses of others read them.

A checkpoint is a C2SP signed note: origin, size, root in base64, an empty line, and one Ed25519 signature line. It is
small enough to be put where the writer of the log has no power (another principal's topic, a Git repository, a
ticket); whoever has one notices if the log is ever rewritten before it. Reading is strict: one byte form each.
Sources: https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note.
"""

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from actions._errors import NoteInvalid
from schemas import Checkpoint

_ED25519 = b"\x01"
_NAME = re.compile(r"[!-*,-~]{1,200}")
_NOTE = re.compile(
    r"([!-*,-~]{1,200})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/=]+)\n\n((?:\u2014 [^ \n]+ [A-Za-z0-9+/=]+\n){1,16})"
)
_VKEY = re.compile(r"([!-*,-~]{1,200})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")


class LogKey(NamedTuple):
    """Who signs a log: its name, which is also the origin in the checkpoints, and the public key."""

    name: str
    public: Ed25519PublicKey

    @property
    def text(self) -> str:
        """`name+hash+key`, as it is handed to those who verify (a vkey of C2SP signed notes)."""
        material = _ED25519 + self.public.public_bytes_raw()
        return f"{self.name}+{_key_hash(self.name, self.public).hex()}+{base64.b64encode(material).decode()}"


class TreeHead(NamedTuple):
    """What a checkpoint vouches for: so many entries have this root (32 bytes)."""

    origin: str
    size: int
    root: bytes


def log_key(text: str) -> LogKey:
    """The key in `name+hash+key`. Raises NoteInvalid."""
    found = _VKEY.fullmatch(text.strip())
    material = _plain(found[3]) if found else b""
    if found is None or len(material) != 33 or material[:1] != _ED25519:
        raise NoteInvalid(
            "this is not the public key of a log", todo="Give NAME+HASH+KEY, as `key.vkey` of the log has"
        )
    key = LogKey(found[1], Ed25519PublicKey.from_public_bytes(material[1:]))
    if _key_hash(key.name, key.public).hex() != found[2]:
        raise NoteInvalid("the hash in the key of the log does not fit name and key", where=key.name)
    return key


def sign_head(head: TreeHead, key: Ed25519PrivateKey) -> Checkpoint:
    """The checkpoint over this head; the name of the signer is the origin. Raises NoteInvalid if it cannot be one."""
    if not _NAME.fullmatch(head.origin):
        raise NoteInvalid(f"{head.origin!r} cannot name a log", todo="Use visible ASCII without space and plus")
    root = base64.b64encode(head.root).decode()
    body = f"{head.origin}\n{head.size}\n{root}\n"
    signature = _key_hash(head.origin, key.public_key()) + key.sign(body.encode())
    note = f"{body}\n\u2014 {head.origin} {base64.b64encode(signature).decode()}\n"
    return Checkpoint(origin=head.origin, size=head.size, root=root, note=note)


def read_note(note: str, key: LogKey) -> TreeHead:
    """What the log's own signature in the note vouches for; signatures of others (witnesses) are passed over.

    Raises NoteInvalid if it is not a checkpoint of this log, or not signed with this key.
    """
    found = _NOTE.fullmatch(note)
    if found is None:
        raise NoteInvalid("this is not a checkpoint")
    origin, size, root = found[1], int(found[2]), _plain(found[3])
    if origin != key.name:
        raise NoteInvalid(f"a checkpoint of '{origin}', not of '{key.name}'")
    if len(root) != 32:
        raise NoteInvalid("the root is not 32 bytes", where=f"checkpoint at {size}")
    body = note[: note.index("\n\n") + 1].encode()
    own = _key_hash(key.name, key.public)
    for line in found[4].removesuffix("\n").split("\n"):
        _, name, text = line.split(" ")
        signature = _plain(text)
        if name == key.name and signature[:4] == own:
            try:
                key.public.verify(signature[4:], body)
            except InvalidSignature as error:
                raise NoteInvalid("the signature does not fit", where=f"checkpoint at {size}") from error
            return TreeHead(origin, size, root)
    raise NoteInvalid("it is not signed with the key of the log", where=f"checkpoint at {size}")


def read_checkpoint(record: Checkpoint, key: LogKey) -> TreeHead:
    """The head in the note; the fields beside it must say the same. Raises NoteInvalid."""
    head = read_note(record.note, key)
    if (record.origin, record.size, record.root) != (head.origin, head.size, base64.b64encode(head.root).decode()):
        raise NoteInvalid("the record says something else than its signed note", where=f"checkpoint at {head.size}")
    return head


def _key_hash(name: str, public: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public.public_bytes_raw()).digest()[:4]


def _plain(text: str) -> bytes:
    """Base64 in its one form: unused bits are zero. Raises NoteInvalid."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteInvalid("this is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoteInvalid("this base64 has another form than the one it should have")
    return data
