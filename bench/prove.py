"""Real incidents: the two packed ones through import and replay with one setting, and all 45 leave-one-out.

`python -m bench.prove --data D`. Fails if a culprit is not named first, if the weights have seen what they are tried
on, or if the data is absent while CI=true.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from bench.diagnosis import ARCHIVE, FIXED, load, score, show
from diagnosis import equal_weights
from streams import Recording, imbalance, import_
from tidegate import _catalogue
from tidegate._pipeline import build, load_weights
from tidegate._replay import Run, replay
from tidegate._settings import Settings

EXPECTED = {"tt-travel-exception": "ts-travel-service", "tt-network-delay": "ts-verification-code-service"}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path())
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    packed = chosen.data / "incidents"
    if not packed.is_dir() or not (chosen.data / ARCHIVE).exists():
        sentence = f"{chosen.data} holds no incidents/ and {ARCHIVE}: see docs/proofs.md for where to get them."
        if os.environ.get("CI") == "true":
            sys.exit(sentence)
        print(f"not proved: {sentence}")
        return
    seen = set(load_weights(None).fitted_on) & set(FIXED)
    failed = [f"the shipped weights were fitted on {sorted(seen)}"] if seen else []
    document: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as place:
        equal = Path(place) / "equal.json"
        equal.write_text(equal_weights().model_dump_json())
        for name, culprit in EXPECTED.items():
            recording = Path(place) / name
            import_(_catalogue.find("importers")["nezha"], packed / f"{name}.tar.xz", recording, {}, None)
            run = _replay(recording, Settings())
            plain = _replay(recording, Settings.model_validate({"diagnosis": {"weights": equal}}))
            named = _named(run)
            document[name] = {"named": named, "expected": culprit, "equal_weights": _named(plain), "digest": run.digest}
            print(f"{name}: {named[0]} first (expected {culprit}), then {', '.join(named[1:3])}")
            print(f"  with equal weights: {', '.join(_named(plain)[:3])}")
            if named[0] != culprit:
                failed.append(f"{name}: {named[0]} is named, {culprit} was to blame")
            if imbalance(run.ledger):
                failed.append(f"{name}: {imbalance(run.ledger)}")
    document["nezha_tt"] = found = score(load(chosen.data / ARCHIVE))
    show(found)
    print(json.dumps(document))
    if failed:
        sys.exit("; ".join(failed))


def _replay(recording: Path, settings: Settings) -> Run:
    return replay(Recording.open(recording).messages(), build(settings))


def _named(run: Run) -> list[str]:
    """Causes of the first incident, as `replay --json` orders them."""
    incidents = run.document()["incidents"]
    return [h["cause"]["entity"] for h in incidents[0]["hypotheses"]] if incidents else ["nobody"]


if __name__ == "__main__":
    main()
