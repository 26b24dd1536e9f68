"""Doctor: what is here, what is missing, and what to type. Looks, never changes anything."""

import sys
from importlib import metadata
from pathlib import Path

from streams import TransportError
from tidegate import PACKAGES, _catalogue, _pipeline
from tidegate._context_documents import load_book
from tidegate._errors import SettingsError
from tidegate._settings import Settings

_OPTIONAL = {
    "numba": ("fast", "OTLP decoding by compiled code; without it the same answers, slower"),
    "confluent_kafka": ("kafka", "the Kafka transport"),
    "prophet": ("forecast", "not used yet"),
    "openai": ("llm", "not used yet"),
}


def examine(settings: Settings) -> list[dict[str, str]]:
    """Rows {state: ok | optional | bad, what, found, todo}."""
    rows = [_row("ok", "python", sys.version.split()[0])]
    rows += [_row("ok", name, "ours") for name in PACKAGES]  # importing tidegate checked it
    for module, (extra, use) in _OPTIONAL.items():
        try:
            rows.append(_row("ok", module, metadata.version(module.replace("_", "-"))))
        except metadata.PackageNotFoundError:
            rows.append(_row("optional", module, use, f"pip install 'tidegate[{extra}]'"))
    for what in _catalogue.FOLDERS:
        rows.append(_row("ok", what, ", ".join(_catalogue.classes(what))))
    pipeline = _pipeline.build(settings)
    rows.append(_row("ok", "stages", ", ".join(stage.name for stage in pipeline.stages)))
    rows.append(_row("ok", "policies", str(pipeline.versions["policies"])))
    weights = _pipeline.load_weights(settings.diagnosis.weights)
    rows.append(_row("ok", "ranker weights", f"{weights.data}, fitted on {len(weights.fitted_on)} incidents"))
    curve = _pipeline.load_calibration(settings.diagnosis.calibration)
    use = "confidences are advice" if curve.state != "OWN" else "confidences count"
    rows.append(_row("ok", "calibration", f"{curve.state}, {curve.outcomes} outcomes of {curve.data}: {use}"))
    rows.append(_services(settings))
    if settings.kafka.brokers:
        rows.append(_kafka(settings))
    runs = Path("runs/newest/run.json")
    rows.append(
        _row("ok", "last run", str(runs.parent))
        if runs.exists()
        else _row("optional", "last run", "none", "tidegate demo")
    )
    return rows


def _services(settings: Settings) -> dict[str, str]:
    book = load_book(settings.diagnosis.services)
    if book is None:
        todo = "Set diagnosis.services to a folder of documents, see docs/context.md"
        return _row("optional", "services", "no owner and no objective is known", todo)
    owned, promised = (sum(map(bool, found)) for found in (
        [one.owner for one in book.services], [one.objectives for one in book.services]))  # fmt: skip
    return _row("ok", "services", f"{len(book.services)} on record, owner of {owned}, objectives of {promised}")


def _kafka(settings: Settings) -> dict[str, str]:
    try:
        from streams import kafka

        plain = settings.kafka.plain()
        return _row("ok", "kafka", f"{plain.described()}: {kafka.probe(plain).described()}")
    except (TransportError, SettingsError) as error:
        return _row("bad", "kafka", f"{error.where}: {error.what} [{error.code}]", error.todo)


def committed(schemas: Path) -> dict[str, str]:
    """Text of every generated file below a `schemas` folder, by its path relative to it."""
    return {str(f.relative_to(schemas)): f.read_text() for f in sorted((schemas / "generated").rglob("*.json"))}


def _row(state: str, what: str, found: str, todo: str = "") -> dict[str, str]:
    return {"state": state, "what": what, "found": found, "todo": todo}
