"""Bodies that coverage leads to: `python -m bench.fuzz_guided [--runs 100000] [--seconds 300] [KIND ...]`.

libFuzzer, by way of atheris, keeps each body that reaches a branch of `streams` that none reached before, and changes
those on; so it finds what the blind mutations of `bench.fuzz` pass by. It begins with the same well-formed bodies and
splinters. The plain decoders are fuzzed, for only Python can be watched; the compiled ones are held to the same answers
elsewhere. A source may decode a body or raise SourceError; anything else ends the run of that source and is kept.
atheris lies in an environment of its own in `.bench/`, made with pip, and is no dependency of Tidegate. Kept in
docs/results/fuzz_guided.json; what was reached is found anew in each run.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "docs/results/fuzz_guided.json"
ATHERIS = "3.0.0"
MOST_BYTES = 4096
_FIGURES = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)(?: corp: (\d+))?", re.MULTILINE)
_CRASH = re.compile(r"Uncaught Python exception: ===\s*\n(.*)")


def interpreter() -> Path:
    """Python that has atheris. Raises CalledProcessError where it cannot be installed."""
    place = ROOT / ".bench" / f"atheris-{ATHERIS}-{sys.version_info.major}.{sys.version_info.minor}"
    python = place / "bin" / "python"
    if not (place / "made").exists():
        place.parent.mkdir(exist_ok=True)
        (place.parent / ".gitignore").write_text("*\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True, capture_output=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", f"atheris=={ATHERIS}"], check=True, capture_output=True
        )
        (place / "made").touch()
    return python


def fuzz(python: Path, kind: str, runs: int, seconds: int) -> dict[str, Any]:
    """One source: how often it was run, what of `streams` was reached, and the crash if there was one."""
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place) / "corpus"
        corpus.mkdir()
        environment = {
            **os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), sysconfig.get_paths()["purelib"])),
            "NUMBA_DISABLE_JIT": "1", "PYTHONHASHSEED": "0",
        }  # fmt: skip
        line = [
            str(python), "-m", "bench.fuzz_guided", "--target", kind, str(corpus), f"-runs={runs}",
            f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", "-seed=1", "-rss_limit_mb=1500", "-timeout=10",
            f"-artifact_prefix={place}/",
        ]  # fmt: skip
        begun = time.monotonic()
        done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, check=False)
        said = done.stderr.decode("utf-8", "replace") + done.stdout.decode("utf-8", "replace")
        figures = _FIGURES.findall(said)
        if not figures:
            raise RuntimeError(f"atheris did not run for {kind}: {said[-600:]}")
        first, last = figures[0], figures[-1]
        crash = next(
            (p for p in sorted(Path(place).iterdir()) if p.name.startswith(("crash-", "timeout-", "oom-"))), None
        )
        found: dict[str, Any] = {
            "executions": int(last[0]), "branches_of_seeds": int(first[1]), "branches": int(last[1]),
            "features": int(last[2]), "bodies_kept": int(last[3] or 0), "seconds": round(time.monotonic() - begun),
        }  # fmt: skip
        if crash is not None or done.returncode:
            told = _CRASH.search(said)
            shutil.copy(crash, ROOT / ".bench" / f"{kind}.{crash.name}") if crash is not None else None
            found["crash"] = {
                "what": told[1].strip()[:300] if told else said[-300:],
                "body": crash.read_bytes()[:200].hex() if crash is not None else "",
            }
        return found


def target(kind: str, arguments: list[str]) -> None:
    """Runs in the other interpreter; does not come back."""
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["streams", "schemas"]):
        import streams.sources  # noqa: F401
        from tidegate import _catalogue

        source = _catalogue.find("sources")[kind]
    import schemas as sc
    from bench.fuzz import SPLINTERS, T, packed, seeds_of
    from schemas.core import Message
    from streams import SourceError
    from streams._decoded import rendered

    if hasattr(source, "_points_until_fast"):
        source._points_until_fast = 0  # stay with what can be watched
    seeds = seeds_of(kind)
    headers = list(dict.fromkeys(headers for _, headers in seeds))
    for n, (body, with_headers) in enumerate(seeds):
        whole = bytes((headers.index(with_headers),)) + body
        (Path(arguments[0]) / f"seed-{n}").write_bytes(whole[:MOST_BYTES])
    for n, splinter in enumerate(SPLINTERS):
        (Path(arguments[0]) / f"splinter-{n}").write_bytes(b"\0" + splinter)

    def one(data: bytes) -> None:
        """The first byte chooses the headers."""
        value = packed(data[1:]) if kind == "prometheus" else data[1:]
        message = Message(sc.RAW, 0, 0, b"", value, headers[(data[0] if data else 0) % len(headers)], T, T)
        try:
            found = source.decode(message)
            rendered(found.definitions, found.points.series.tolist())
        except SourceError:
            return

    atheris.enabled_hooks.add("str")
    atheris.enabled_hooks.add("RegEx")
    atheris.Setup([sys.argv[0], *arguments[1:], arguments[0]], one)
    atheris.Fuzz()


def main() -> None:
    if sys.argv[1:2] == ["--target"]:
        target(sys.argv[2], sys.argv[3:])
        return
    from tidegate import _catalogue

    parser = argparse.ArgumentParser(description="coverage-guided bodies for every source")
    parser.add_argument("kinds", nargs="*", help="sources; all that have not been run often enough if none")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=600, help="at most so long for one source")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    kept: dict[str, Any] = {"bench": "fuzz_guided", "sources": {}}
    if arguments.out.exists():
        kept = json.loads(arguments.out.read_text())
    kept["atheris"], python = ATHERIS, interpreter()
    for kind in arguments.kinds or list(_catalogue.find("sources")):
        if not arguments.kinds and kept["sources"].get(kind, {}).get("executions", 0) >= arguments.runs:
            continue
        state = kept["sources"][kind] = fuzz(python, kind, arguments.runs, arguments.seconds)
        arguments.out.write_text(json.dumps(kept, indent=1) + "\n")
        reached = f"{state['branches']:,} branches ({state['branches_of_seeds']:,} by the seeds)"
        ended = "CRASH" if "crash" in state else "no crash"
        print(f"{kind:18} {state['executions']:>9,} executions, {reached}, {ended}")


if __name__ == "__main__":
    main()
