"""Falsified logs, forged approvals, and a million entries: `python -m bench.audit [--json]`.

Each of `tamperings` logs is falsified in one of the ways of `bench/_tampering.py` (by chance and by craft; the
falsifier holds every byte but not the signing key) and verified with one checkpoint that lay elsewhere. None of the
`approvals` attempts of each class in `bench/_forgery.py` may count, and right ones (a tenth as many) must; `http`
attempts of each go through the HTTP interface. A log of
`entries` is written to disk and verified by the code behind `tidegate audit verify`, on one core, and by the two
programs in `tools/audit-verify/`. Exit code 1 if anything was missed. Seconds are of CPU, so a busy machine says the
same.
"""

import argparse
import collections
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions import Frontier, Happening, Head, LogKey, TreeHead, append_entry, leaf_hash, sign_head, verify_log
from bench import _forgery, _forgery_http, _tampering
from schemas import canonical, sha256
from tidegate._audit_log import verify_place

ROOT = Path(__file__).resolve().parent.parent
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
READER = LogKey(_tampering.ORIGIN, KEY.public_key())
BUDGET_S = 60
_STATES = ("", "proposed", "gated", "approved", "reserved", "executing", "executed", "verifying", "succeeded")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tamperings", type=int, default=10_000)
    parser.add_argument("--approvals", type=int, default=10_000, help="of each class")
    parser.add_argument("--http", type=int, default=500, help="of each class, through the HTTP interface")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    document = {
        "tampering": tampering(told.tamperings, told.seed),
        "approvals": approvals(told.approvals, told.seed, _forgery.accepted, _forgery.control),
        "approvals_http": approvals(told.http, told.seed, _forgery_http.accepted, _forgery_http.control),
        "verify": big_log(told.entries),
    }
    document["is_right"] = (
        not document["tampering"]["missed"]
        and not any(any(document[name]["accepted"].values()) for name in ("approvals", "approvals_http"))
        and document["approvals"]["controls_refused"] == document["approvals_http"]["controls_refused"] == 0
        and document["verify"]["is_right"]
    )
    if told.out:
        told.out.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document) if told.json else json.dumps(document, indent=1))
    return 0 if document["is_right"] else 1


def tampering(tries: int, seed: int) -> dict[str, Any]:
    """Logs of 48 and 200 entries; how many falsified ones were said to hold."""
    rng = random.Random(seed)
    logs = [_tampering.honest(48, KEY), _tampering.honest(200, KEY, every=37)]
    ways: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    missed = []
    begun = time.process_time()
    for number in range(tries):
        log = logs[number % 2]
        way, found = _tampering.tampered(log, rng)
        report = verify_log(found.entries.splitlines(keepends=True), found.notes, READER, log.notes[-1:])
        ways[way] += 1
        reasons[report.reason or "OK"] += 1
        if report.ok:
            missed.append({"number": number, "way": way})
    honest = all(verify_log(log.lines, log.notes, READER, log.notes[-1:]).ok for log in logs)
    return {
        "tries": tries, "missed": missed, "honest_ok": honest, "ways": dict(sorted(ways.items())),
        "reasons": dict(sorted(reasons.items())), "cpu_s": round(time.process_time() - begun, 1),
    }  # fmt: skip


def approvals(
    tries: int, seed: int, accepted_by: Callable[[str, random.Random], bool], control: Callable[[random.Random], bool]
) -> dict[str, Any]:
    """How many attempts of each class counted, and how many right approvals did not."""
    rng = random.Random(seed)
    begun = time.process_time()
    accepted = {way: sum(accepted_by(way, rng) for _ in range(tries)) for way in _forgery.WAYS}
    controls = max(tries // 10, 1)
    refused = sum(not control(rng) for _ in range(controls))
    return {
        "tries_each": tries, "accepted": accepted, "controls": controls, "controls_refused": refused,
        "cpu_s": round(time.process_time() - begun, 1),
    }  # fmt: skip


def big_log(entries: int) -> dict[str, Any]:
    """A log of full-size entries on disk, verified by three programs."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "log"
        place.mkdir()
        write(place, entries)
        size = (place / "entries.jsonl").stat().st_size
        begun = time.process_time()
        report, _ = verify_place(place, READER)
        ours = time.process_time() - begun
        others = {name: _other(command, place) for name, command in _programs().items()}
    agree = all(row["ok"] and row["entries"] == entries for row in others.values())
    return {
        "entries": report.entries, "mib": round(size / 2**20, 1), "ok": report.ok, "cpu_s": round(ours, 1),
        "budget_s": BUDGET_S, "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "others": others, "is_right": report.ok and ours <= BUDGET_S and agree,
    }  # fmt: skip


def write(place: Path, entries: int) -> None:
    """As `AuditLog` writes it, without an fsync each."""
    head, tree, notes = Head(), Frontier(), []
    with (place / "entries.jsonl").open("wb") as file:
        for happening in _lives(entries):
            head, entry = append_entry(head, happening)
            tree.add(leaf_hash(entry))
            file.write(entry + b"\n")
            if head.size % 1000 == 0 or head.size == entries:
                notes.append(sign_head(TreeHead(READER.name, head.size, tree.root), KEY))
    lines = [canonical(note.model_dump(mode="json")) + b"\n" for note in notes]
    (place / "checkpoints.jsonl").write_bytes(b"".join(lines))
    (place / "key.vkey").write_text(READER.text + "\n")


def _lives(entries: int) -> Iterator[Happening]:
    policy, inputs = sha256(b"policy"), sha256(b"inputs")
    for n in range(entries):
        life, step = divmod(n, len(_STATES) - 1)
        action = f"0b64a1f2-8f5c-5d0e-9c55-{life:012d}"
        body = sha256(n.to_bytes(8, "big"))
        at_ns = 1_767_268_800_000_000_000 + n * 10**8
        yield Happening(action, _STATES[step], _STATES[step + 1], "worker-1", at_ns, policy, inputs, body)


def _programs() -> dict[str, list[str]]:
    tools = ROOT / "tools/audit-verify"
    found = {"python": [sys.executable, "-I", str(tools / "verify.py")]}
    if node := shutil.which("node"):
        found["node"] = [node, str(tools / "verify.mjs")]
    return found


def _other(command: list[str], place: Path) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, str(place), READER.text], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout) | {"cpu_s": round(spent, 1)}


if __name__ == "__main__":
    sys.exit(main())
