"""The table of verbs in docs/verbs.md, from the verbs and executors themselves."""

from collections.abc import Mapping
from typing import Any

from actions import Executor, Verb

HEAD = (
    "| verb | does | parameters | risk | undo | a repeat | executor | evidence | settles | floor | for |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
)


def table(verbs: Mapping[str, Verb], executors: Mapping[str, type[Executor]], texts: Mapping[str, str]) -> str:
    """One row a verb. texts: the first sentence of each verb's module, by name."""
    by_verb = {name: kind for kind, one in executors.items() for name in one.verbs}
    return HEAD + "".join(_row(verb, by_verb.get(name, "none"), texts[name]) for name, verb in sorted(verbs.items()))


def _row(verb: Verb, executor: str, text: str) -> str:
    fields: dict[str, Any] = verb.parameters.model_fields
    names = ", ".join(f"**{name}**" if name in verb.selectors else name for name in fields)
    repeat, floor = verb.effect_class.replace("_", " "), f"{verb.capacity_floor:.0%}" if verb.capacity_floor else "-"
    cells = (
        f"`{verb.name}`", text, names, verb.risk, "yes" if verb.is_reversible else "no", repeat, f"`{executor}`",
        f"{verb.evidence_limit_s} s", f"{verb.settle_s} s", floor,
        ", ".join(verb.target_kinds),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def sentence(text: str) -> str:
    """The first sentence of a module's text, without the name in front.

    >>> sentence("`a.b`: do this: and that. More.")
    'do this: and that'
    """
    first = " ".join(text.strip().split("\n\n")[0].split())
    return first.partition(": ")[2].rstrip(".").replace("|", "\\|")
