"""What stands between the ledger and the audit log: a move of an action, as the ledger tells it, becomes an entry.

The ledger's transaction holds the leaf together with the state, the intent and the outbox, so there is no effect
without its entry. The ledger never looks into a leaf; it gives the index, the hash of the leaf before, and what is to
be told, and keeps what comes back.
"""

from pydantic_core import from_json

from actions._audit import Happening, Head, append_entry
from actions._errors import AuditInvalid
from schemas import sha256


class Sealer:
    """A `Seal` of the ledger. actor: the process that acts. at_ns: the time of the last entry that the ledger has.

    Actions bring their own times; an entry never has an earlier one than any sealed before it. The digest of the body
    is over what the ledger told, which is codes and digests, nothing secret, and lies in the outbox as well.
    """

    def __init__(self, actor: str, at_ns: int = 0) -> None:
        self._actor, self._at_ns = actor, at_ns

    def __call__(self, index: int, before: bytes, body: bytes) -> tuple[bytes, bytes]:
        """The entry and its leaf hash. Raises AuditInvalid if the body is not what the ledger tells of a move."""
        try:
            told = from_json(body)
            begins = told["reason"] == "PROPOSED" and told["version"] == 1
            what = Happening(
                told["action"], "" if begins else told["from"], told["to"], self._actor, int(told["at_ns"]),
                inputs_digest=told["plan"], body_digest=sha256(body),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise AuditInvalid(f"this is not a move that a ledger tells: {error}", where=f"entry {index}") from error
        head, entry = append_entry(Head(index, "sha256:" + before.hex(), self._at_ns), what)
        self._at_ns = head.at_ns
        return entry, bytes.fromhex(head.prev[7:])
