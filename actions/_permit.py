"""Permits: what the decision process signs for one attempt, and the gateway verifies without asking anybody.

A permit is over exactly one request: action, step, direction, target, epoch, the digests of plan, change, parameters
and dry run, the version of the target that was looked at, and for at most 30 seconds. So a stolen, late or repeated
one opens nothing else. It is a DSSE envelope with Ed25519 over RFC 8785 bytes (`_dsse.py`).
"""

from typing import Any, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actions._dsse import is_sealed_by, open_payload, seal_payload
from actions._ports import EffectRequest
from actions._saga import Direction
from schemas import Json, canonical, sha256

PERMIT_PAYLOAD = "application/vnd.tidegate.permit+json"
MAX_BYTES = 8_192
LONGEST_MS = 30_000
MS = 1_000_000
"""Nanoseconds in a millisecond: JSON numbers end below nanoseconds since 1970."""


class Permit(BaseModel):
    """The signed claims. Digests are `sha256:` and hex; times are milliseconds since 1970, UTC, rounded down.

    is_under_kill: an undo that the plan allows after a kill. approved_by: how many people's signatures stand behind
    it; an `unsafe` verb needs one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    typ: Literal["tidegate.permit/v1"] = "tidegate.permit/v1"
    aud: str = Field(min_length=1)
    action_key: str = Field(min_length=1)
    step: int = Field(ge=0)
    direction: Direction
    target: str = Field(min_length=1)
    epoch: int = Field(ge=1)
    verb: str = Field(min_length=1)
    effect_class: str
    plan_digest: str
    change_digest: str
    parameters_digest: str
    dry_run_digest: str
    target_version: str
    evidence_ms: int
    issued_ms: int
    expires_ms: int
    is_under_kill: bool
    approved_by: int = Field(ge=0)
    nonce: str = Field(pattern="^[0-9a-f]{32}$")
    kid: str = Field(min_length=1)


class OpenedPermit(NamedTuple):
    """A permit that could be read; nothing in it is proved yet."""

    permit: Permit
    payload: bytes
    signature: bytes

    def is_signed_by(self, public: bytes) -> bool:
        """public: 32 bytes, the Ed25519 key."""
        return is_sealed_by(PERMIT_PAYLOAD, self.payload, self.signature, public)


def claims_of(request: EffectRequest) -> dict[str, Any]:
    """What a permit for this request must say, apart from who signs, when and with which nonce."""
    verb, parameters = written(request)
    return {
        "action_key": request.key, "step": request.step, "direction": request.direction, "target": request.target,
        "epoch": request.epoch, "verb": verb, "effect_class": request.effect_class,
        "plan_digest": request.plan_digest, "change_digest": request.change.digest,
        "parameters_digest": sha256(canonical(parameters)), "dry_run_digest": request.dry_run_digest,
        "target_version": request.expected_version, "evidence_ms": request.evidence_ns // MS,
    }  # fmt: skip


def written(request: EffectRequest) -> tuple[str, dict[str, Json]]:
    """The verb and parameters that are carried out: those of the change, or of its undo (empty if it has none)."""
    change = request.change
    if request.direction == "do":
        return change.verb, change.parameters
    return change.undo_verb or "", change.undo_parameters


def mint(
    request: EffectRequest, *, audience: str, now_ns: int, nonce: str, kid: str, key: Ed25519PrivateKey,
    is_under_kill: bool = False, approved_by: int = 0,
) -> bytes:  # fmt: skip
    """The signed permit for exactly this request, until `until_ns`, at most 30 s. nonce: 32 hex digits, by chance.

    Raises ValueError if the request has run out already or cannot be stated (pydantic's ValidationError is one).
    """
    issued = now_ns // MS
    expires = min(request.until_ns // MS, issued + LONGEST_MS)
    if expires <= issued:
        raise ValueError(f"the request ran out at {request.until_ns}, and it is {now_ns}")
    stated = {"aud": audience, "issued_ms": issued, "expires_ms": expires, "nonce": nonce, "kid": kid}
    kill = {"is_under_kill": is_under_kill and request.direction == "undo", "approved_by": approved_by}
    permit = Permit.model_validate(claims_of(request) | stated | kill)
    return seal_payload(PERMIT_PAYLOAD, permit.model_dump(mode="json"), kid, key)


def open_permit(envelope: bytes) -> OpenedPermit | str:
    """What the envelope holds, or why it cannot be read; never raises, whatever the bytes are."""
    try:
        sealed = open_payload(PERMIT_PAYLOAD, envelope, MAX_BYTES)
        permit = Permit.model_validate(sealed.value)
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])[:200]
    except ValueError as error:
        return str(error)[:200]
    if permit.kid != sealed.kid:
        return "the envelope names another key than the permit"
    return OpenedPermit(permit, sealed.payload, sealed.signature)
