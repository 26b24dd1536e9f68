"""What shaped a run, kept with it in one file: settings, ranker, history, calibrations, services, policies, runbooks.

Topology, changes and the calendar are joined as of event time, so what is said later does not change an old stretch.
Policies and calibrations are files, which people change in place; whoever asks later what was said at the time needs
the old ones. `as-of.json` holds them, with the digest of each, and no secret: `tidegate replay --as-of DIR` uses it.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import schemas as sc
from schemas import why
from tidegate import _pipeline
from tidegate._context_documents import load_book
from tidegate._errors import RunError
from tidegate._settings import Settings

FILE = "as-of.json"
FORMAT = 1
_SHAPING: Any = {"streams": True, "detection": True, "forecasts": True, "diagnosis": True, "actions": True}
_RECORDED: dict[str, dict[str, str]] = {
    **{name: {"url": "http://recorded.invalid"}
       for name in ("prometheus", "loki", "elasticsearch", "jaeger", "kubernetes", "argocd")},
    "postgres": {"dsn": "recorded"}, "git": {"clone": "recorded"}, "llm": {"model": "recorded"},
}  # fmt: skip
"""What stands for a subsystem that was set up: a replay reads its recorded answers and asks nobody."""


def kept(settings: Settings) -> dict[str, Any]:
    """The document of what is in force. Raises SettingsError if a file cannot be read."""
    told = settings.diagnosis
    texts = {
        "weights": _pipeline.load_weights(told.weights).to_bytes().decode(),
        "history": _pipeline.load_history(told.history).to_bytes().decode(),
        "calibration": _pipeline.load_calibration(told.calibration).to_bytes().decode(),
    }
    for tenant, path in sorted(told.calibrations.items()):
        texts[f"calibrations/{tenant}"] = _pipeline.load_calibration(path).to_bytes().decode()
    texts |= {f"trial/{name}": one.to_bytes().decode() for name, one in _pipeline.on_trial(settings).items()}
    if (curve := _pipeline.load_crossing(settings.forecasts.calibration)) is not None:
        texts["crossing"] = curve.to_bytes().decode()
    if (book := load_book(told.services)) is not None:
        texts["services"] = book.to_bytes().decode()
    for package, directory in (("policies", settings.actions.policies), ("runbooks", settings.actions.runbooks)):
        for name, text in sorted(_pipeline.texts(directory, package).items()):
            texts[f"{package}/{Path(name).name}"] = text
    plain = settings.model_dump(mode="json", include=_SHAPING)
    for key in ("weights", "history", "calibration", "calibrations", "services"):
        del plain["diagnosis"][key]
    for key in ("weights", "history", "calibration"):
        del plain["diagnosis"]["trial"][key]
    del plain["forecasts"]["calibration"]
    for key in ("policies", "runbooks", "opa"):
        del plain["actions"][key]
    absent = settings.investigate.absent() | (set() if settings.investigate.llm.model else {"llm"})
    return {
        "format": FORMAT, "settings": plain, "asked": sorted(set(_RECORDED) - absent),
        "opa": bool(settings.actions.opa.url),
        "files": {name: {"sha256": sc.sha256(text.encode()), "text": text} for name, text in texts.items()},
    }  # fmt: skip


def write(shaped: Mapping[str, Any], directory: Path) -> None:
    """Put what `kept` found into `directory`; what was there before, and differs, stays under its own digest."""
    data = data_of(shaped)
    file = directory / FILE
    if file.is_file() and (before := file.read_bytes()) != data:
        file.rename(directory / f"as-of-{sc.sha256(before).removeprefix('sha256:')[:12]}.json")
    partial = directory / f"{FILE}.partial"
    partial.write_bytes(data)
    partial.replace(file)


@contextmanager
def settings_of(place: Path) -> Iterator[Settings]:
    """The settings that were kept in a directory, or in a file; their files are there until the context is left.

    Raises RunError: AS_OF_UNREADABLE, AS_OF_CHANGED where a digest does not hold, AS_OF_OPA.
    """
    file = place / FILE if place.is_dir() else place
    try:
        data = file.read_bytes()
    except OSError as error:
        raise unreadable(error, str(file)) from error
    with settings_from(data, str(file)) as settings:
        yield settings


@contextmanager
def settings_from(data: bytes, where: str) -> Iterator[Settings]:
    """The same from the bytes of such a document."""
    try:
        document = json.loads(data)
        texts = {name: str(one["text"]) for name, one in document["files"].items()}
        changed = [
            name for name, text in texts.items() if sc.sha256(text.encode()) != document["files"][name]["sha256"]
        ]
        plain, asked = dict(document["settings"]), [str(name) for name in document["asked"]]
        is_opa, known = bool(document["opa"]), document["format"] == FORMAT
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(error, where) from error
    if changed or not known:
        what = f"'{changed[0]}' is not what was kept" if changed else "it has a format that this version cannot read"
        raise RunError(what, where=where, code="AS_OF_CHANGED", todo="Take it from a backup, or replay without it")
    if is_opa:
        what = "an OPA server decided, and its rules are not ours to keep"
        raise RunError(what, where=where, code="AS_OF_OPA", todo="Serve that revision of its rules, without --as-of")
    with tempfile.TemporaryDirectory(prefix="tidegate-as-of-") as name:
        yield _unpacked(Path(name), texts, plain, asked)


def unreadable(error: Exception, where: str) -> RunError:
    return RunError(
        f"what shaped the run cannot be read: {why(error)}", where=where, code="AS_OF_UNREADABLE",
        todo="Name the directory of a replay or of `up`, one of its as-of files, or `kafka`",
    )  # fmt: skip


def data_of(shaped: Mapping[str, Any]) -> bytes:
    """The bytes of such a document."""
    return json.dumps(shaped, sort_keys=True).encode()


def _unpacked(place: Path, texts: dict[str, str], plain: dict[str, Any], asked: list[str]) -> Settings:
    names: dict[str, Path] = {}
    for number, (name, text) in enumerate(sorted(texts.items())):
        folder, _, rest = name.rpartition("/")
        is_policy = folder in ("policies", "runbooks")
        names[name] = place / folder / Path(rest).name if is_policy else place / f"{number}.json"
        names[name].parent.mkdir(exist_ok=True)
        names[name].write_text(text, encoding="utf-8")
    tenants = {name.partition("/")[2]: str(path) for name, path in names.items() if name.startswith("calibrations/")}
    diagnosis: dict[str, Any] = {key: str(names[key]) for key in ("weights", "history", "calibration")} | {
        "calibrations": tenants
    }
    tried = {name.partition("/")[2]: str(path) for name, path in names.items() if name.startswith("trial/")}
    diagnosis |= {"trial": plain["diagnosis"].get("trial", {}) | tried}
    diagnosis |= {"services": str(names["services"])} if "services" in names else {}
    crossing = {"calibration": str(names["crossing"])} if "crossing" in names else {}
    folders = {key: str(place / key) for key in ("policies", "runbooks") if (place / key).is_dir()}
    return Settings.model_validate(
        plain
        | {"forecasts": plain.get("forecasts", {}) | crossing}
        | {"diagnosis": plain["diagnosis"] | diagnosis, "actions": plain["actions"] | folders}
        | {"investigate": {name: _RECORDED[name] for name in asked if name in _RECORDED}}
    )
