"""What a change is aimed at must be said: empty, null and wildcard selectors are refused where the record is made.

An empty selector that meant "everything" has erased fleets, so this is refused three times, each alone: here, by the
policies, and by the gateway, which has an allow-list of its own. Here stands what can be said without knowing a verb.
"""

from collections.abc import Mapping

from schemas._base import Json

_PATTERN = set("*?%.^$")
_EVERYTHING = {"*", "?", "%"}


def target_fault(target: str) -> str | None:
    """Why it does not name exactly one entity, `tenant/kind/name...`, or None.

    >>> target_fault("default/service/*")
    'it is a wildcard'
    """
    parts = target.split("/")
    if not target.strip():
        return "it is empty"
    if "*" in target or "?" in target:
        return "it is a wildcard"
    if len(parts) < 3 or any(not part.strip() for part in parts):
        return "it is not tenant/kind/name"
    return None


def parameters_fault(parameters: Mapping[str, Json]) -> str | None:
    """Which parameter says nothing (null, blank, an empty list or object) or everything (only wildcards), or None."""
    for name, value in parameters.items():
        if isinstance(value, str):
            if not value.strip():
                return f"'{name}' is empty"
        elif _says_nothing(value):
            return f"'{name}' is empty"
        if isinstance(value, str) and not _EVERYTHING.isdisjoint(value) and set(value.strip()) <= _PATTERN:
            return f"'{name}' is a wildcard"
    return None


def _says_nothing(value: Json) -> bool:
    if isinstance(value, list):
        return not value or any(_says_nothing(item) for item in value)
    if isinstance(value, dict):
        return not value or any(_says_nothing(item) for item in value.values())
    return value is None or (isinstance(value, str) and not value.strip())
