"""The policies' own look at what a change is aimed at: exactly one entity, and selectors that choose exactly one thing.

An empty selector that meant "everything" has erased fleets, so it is refused three times by different code: where a
change is built, here before any rule is asked, and at the gateway before the write. This one reads character by
character and shares nothing with the others.
"""

from collections.abc import Mapping

from actions._contract import Verb
from schemas import Json

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:@~+")
_MANY = frozenset({"all", "any", "each", "every", "everything", "none", "null", "undefined"})


def target_fault(target: object) -> str | None:
    """What is wrong with a target, None if it names exactly one entity as `tenant/kind/name`.

    >>> target_fault("default/service/checkout"), target_fault("default/service/*")
    (None, "the target 'default/service/*' does not name exactly one entity")
    """
    parts = target.split("/") if isinstance(target, str) else []
    is_one = len(parts) >= 3 and all(part and set(part) <= _PLAIN for part in parts)
    if not is_one or parts[-1].lower() in _MANY or set(parts[-1]) <= set(".-:@~+"):
        return f"the target {target!r} does not name exactly one entity"
    return None


def selector_fault(target: object, parameters: Mapping[str, Json], verb: Verb) -> str | None:
    """What is wrong with the target or with a parameter that the verb names in `selectors`; None if nothing is."""
    fault = target_fault(target)
    for name in () if fault else verb.selectors:
        value = parameters.get(name)
        if isinstance(value, str):
            is_one = bool(value.strip()) and not set(value) & set("*?") and value.strip().lower() not in _MANY
        else:
            is_one = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_one:
            return f"{verb.name}: '{name}' is {value!r}, which does not choose exactly one thing"
    return fault
