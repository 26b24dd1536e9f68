"""Doctor: what is here, what is missing, and what to type. Looks, never changes anything."""

import importlib
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from tidegate import _catalogue, _pipeline
from tidegate._settings import Settings

_OWN = ("schemas", "streams", "detectors", "diagnosis", "actions", "learning", "simulation", "policies", "runbooks")
_OPTIONAL = {
    "numba": ("fast", "OTLP decoding by compiled code; without it the same answers, slower"),
    "confluent_kafka": ("kafka", "not used yet"),
    "prophet": ("forecast", "not used yet"),
    "openai": ("llm", "not used yet"),
}


def examine(settings: Settings) -> list[dict[str, str]]:
    """Rows {state: ok | optional | bad, what, found, todo}."""
    rows = [_row("ok", "python", sys.version.split()[0])]
    rows += [_shadow(name) for name in _OWN]
    for module, (extra, use) in _OPTIONAL.items():
        try:
            rows.append(_row("ok", module, metadata.version(module.replace("_", "-"))))
        except metadata.PackageNotFoundError:
            rows.append(_row("optional", module, use, f"pip install 'tidegate[{extra}]'"))
    for what in _catalogue.FOLDERS:
        rows.append(_row("ok", what, ", ".join(_catalogue.find(what))))
    pipeline = _pipeline.build(settings)
    rows.append(_row("ok", "stages", ", ".join(stage.name for stage in pipeline.stages)))
    rows.append(_row("ok", "policies", str(pipeline.versions["policies"])))
    weights = _pipeline.load_weights(settings.diagnosis.weights)
    rows.append(_row("ok", "ranker weights", f"{weights.data}, fitted on {len(weights.fitted_on)} incidents"))
    rows.append(_row("optional", "calibration", "none: every confidence is null, so every decision is advice"))
    runs = Path("runs/newest/run.json")
    rows.append(
        _row("ok", "last run", str(runs.parent))
        if runs.exists()
        else _row("optional", "last run", "none", "tidegate demo")
    )
    return rows


def committed(schemas: Path) -> dict[str, str]:
    """Text of every generated file below a `schemas` folder, by its path relative to it."""
    return {str(f.relative_to(schemas)): f.read_text() for f in sorted((schemas / "generated").rglob("*.json"))}


def _shadow(name: str) -> dict[str, str]:
    """Whether a top-level package is ours: the names are plain, so another distribution could stand before it."""
    module: Any = importlib.import_module(name)
    place = Path(module.__path__[0]).resolve()
    home = Path(__file__).resolve().parent.parent
    if place.parent == home:
        return _row("ok", name, "ours")
    return _row("bad", name, f"comes from {place}", "Install Tidegate in an environment of its own")


def _row(state: str, what: str, found: str, todo: str = "") -> dict[str, str]:
    return {"state": state, "what": what, "found": found, "todo": todo}
