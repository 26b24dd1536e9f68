"""Mutation score of the modules that guard actions: `python -m tools.mutate [--only ledger] [--changed REF]`.

For each mutant a child is forked that finds the mutated module in place of the real one and runs the tests of its
group until one fails; nothing on the disk is changed. What was found is kept in `.mutation/`, by the text of module and
tests, so a run goes on where it was stopped; `--seconds` stops it by itself. All modules advance together and a larger
sample contains the smaller, so what is known is a fair sample at any time: `mutants` of `mutants_of_all`. A mutant that
takes five times the CPU of the tests is found, too, or one that hangs for ten minutes. Tests that start processes of
their own do not see a mutant and are left out. Mutants that nobody could tell from the real thing stand in
equivalent.txt with the reason, and are not run. Exit code 1 below `--least` percent.
"""

import argparse
import ast
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tools.mutate.mutants import Mutant, mutants_of, mutated

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".mutation"
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "gate": (
        ("_gateway", "_permit", "_gatekeeper"),
        (
            "tests/actions/test_gateway.py",
            "tests/actions/test_permit.py",
            "tests/actions/test_gatekeeper.py",
            "tests/actions/test_gatekeeper_answers.py",
        ),
    ),
    "ledger": (("_ledger_sql", "_ledger_model", "_ledger_sqlite"), ("tests/actions/test_ledger.py",)),
    "approvals": (
        ("_approvals", "_envelope", "_dsse", "_keyring", "_people", "_docket", "_webauthn"),
        ("tests/actions/test_approvals.py", "tests/actions/test_people.py", "tests/tidegate/test_approve.py"),
    ),
    "audit": (
        ("_audit", "_audit_verify", "_checkpoint", "_merkle", "_seal"),
        (
            "tests/actions/test_audit.py",
            "tests/actions/test_checkpoint.py",
            "tests/actions/test_merkle.py",
            "tests/tidegate/test_audit.py",
        ),
    ),
}
"""Group -> modules of `actions`, tests that are to notice."""
HUNG_S = 600
ROUND = 8
"""Mutants of each module before the next module has its turn."""
BLIND = "killed_at_any_point or programs or command_line"
"""Names of tests that look at other processes."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="groups, by comma")
    parser.add_argument("--module", default="", help="only modules whose name contains this")
    parser.add_argument("--changed", default="", metavar="REF", help="only mutants on lines that changed since REF")
    parser.add_argument("--sample", type=int, default=0, help="so many mutants of each module, by chance")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no mutant later than this")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--least", type=float, default=95.0)
    parser.add_argument("--out", type=Path, help="write the result to this file")
    told = parser.parse_args()
    wanted = [
        _Module(group, module, tests, told)
        for group, (modules, tests) in GROUPS.items()
        for module in modules
        if told.module in module and (not told.only or group in told.only.split(","))
    ]
    end_s = time.monotonic() + told.seconds
    most = max([1, *(len(one.mutants) for one in wanted)])
    for size in range(ROUND, most + ROUND, ROUND):
        for one in wanted:
            one.examine(size, end_s)
        document = _document([one.row() for one in wanted], told)
        if told.out:
            told.out.write_text(json.dumps(document, indent=1) + "\n")
        if time.monotonic() >= end_s:
            break
    for row in document["modules"]:
        print(json.dumps({name: row[name] for name in ("group", "module", "mutants", "found", "score")}))
    print(json.dumps({"score": document["score"], "mutants": document["mutants"], "found": document["found"]}))
    return 0 if document["score"] is None or document["score"] >= told.least else 1


def _document(rows: list[dict[str, Any]], told: argparse.Namespace) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    mutants, found = sum(row["mutants"] for row in rows), sum(row["found"] for row in rows)
    groups = {}
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        groups[group] = _score(sum(row["found"] for row in mine), sum(row["mutants"] for row in mine))
    return {
        "date": datetime.now(UTC).date().isoformat(), "commit": commit.strip(), "command": "python -m tools.mutate",
        "mutants_of_all": sum(row["mutants_of_all"] for row in rows), "mutants": mutants,
        "found": found, "score": _score(found, mutants), "groups": groups, "modules": rows,
    }  # fmt: skip


def _score(found: int, mutants: int) -> float | None:
    return round(100 * found / mutants, 1) if mutants else None


class _Module:
    """One module with its mutants in the order in which they are tried, and what is known of each."""

    def __init__(self, group: str, module: str, tests: Sequence[str], told: argparse.Namespace) -> None:
        self.group, self.module, self.at_once = group, module, told.at_once
        self.source = (ROOT / "actions" / f"{module}.py").read_text()
        self.tests = sorted(tests, key=lambda name: f"test{module}" not in name)
        same = _equivalent(module)
        mutants = [one for one in mutants_of(self.source) if (_line(self.source, one.line), one.what) not in same]
        if told.changed:
            lines = _changed_lines(f"actions/{module}.py", told.changed)
            mutants = [one for one in mutants if one.line in lines]
        self.of_all = len(mutants)
        random.Random(module).shuffle(mutants)
        self.mutants = mutants[: told.sample or None]
        self.kept = _Kept(module, self.source, self.tests)
        self._cpu_s = 0

    def examine(self, size: int, end_s: float) -> None:
        """The first so many mutants, those that are known already left out."""
        wanted = [one for one in self.mutants[:size] if one.number not in self.kept.found]
        if wanted and time.monotonic() < end_s:
            self._cpu_s = self._cpu_s or round(_baseline(self.module, self.tests) * 5 + 10)
            _run_all(self, wanted, self._cpu_s, end_s)

    def row(self) -> dict[str, Any]:
        known = sorted(one for one in self.mutants if one.number in self.kept.found)
        alive = [one for one in known if not self.kept.found[one.number]]
        survivors = [{"line": one.line, "what": one.what, "code": _line(self.source, one.line)} for one in alive]
        found = len(known) - len(alive)
        return {
            "group": self.group, "module": self.module, "mutants_of_all": self.of_all, "mutants": len(known),
            "found": found, "score": _score(found, len(known)), "survivors": survivors,
        }  # fmt: skip


def _line(source: str, line: int) -> str:
    return source.splitlines()[line - 1].strip()


def _equivalent(module: str) -> set[tuple[str, str]]:
    """Line of code and change. Raises SystemExit where a line says no reason."""
    found = set()
    for row in (Path(__file__).parent / "equivalent.txt").read_text().splitlines():
        if row and not row.startswith("#"):
            name, code, what, why = (part.strip() for part in row.split(" | "))
            if not why:
                raise SystemExit(f"equivalent.txt gives no reason: {row}")
            found |= {(code, what)} if name == module else set()
    return found


class _Kept:
    """What is known of a module's mutants; another text of module or tests is another file."""

    def __init__(self, module: str, source: str, tests: Sequence[str]) -> None:
        parts = [
            source,
            *((ROOT / name).read_text() for name in tests),
            (Path(__file__).parent / "mutants.py").read_text(),
        ]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
        KEPT.mkdir(exist_ok=True)
        self._file = KEPT / f"{module}-{digest}.jsonl"
        rows = self._file.read_text().splitlines() if self._file.exists() else []
        self.found: dict[int, bool] = {int(row["number"]): bool(row["found"]) for row in map(json.loads, rows)}

    def keep(self, mutant: Mutant, is_found: bool) -> None:
        self.found[mutant.number] = is_found
        with self._file.open("a") as file:
            file.write(json.dumps({**mutant._asdict(), "found": is_found}) + "\n")


def _baseline(module: str, tests: Sequence[str]) -> float:
    """CPU seconds that the tests take on the module as it is. Raises SystemExit if they fail."""
    _, status, used = os.wait4(_fork(module, None, tests, 3600), 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"the tests of {module} fail without any mutant: {' '.join(tests)}")
    return used.ru_utime + used.ru_stime


def _run_all(one: _Module, wanted: list[Mutant], cpu_s: int, end_s: float) -> None:
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = list(reversed(wanted))
    while waiting or running:
        while waiting and len(running) < one.at_once and time.monotonic() < end_s:
            mutant = waiting.pop()
            child = _fork(one.module, mutated(one.source, mutant.number), one.tests, cpu_s)
            running[child] = (mutant, time.monotonic())
        if not running:
            return
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            one.kept.keep(running.pop(pid)[0], os.waitstatus_to_exitcode(status) != 0)
            continue
        for child, (_, begun) in running.items():
            if time.monotonic() - begun > HUNG_S:
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)


def _fork(module: str, tree: ast.Module | None, tests: Sequence[str], cpu_s: int) -> int:
    """A child of its own group that runs the tests; its exit code is 0 if all of them pass."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    code = 1
    try:
        if tree is not None:
            sys.meta_path.insert(0, _InPlace(f"actions.{module}", compile(tree, f"actions/{module}.py", "exec")))
        code = _tests(tests)
    finally:
        os._exit(code)
    return 0


def _tests(tests: Sequence[str]) -> int:
    """File by file, so that most mutants cost the first alone."""
    import hypothesis
    import pytest

    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutate", database=None, derandomize=True, deadline=None, phases=phases)
    hypothesis.settings.load_profile("mutate")
    words = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--no-header",
        "--show-capture=no",
        "--tb=no",
        "-k",
        f"not ({BLIND})",
    ]
    for name in tests:
        code = int(pytest.main([*words, f"--basetemp=/tmp/tidegate-mutate-{os.getpid()}", name]))
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return code
    return 0


class _InPlace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module as the given code."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name, self._code = name, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


def _changed_lines(file: str, ref: str) -> set[int]:
    diff = subprocess.run(
        ["git", "diff", "-U0", ref, "--", file], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lines: set[int] = set()
    for start, count in re.findall(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", diff, re.MULTILINE):
        lines |= set(range(int(start), int(start) + int(count or 1)))
    return lines


def _warm() -> None:
    """What every child needs and no mutant changes, imported once."""
    for name in (
        "pytest", "hypothesis.stateful", "numpy", "pydantic", "cryptography.x509", "starlette.applications", "uvicorn",
        "jwt", "webauthn", "cbor2", "cel", "rich.console", "typer.testing", "yaml", "scipy.stats", "schemas", "streams",
        "detectors", "diagnosis", "learning",
    ):  # fmt: skip
        importlib.import_module(name)
    assert "actions" not in sys.modules, "what is mutated is imported by each child"


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    os.chdir(ROOT)
    _warm()
    sys.exit(main())
