"""The list of people as a file: read when it has changed, against the last head that was seen, and added to at the end.

Whoever cannot read or believe it knows nobody, so nothing is approved until it is right again.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions import KeyRing, PeopleHead, PersonRecord, append_record, need_library, read_people
from actions._ledger import Ledger
from schemas import why
from tidegate._errors import ApproveError

HEAD = "people/head"
"""The fact of the ledger that says which end of the list was seen."""


def known_head(ledger: Ledger) -> PeopleHead | None:
    """The end of the list by which something was decided last; None before the first decision."""
    for name, body in ledger.kept(HEAD):
        if name == HEAD:
            number, _, digest = body.decode().partition(" ")
            return PeopleHead(int(number), digest)
    return None


class PeopleFile:
    """known: the last head that was seen, from where it is kept (the ledger); a list without it is refused."""

    def __init__(
        self, path: Path, roots: Mapping[str, bytes], aud: str, known: Callable[[], PeopleHead | None] = lambda: None
    ) -> None:
        self.path, self._roots, self._aud, self._known = path, roots, aud, known
        self.head = PeopleHead()
        self._ring = KeyRing()
        self._seen: tuple[int, int, int] | None = None

    def ring(self) -> KeyRing:
        """As the file says now. Raises ApproveError if it cannot be read, ApprovalsError if it does not hold."""
        try:
            stat = self.path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return self._ring
            lines = self.path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            self._seen = None
            raise ApproveError(
                f"the list of people cannot be read: {why(error)}", where=str(self.path), code="PEOPLE_UNREADABLE",
                todo="Nobody counts until it can",
            ) from error  # fmt: skip
        self._seen = None
        own = self.head if self.head.number else None
        ring, head = read_people(lines, self._roots, self._aud, own or self._known())
        if any(key.passkey for key in ring.keys.values()):
            need_library()
        self._ring, self.head, self._seen = ring, head, seen
        return ring

    def append(self, record: PersonRecord, root: str, key: Ed25519PrivateKey) -> PeopleHead:
        """One more record, signed as `root`, durable when it returns. Raises ApprovalsError, ApproveError."""
        if key.public_key().public_bytes_raw() != self._roots.get(root):
            raise ApproveError(
                f"this is not the key of the root '{root}'", where="approvals.roots", code="OTHER_ROOT",
                todo="Put its public key into the settings as approvals.roots.NAME",
            )  # fmt: skip
        ring = self.ring() if self.path.exists() else KeyRing()
        _, head, line = append_record(ring, self.head, record, self._aud, root, key)
        before = self.path.read_bytes() if self.path.exists() else b""
        try:
            with tempfile.NamedTemporaryFile(dir=self.path.parent, delete=False) as file:
                file.write(before + line + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, self.path)
        except OSError as error:
            raise ApproveError(f"the list cannot be written: {why(error)}", where=str(self.path)) from error
        self.ring()
        return head
