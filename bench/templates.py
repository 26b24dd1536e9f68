"""Log templates alone: `python -m bench.templates --data PATH [--json] [--lines N]`; see `bench.detection.loghub2k`.

PATH is a folder `loghub2k`, its parent, or a folder of systems; the keys are those of `bench.detection`.
"""

import argparse
import json
from pathlib import Path

from bench.detection import loghub2k
from bench.detection._lines import LINES


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.templates", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--lines", type=int, default=LINES, help="lines that speed is measured on")
    chosen = parser.parse_args()
    inner = chosen.data / "loghub2k"
    found = loghub2k.measure(inner if inner.is_dir() else chosen.data, lines=chosen.lines)
    if not chosen.json:
        print(*loghub2k.table(found), sep="\n")
    print(json.dumps({"loghub2k": found}))


if __name__ == "__main__":
    main()
