"""The catalogue of verbs, and the one place where an exact proposed change is built.

An unknown verb, parameters that do not fit, and a target that is empty or a wildcard are refused here, once for
policies, runbooks and people alike (an empty selector that meant "everything" has erased fleets before).
"""

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache

import rfc8785
from pydantic import ValidationError

from actions._contract import Parameters, Verb
from actions._errors import ParametersInvalid, SelectorInvalid, UnknownVerb
from schemas import Json, ProposedChange, canonical, sha256

_WILDCARDS = set("*?")
_EVERYTHING = {"all", "any", "everything"}


class Verbs:
    """The verbs that exist in this process, by name, and which of them have an executor.

    `executors` names the verbs that something can perform. None can yet, so it is empty unless a test says else: a
    verb without an executor is at most advised.
    """

    def __init__(self, plugins: Iterable[type[Verb]], executors: Iterable[str] = ()) -> None:
        self._by_name = {verb.name: verb for verb in (plugin() for plugin in plugins)}
        self.executors = frozenset(executors)
        for name in sorted(self.executors):
            self.get(name)

    @property
    def names(self) -> list[str]:
        return sorted(self._by_name)

    def get(self, name: str, where: str = "") -> Verb:
        """Raises UnknownVerb, naming the nearest verb that exists."""
        if name not in self._by_name:
            near = difflib.get_close_matches(name, self.names, n=1)
            todo = f"Did you mean '{near[0]}'?" if near else f"Known verbs: {', '.join(self.names) or 'none'}"
            raise UnknownVerb(f"unknown verb '{name}'", where=where, todo=todo)
        return self._by_name[name]

    def parse(self, name: str, parameters: Mapping[str, Json], where: str = "") -> Parameters:
        """The parameters as the verb's model. Raises UnknownVerb or ParametersInvalid, naming the first bad one."""
        model = self.get(name, where).parameters
        try:
            parsed = model.model_validate(dict(parameters))
            canonical(parsed.model_dump(mode="json"))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "(all)"
            raise ParametersInvalid(f"{name} parameter '{field}': {first['msg']}", where=where) from error
        except rfc8785.CanonicalizationError as error:
            raise ParametersInvalid(f"{name}: {error}", where=where) from error
        return parsed

    def change(
        self, name: str, target: str, parameters: Mapping[str, Json], runbook: str, *, irreversible: bool = False,
        revert_after_s: int | None = None,
    ) -> ProposedChange:  # fmt: skip
        """The exact change with its undo and its digest; `irreversible` says that here it cannot be undone.

        revert_after_s: it is temporary, and taken back after that.

        Raises UnknownVerb, ParametersInvalid or SelectorInvalid; the undo is held to the same rules.
        """
        verb, parsed = self.get(name), self.parse(name, parameters)
        undo = None if irreversible else verb.undo(parsed)
        body: dict[str, Json] = {
            "verb": name,
            "target": checked_target(target),
            "parameters": parsed.model_dump(mode="json"),
            "undo_verb": undo.verb if undo else None,
            "undo_parameters": self.parse(undo.verb, undo.parameters).model_dump(mode="json") if undo else {},
            "is_reversible": verb.is_reversible and not irreversible,
            "runbook": runbook,
        }
        if revert_after_s is not None:
            body["revert_after_s"] = revert_after_s
        try:
            return ProposedChange.model_validate(body | {"digest": sha256(canonical(body))})
        except ValidationError as error:
            what = f"{name}: {error.errors(include_url=False)[0]['msg']}"
            raise SelectorInvalid(what, todo="Say exactly what is changed, or leave it out") from error


def digest_of(change: ProposedChange) -> str:
    """SHA-256 over the RFC 8785 form of all fields but the digest; what an approval signs."""
    return sha256(canonical(change.model_dump(mode="json", exclude={"digest"})))


def checked_target(target: str) -> str:
    """The entity id `tenant/kind/name...` unchanged. Raises SelectorInvalid if it is empty, a wildcard or malformed.

    >>> checked_target("default/service/checkout")
    'default/service/checkout'
    """
    parts = target.split("/")
    if not target.strip():
        what = "the target is empty"
    elif _WILDCARDS & set(target) or parts[-1].lower() in _EVERYTHING:
        what = f"the target '{target}' is a wildcard"
    elif (
        len(parts) < 3
        or not all(part.strip() for part in parts)
        or not target.isprintable()
        or target != target.strip()
    ):
        what = f"the target {target!r} is not an entity id"
    else:
        return target
    raise SelectorInvalid(what, todo="Name exactly one entity, as `tenant/kind/name`")


@lru_cache(maxsize=4096)
def service_of(entity_id: str) -> str:
    """The plain service name in an entity id, the third part; empty where there is none.

    >>> service_of("default/instance/checkout/pod-1")
    'checkout'
    """
    return entity_id.split("/")[2] if entity_id.count("/") >= 2 else ""
