"""The list of people who may approve: signed records one after the other, each over the one before.

A record enrols or revokes a key, or says which roles a person has from now on. It is a DSSE envelope by a root key;
roots stand in the settings, not in the list. Each names the digest of the line before, so nothing can be taken out or
changed; that the end was cut off (which would bring a revoked key back) shows only against a head kept elsewhere, so
readers keep the last head they have seen and a list that does not contain it is refused.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions._dsse import is_sealed_by, open_payload, seal_payload, strict_base64
from actions._errors import ApprovalsError
from actions._keyring import EnrolledKey, Grade, KeyRing, Passkey
from schemas import sha256

PEOPLE_PAYLOAD = "application/vnd.tidegate.people+json"
MAX_BYTES = 32_768
NO_RECORD = "sha256:" + "0" * 64
"""What the first record follows."""


class PeopleHead(NamedTuple):
    """Where a list ends: how many records it has and the digest of the last."""

    number: int = 0
    digest: str = NO_RECORD


class PersonRecord(NamedTuple):
    """What one record says; fields that its `what` does not use are empty.

    enrol: person, kid, public, grade; of a bridge (C) speaks_for, of a passkey (B) rp_id and origins. revoke: kid.
    roles: person, and all roles it has from now on.
    """

    what: Literal["enrol", "revoke", "roles"]
    at_s: int
    person: str = ""
    kid: str = ""
    public: bytes = b""
    grade: Grade | Literal[""] = ""
    roles: tuple[str, ...] = ()
    speaks_for: tuple[str, ...] = ()
    rp_id: str = ""
    origins: tuple[str, ...] = ()


_FIELDS = {*PersonRecord._fields, "typ", "aud", "number", "before"}


def append_record(
    ring: KeyRing, head: PeopleHead, record: PersonRecord, aud: str, root: str, key: Ed25519PrivateKey
) -> tuple[KeyRing, PeopleHead, bytes]:
    """The list after the record, and its line without newline, signed as `root`. Raises ApprovalsError."""
    value: dict[str, Any] = record._asdict() | {
        "typ": "tidegate.people/v1", "aud": aud, "number": head.number, "before": head.digest,
        "public": b64encode(record.public).decode(), "roles": sorted(record.roles),
        "speaks_for": sorted(record.speaks_for), "origins": sorted(record.origins),
    }  # fmt: skip
    after = _after(ring, record)
    line = seal_payload(PEOPLE_PAYLOAD, value, root, key)
    return after, PeopleHead(head.number + 1, sha256(line)), line


def read_people(
    lines: Iterable[bytes], roots: Mapping[str, bytes], aud: str, known: PeopleHead | None = None
) -> tuple[KeyRing, PeopleHead]:
    """The ring that the list says, whose version is the number of records. roots: id to public key, 32 bytes.

    known: a head seen before, which the list must contain. Raises ApprovalsError naming the first line that is wrong.
    """
    ring, head = KeyRing(), PeopleHead()
    is_known = known is None or known == head
    for line in lines:
        try:
            ring = _after(ring, _opened(line.rstrip(b"\n"), head, roots, aud))
        except (ValueError, ApprovalsError) as error:
            raise ApprovalsError(
                str(error), where=f"record {head.number} of the list of people", todo="Restore the list; nobody counts"
            ) from error
        head = PeopleHead(head.number + 1, sha256(line.rstrip(b"\n")))
        is_known = is_known or head == known
    if not is_known:
        raise ApprovalsError(
            "the list does not contain what was seen of it before", where=f"record {known.number if known else 0}",
            todo="Its end was cut off or it was written anew: restore it; nobody counts until then",
        )  # fmt: skip
    return ring, head


def _opened(line: bytes, head: PeopleHead, roots: Mapping[str, bytes], aud: str) -> PersonRecord:
    """Raises ValueError."""
    sealed = open_payload(PEOPLE_PAYLOAD, line, MAX_BYTES)
    public = roots.get(sealed.kid)
    if public is None or not is_sealed_by(PEOPLE_PAYLOAD, sealed.payload, sealed.signature, public):
        raise ValueError(f"it is not signed by a root that is known ('{sealed.kid}')")
    value = sealed.value
    if value.keys() != _FIELDS or value["typ"] != "tidegate.people/v1":
        raise ValueError("it is not a record of this version")
    if value["aud"] != aud:
        raise ValueError(f"it is for the deployment '{value['aud']}'")
    if (value["number"], value["before"]) != head:
        raise ValueError("it does not follow the record before")
    names = ("roles", "speaks_for", "origins")
    if not all(isinstance(value[n], list) and all(isinstance(one, str) for one in value[n]) for n in names):
        raise ValueError("a list of names holds something else")
    if not all(isinstance(value[n], str) for n in ("person", "kid", "public", "rp_id")):
        raise ValueError("a name is no text")
    if value["what"] not in ("enrol", "revoke", "roles") or value["grade"] not in ("", "A", "B", "C"):
        raise ValueError("it says neither enrol nor revoke nor roles, or an unknown grade")
    if type(value["at_s"]) is not int or value["at_s"] < 0:
        raise ValueError("its time is no time")
    return PersonRecord(
        value["what"], value["at_s"], value["person"], value["kid"], strict_base64(value["public"]), value["grade"],
        tuple(value["roles"]), tuple(value["speaks_for"]), value["rp_id"], tuple(value["origins"]),
    )  # fmt: skip


def _after(ring: KeyRing, record: PersonRecord) -> KeyRing:
    if record.what == "revoke":
        return ring.revoke(record.kid, record.at_s)
    if not record.person:
        raise ApprovalsError("a record names no person", where=record.kid)
    if record.what == "roles":
        return ring.with_roles(record.person, frozenset(record.roles))
    if not record.kid or not record.grade:
        raise ApprovalsError("a key without id or grade", where=record.person)
    return ring.enrol(
        EnrolledKey(
            record.kid, record.person, record.public, record.grade, record.at_s,
            speaks_for=frozenset(record.speaks_for),
            passkey=Passkey(record.rp_id, record.origins) if record.rp_id else None,
        )
    )  # fmt: skip
