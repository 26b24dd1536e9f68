"""What goes between the action worker and the gateway: JSON objects, read strictly, with nothing left out.

Unknown or missing fields are refused, so that an old worker and a new gateway never half understand each other.
"""

import json
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from actions._errors import ParametersInvalid
from actions._machine_types import Found
from actions._ports import Answer, DryRun, EffectRequest, ProbeRequest, Survey, Unavailable
from schemas import ProposedChange

T = TypeVar("T")
_EFFECT, _PROBE = TypeAdapter(EffectRequest), TypeAdapter(ProbeRequest)
_CHANGE = TypeAdapter(ProposedChange)
_FOUND: TypeAdapter[Found] = TypeAdapter(Found)


def dump(request: EffectRequest | ProbeRequest) -> bytes:
    told: dict[str, Any] = request._asdict()
    told["change"] = request.change.model_dump(mode="json")
    if isinstance(request, EffectRequest):
        told["permit"] = request.permit.decode()
    return json.dumps(told).encode()


def load_effect(data: bytes) -> EffectRequest:
    """Raises ParametersInvalid."""
    told = _object(data, set(EffectRequest._fields))
    return _read(_EFFECT, told)


def load_probe(data: bytes) -> ProbeRequest:
    """Raises ParametersInvalid."""
    return _read(_PROBE, _object(data, set(ProbeRequest._fields)))


def dump_dry_run_request(key: str, step: int, change: ProposedChange) -> bytes:
    return json.dumps({"key": key, "step": step, "change": change.model_dump(mode="json")}).encode()


def load_dry_run_request(data: bytes) -> tuple[str, int, ProposedChange]:
    """Raises ParametersInvalid."""
    told = _object(data, {"key", "step", "change"})
    return str(told["key"]), _read(TypeAdapter(int), told["step"]), _read(_CHANGE, told["change"])


def load_fence(data: bytes) -> tuple[str, int]:
    """Raises ParametersInvalid."""
    told = _object(data, {"target", "epoch"})
    return _read(TypeAdapter(str), told["target"]), _read(TypeAdapter(int), told["epoch"])


def dump_dry_run(answer: DryRun | Unavailable) -> dict[str, Any]:
    if isinstance(answer, Unavailable):
        return {"unavailable": answer._asdict()}
    return {"dry_run": answer._asdict() | {"snapshot": answer.snapshot.decode()}}


def load_dry_run(told: dict[str, Any]) -> DryRun | Unavailable:
    """Raises ParametersInvalid."""
    if "unavailable" in told:
        return _read(TypeAdapter(Unavailable), told["unavailable"])
    return _read(TypeAdapter(DryRun), told.get("dry_run"))


def load_survey(told: dict[str, Any]) -> Survey | Unavailable:
    """Raises ParametersInvalid."""
    if "unavailable" in told:
        return _read(TypeAdapter(Unavailable), told["unavailable"])
    return _read(TypeAdapter(Survey), told.get("survey"))


def load_answer(told: dict[str, Any]) -> Answer:
    """Raises ParametersInvalid."""
    return _read(TypeAdapter(Answer), told.get("answer"))


def load_found(told: dict[str, Any]) -> Found:
    """Raises ParametersInvalid."""
    return _read(_FOUND, told.get("found"))


def _object(data: bytes, fields: set[str]) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ParametersInvalid(f"it is no JSON: {error}", where="request") from error
    if not isinstance(told, dict) or told.keys() != fields:
        names = sorted(told.keys() ^ fields) if isinstance(told, dict) else ["it is no object"]
        raise ParametersInvalid(f"missing or unknown: {', '.join(map(str, names))}", where="request")
    return told


def _read(adapter: TypeAdapter[T], told: Any) -> T:
    try:
        return adapter.validate_python(told)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ParametersInvalid(f"'{field}': {first['msg']}", where="request") from error
