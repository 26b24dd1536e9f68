"""CPU seconds a million points, from topics to anomalies: `python -m bench.throughput --json [--peers]`.

Ours are two rows a number of series: from our frames, and the whole way from OTLP. `--peers` adds what a user could
pick instead, fed with a message a point as its users write it, and fed with our frames. Needs Java, and Maven once.
Finished rows are kept in `.bench/`; the same command again goes on where it was cut, `--fresh` starts over.
"""

import argparse
import datetime
import json
import sys

from bench.throughput import _report, _rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="only the JSON line")
    options.add_argument("--peers", action="store_true", help="measure what a user could pick instead, too")
    options.add_argument("--points", type=int, default=10_000_000, help="points a row")
    options.add_argument("--quick", action="store_true", help="1,000,000 points, once, 1k and 10k series")
    options.add_argument("--series", default="", help="numbers of series, by default 1000,10000,100000")
    options.add_argument("--repeat", type=int, default=0, help="runs of each row; the median counts (3)")
    options.add_argument("--only", default="", help="systems: tidegate,loop,faust,quix,bytewax,flink")
    options.add_argument("--fresh", action="store_true", help="forget finished rows")
    options.add_argument("--write", action="store_true", help="keep the result in docs/results/throughput.md and .json")
    chosen = options.parse_args()
    points = 1_000_000 if chosen.quick else chosen.points
    series = [int(n) for n in (chosen.series or ("1000,10000" if chosen.quick else "1000,10000,100000")).split(",")]
    repeat = chosen.repeat or (1 if chosen.quick else 3)
    only = [name for name in chosen.only.split(",") if name]
    wanted = _rows.rows(series, points, with_peers=chosen.peers, only=only)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    rows = _rows.measure(wanted, repeat, fresh=chosen.fresh, say=say)
    result = {
        "bench": "throughput", "machine": _report.machine(), "commit": _report.commit(), "repeat": repeat,
        **_report.summary(rows), "rows": rows,
    }  # fmt: skip
    if not chosen.json:
        print(_report.table(rows))
    if chosen.write:
        command = " ".join(["python -m bench.throughput", *(a for a in sys.argv[1:] if a != "--write")])
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        _report.RESULTS.mkdir(exist_ok=True)
        (_report.RESULTS / "throughput.md").write_text(_report.page(rows, command, date, repeat))
        (_report.RESULTS / "throughput.json").write_text(
            json.dumps({"date": date, "command": command, **result}) + "\n"
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
