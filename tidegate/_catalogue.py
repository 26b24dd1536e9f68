"""The catalogue of plug-ins: a folder is scanned, and entry points of installed packages are added.

A plug-in is one module with `PLUGIN = TheClass`; nothing else is edited to add one. Folders: sources, importers,
detectors, queries, rules, verbs, executors. Entry points: groups `tidegate.sources` and so on. Two of one kind are
refused.
"""

import importlib
import pkgutil
from collections.abc import Collection
from importlib.metadata import entry_points
from typing import Any

from tidegate._errors import CatalogueError

FOLDERS = {
    "sources": "streams.sources",
    "importers": "streams.importers",
    "detectors": "detectors",
    "queries": "diagnosis.queries",
    "reasoners": "diagnosis.reasoners",
    "rules": "diagnosis.rules",
    "verbs": "actions.verbs",
    "executors": "actions.executors",
}


def detectors(also: Collection[str] = ()) -> list[Any]:
    """Detectors that run: all but the optional ones, and of those what `also` names. Raises CatalogueError."""
    every = find("detectors")
    for name in also:
        if name not in every:
            raise CatalogueError(f"there is no detector '{name}'", where="detection.also",
                                 todo=f"Detectors: {', '.join(every)}")  # fmt: skip
    return [one for kind, one in every.items() if kind in also or not getattr(one, "is_optional", False)]


def find(what: str) -> dict[str, Any]:
    """Instances by kind, in the order of their kinds. Raises CatalogueError."""
    return {kind: plugin() for kind, plugin in classes(what).items()}


def classes(what: str) -> dict[str, Any]:
    """The classes, for plug-ins that are made with settings of their own. Raises CatalogueError."""
    listed: list[tuple[str, Any]] = []
    package = importlib.import_module(FOLDERS[what])
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            name = f"{FOLDERS[what]}.{module.name}"
            plugin = getattr(importlib.import_module(name), "PLUGIN", None)
            if plugin is None:
                raise CatalogueError(
                    "the module says no PLUGIN", where=name, todo="Add `PLUGIN = TheClass`, or begin its name with _"
                )
            listed.append((name, plugin))
    listed += [(point.value, point.load()) for point in entry_points(group=f"tidegate.{what}")]
    found: dict[str, Any] = {}
    places: dict[str, str] = {}
    for place, plugin in listed:
        kind = plugin.name if what == "verbs" else plugin.kind
        if kind in found:
            raise CatalogueError(
                f"two {what} are called '{kind}': {places[kind]} and {place}",
                where=what,
                todo="Rename one",
            )
        found[kind], places[kind] = plugin, place
    return dict(sorted(found.items()))
