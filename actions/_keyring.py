"""Who may sign, with which key, in which roles: enrolment and revocation, as a value with a version.

A key belongs to one person, so a quorum counts people and not keys. How a key came to be bound to the person is its
grade: A, the person's own key, enrolled after a login; B, a hardware-backed passkey; C, a bridge that speaks for
people it has recognised elsewhere (a chat). The grade stands here, where an approver cannot choose it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from actions._errors import ApprovalsError

Grade = Literal["C", "A", "B"]
STRENGTH: Mapping[Grade, int] = {"C": 0, "A": 1, "B": 2}


@dataclass(frozen=True, slots=True)
class Passkey:
    """Where a passkey may be used: the relying party's domain, and the origins of the pages that may ask."""

    rp_id: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """person: `issuer#subject` of the identity provider; of a bridge, its own name.

    public: 32 bytes, Ed25519; of a passkey (grade B, and only there) its COSE key. speaks_for: people whose clicks a
    bridge may attest; only with grade C.
    """

    kid: str
    person: str
    public: bytes
    grade: Grade
    enrolled_s: int
    revoked_s: int | None = None
    speaks_for: frozenset[str] = frozenset()
    passkey: Passkey | None = None

    def people(self) -> frozenset[str]:
        """In whose name it may sign."""
        return self.speaks_for if self.grade == "C" else frozenset({self.person})


@dataclass(frozen=True, slots=True)
class KeyRing:
    """version: raised by every change, and recorded with every verdict. Times are Unix seconds."""

    version: int = 0
    keys: Mapping[str, EnrolledKey] = field(default_factory=dict)
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def enrol(self, key: EnrolledKey) -> "KeyRing":
        """Raises ApprovalsError if id or key was ever enrolled, its form is not that of its grade, or a key of grade A
        or B is to speak for others.
        """
        if key.kid in self.keys:
            raise ApprovalsError(f"the key id '{key.kid}' was used before", todo="Choose a new id")
        if (key.grade == "B") != (key.passkey is not None):
            raise ApprovalsError("grade B is for passkeys, which have a relying party", where=key.kid)
        if key.passkey and not (key.passkey.rp_id and key.passkey.origins and 40 <= len(key.public) <= 2000):
            raise ApprovalsError("a passkey needs a relying party, origins and a COSE key", where=key.kid)
        if key.passkey is None and len(key.public) != 32:
            raise ApprovalsError(f"a public key of {len(key.public)} bytes", where=key.kid)
        if any(known.public == key.public for known in self.keys.values()):
            raise ApprovalsError("this public key was enrolled before", where=key.kid, todo="Make a new key")
        if key.speaks_for and key.grade != "C":
            raise ApprovalsError(f"a key of grade {key.grade} speaks for its person only", where=key.kid)
        return replace(self, version=self.version + 1, keys={**self.keys, key.kid: key})

    def revoke(self, kid: str, at_s: int) -> "KeyRing":
        """From now on nothing signed with it counts, whenever it was signed. Raises ApprovalsError if unknown."""
        if kid not in self.keys:
            raise ApprovalsError(f"there is no key '{kid}'")
        return replace(self, version=self.version + 1, keys={**self.keys, kid: replace(self.keys[kid], revoked_s=at_s)})

    def with_roles(self, person: str, roles: frozenset[str]) -> "KeyRing":
        """The roles the person has from now on; none removes the person."""
        return replace(self, version=self.version + 1, roles={**self.roles, person: roles})
