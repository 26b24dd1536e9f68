"""Real incidents: the two packed ones through import and replay with one setting, and all 45 cross-validated.

`python -m bench.prove --data D`. Fails if a culprit is not named first, if the weights have seen what they are tried
on, or if the data is absent while CI=true.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.diagnosis.__main__ import crossed, show
from bench.diagnosis._fit import FIXED
from bench.diagnosis._sets import FOLDERS, archives, load
from diagnosis import equal_weights
from streams import Recording, imbalance, import_
from tidegate import _catalogue
from tidegate._pipeline import build, load_calibration, load_history, load_weights
from tidegate._replay import Run, replay
from tidegate._settings import Settings


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path())
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    packed, whole = archives(chosen.data / "incidents"), load("nezha_tt", chosen.data)
    if not packed or whole is None:
        sentence = (
            f"{chosen.data} holds no incidents/ and {FOLDERS['nezha_tt']}/: see docs/proofs.md for where to get them."
        )
        if os.environ.get("CI") == "true":
            sys.exit(sentence)
        print(f"not proved: {sentence}")
        return
    seen = {
        id for artefact in (load_weights(None), load_history(None), load_calibration(None))
        for id in FIXED if any(id in name for name in artefact.fitted_on)
    }  # fmt: skip
    failed = [f"the shipped artefacts were fitted on {sorted(seen)}"] if seen else []
    document: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as place:
        for archive in packed:
            found = document[archive.name] = _incident(archive, Path(place))
            if found["named"][0] != found["culprit"]:
                failed.append(f"{archive.name}: {found['named'][0]} is named, {found['culprit']} was to blame")
            if found["imbalance"]:
                failed.append(f"{archive.name}: {found['imbalance']}")
    accuracy = crossed({"nezha_tt": whole})
    show(accuracy)
    document |= accuracy
    print(json.dumps(document))
    if failed:
        sys.exit("; ".join(failed))


def _incident(archive: Path, place: Path) -> dict[str, Any]:
    """One packed incident through import and replay, by the shipped weights and by equal ones."""
    importer = _catalogue.find("importers")["nezha"]
    culprit = importer.labels(archive, {})[0]["entity"]
    recording, equal = place / archive.name, place / "equal.json"
    import_(importer, archive, recording, {}, None)
    equal.write_text(equal_weights().model_dump_json())
    run = _replay(recording, Settings())
    named, plain = _named(run), _named(_replay(recording, Settings.model_validate({"diagnosis": {"weights": equal}})))
    print(f"{archive.name}: {named[0]} first (to blame: {culprit}), then {', '.join(named[1:3])}")
    print(f"  with equal weights: {', '.join(plain[:3])}")
    return {
        "culprit": culprit, "named": named, "equal_weights": plain, "digest": run.digest,
        "imbalance": imbalance(run.ledger),
    }  # fmt: skip


def _replay(recording: Path, settings: Settings) -> Run:
    return replay(Recording.open(recording).messages(), build(settings))


def _named(run: Run) -> list[str]:
    """Causes of the first incident, as `replay --json` orders them."""
    incidents = run.document()["incidents"]
    return [h["cause"]["entity"] for h in incidents[0]["hypotheses"]] if incidents else ["nobody"]


if __name__ == "__main__":
    main()
