"""Whether a decoder that is fed forever grows: `python -m bench.growth [--bodies 400000] [--remember 1000] [--write]`.

The damaged bodies of `bench.fuzz`, for the sources whose memory grew there. OTLP metrics and remote write remember the
definitions of series, a million at most; with few to remember, whatever grows is a leak. Memory (resident, after a full
collection) is looked at after every tenth. Each source in a process of its own.
"""

import argparse
import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import schemas as sc
from bench.fuzz import T, _mb, body, packed, seeds_of
from schemas.core import Message
from streams import SourceError
from streams._decoded import rendered
from tidegate import _catalogue

RESULT = Path(__file__).resolve().parents[1] / "docs/results/growth.json"
KINDS = ("otlp_metrics", "otlp_logs", "prometheus")


def limited(kind: str, remember: int) -> Any:
    """The source with its compiled decoder, which remembers so many definitions."""
    source = _catalogue.find("sources")[kind]
    if hasattr(source, "use_kernels"):
        source.use_kernels()
        source._fast._keys_max = remember
    if hasattr(source, "_definitions"):
        source._definitions._limit = remember
    return source


def grown(kind: str, bodies: int, remember: int) -> dict[str, Any]:
    """Resident memory in MB after each tenth of the bodies."""
    source, seeds, marks = limited(kind, remember), seeds_of(kind), list[float]()
    for n in range(bodies):
        data, headers = body(kind, n, seeds)
        value = packed(data) if kind == "prometheus" and n % 50 else data
        try:
            found = source.decode(Message(sc.RAW, 0, n, b"", value, headers, T, T))
            rendered(found.definitions, found.points.series.tolist())
        except SourceError:
            pass  # damaged as it should be; `bench.fuzz` counts the codes
        if (n + 1) % (bodies // 10) == 0:
            gc.collect()
            marks.append(round(_mb(), 1))
    return {"source": kind, "bodies": bodies, "remember": remember, "mb": marks}


def main() -> None:
    parser = argparse.ArgumentParser(description="memory of decoders that are fed forever")
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--bodies", type=int, default=400_000)
    parser.add_argument("--remember", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="keep it in docs/results, with what is there")
    parser.add_argument("--here", action="store_true", help="in this process, the first source only")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(grown(arguments.kinds[0], arguments.bodies, arguments.remember)))
        return
    rows = json.loads(RESULT.read_text())["rows"] if arguments.write and RESULT.exists() else []
    for kind in arguments.kinds:
        words = [kind, "--bodies", str(arguments.bodies), "--remember", str(arguments.remember), "--here"]
        command = [sys.executable, "-m", "bench.growth", *words]
        made = subprocess.run(command, check=True, capture_output=True, text=True)
        print(made.stdout.strip(), flush=True)
        row = json.loads(made.stdout.splitlines()[-1])
        key = ("source", "bodies", "remember")
        rows = [*(one for one in rows if [one[k] for k in key] != [row[k] for k in key]), row]
        if arguments.write:
            RESULT.write_text(json.dumps({"bench": "growth", "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
