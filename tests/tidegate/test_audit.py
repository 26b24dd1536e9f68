"""The audit log as files and as commands: durable, one writer, recovered after a crash, verified by three programs."""

import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from actions import AuditInvalid, Happening, read_checkpoint, sign_head
from bench._tampering import WAYS, Log, tampered
from schemas import AuditLeaf, Checkpoint, canonical
from tidegate._audit_log import AuditLog, body_of
from tidegate._errors import AuditLogError
from tidegate.cli import app

ROOT = Path(__file__).resolve().parents[2]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = "tidegate/test"
STATES = ("", "proposed", "gated", "approved", "reserved", "executing", "executed", "verifying", "succeeded")


def life(action: str, at_ns: int = 10**18) -> list[Happening]:
    return [Happening(action, a, b, "worker-1", at_ns) for a, b in pairwise(STATES)]


def opened(place: Path, **settings) -> AuditLog:
    return AuditLog(place, KEY, origin=ORIGIN, **settings)


@pytest.fixture
def log(tmp_path) -> Path:
    """Three actions, 24 entries, a checkpoint each ten and one at the end; one body with a secret."""
    with opened(tmp_path / "log", every=10) as writer:
        for n in range(3):
            for happening in life(f"action-{n}"):
                writer.append(happening)
    return tmp_path / "log"


def audit(*words: object) -> tuple[int, dict]:
    done = CliRunner().invoke(app, ["audit", *map(str, words), "--json"])
    return done.exit_code, json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout else {}


def verify(place: Path, *words: object) -> tuple[int, str | None]:
    code, document = audit("verify", "--log", place, *words)
    assert document["ok"] is (code == 0)
    return code, document["reason"]


def test_what_was_written_is_verified_with_the_keys_that_others_rely_on(log):
    code, document = audit("verify", "--log", log)
    assert code == 0 and {"entries", "ok", "first_bad", "reason", "seconds"} <= set(document)
    assert (document["entries"], document["ok"], document["first_bad"], document["reason"]) == (24, True, None, None)


def test_a_log_just_begun_is_vouched_for_and_one_that_is_not_there_is_an_error(tmp_path):
    opened(tmp_path / "new").close()
    assert verify(tmp_path / "new") == (0, None)
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", "audit", "verify", "--log", str(tmp_path / "no"), "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 3 and json.loads(done.stdout)["error"]["code"] == "AUDIT_LOG_UNUSABLE"


def test_a_log_is_gone_on_with_where_it_was(log):
    with opened(log) as writer:
        assert writer.head.size == 24
        writer.append(*life("action-9"))
    assert audit("verify", "--log", log)[1]["entries"] == 32


def test_the_end_is_unanchored_until_a_checkpoint_is_signed(log):
    writer = opened(log)
    writer.append(*life("action-9"))
    assert verify(log) == (4, "UNANCHORED_TAIL")
    writer.checkpoint()
    assert verify(log) == (0, None)
    writer.close()


def test_checkpoints_are_signed_by_number_and_by_time(tmp_path):
    with opened(tmp_path / "log", every=4, every_s=60) as writer:
        writer.append(*life("a", 1)[:3])
        writer.append(life("a", 2)[3])
        assert len((writer.place / "checkpoints.jsonl").read_text().splitlines()) == 2
        writer.append(life("a", 70 * 10**9)[4])
        assert len((writer.place / "checkpoints.jsonl").read_text().splitlines()) == 3


def test_only_one_process_writes(log):
    with opened(log), pytest.raises(AuditLogError, match="another process"):
        opened(log)


def test_a_crash_at_any_byte_leaves_a_log_that_goes_on_and_no_entry_that_was_acknowledged_is_lost(tmp_path, log):
    base = (log / "entries.jsonl").stat().st_size
    writer = opened(log)
    writer.append(*life("action-9")[:2])
    data = (log / "entries.jsonl").read_bytes()
    for cut in range(base, len(data) + 1, 23):
        place = tmp_path / f"cut-{cut}"
        shutil.copytree(log, place)
        (place / "entries.jsonl").write_bytes(data[:cut])
        with opened(place) as again:
            assert again.head.size == 24 + data[base:cut].count(b"\n")
        assert verify(place) == (0, None)
        torn = data[:cut].rpartition(b"\n")[2]
        assert b"".join(path.read_bytes() for path in place.glob("torn/entries*")) == torn
    writer.close()


def test_a_crash_within_a_checkpoint_costs_the_checkpoint_only(log):
    path = log / "checkpoints.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert verify(log) == (3, "CHECKPOINT_TORN")
    opened(log).close()
    assert verify(log) == (0, None)


def test_a_log_that_does_not_hold_is_not_gone_on_with(log):
    path = log / "entries.jsonl"
    path.write_bytes(path.read_bytes().replace(b"worker-1", b"worker-2", 1))
    with pytest.raises(AuditLogError, match="does not hold"):
        opened(log)


def test_another_key_does_not_go_on_with_a_log(log):
    with pytest.raises(AuditLogError, match="another key"):
        AuditLog(log, Ed25519PrivateKey.generate(), origin=ORIGIN)


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_writer_whose_disk_failed_writes_no_more_until_it_is_opened_again(log, monkeypatch, call):
    writer = opened(log)
    with monkeypatch.context() as patch:
        if call == "fsync":
            patch.setattr(os, "fsync", _full)
        else:
            patch.setattr(writer, "_entries", _Full(log))
        with pytest.raises(AuditLogError, match="No space"):
            writer.append(life("action-9")[0])
    with pytest.raises(AuditLogError, match="earlier write failed"):
        writer.append(life("action-9")[0])
    writer.close()
    opened(log).close()
    assert verify(log) == (0, None)


def _full(*_):
    raise OSError(28, "No space left on device")


class _Full:
    """A file that takes half of what it is given, once."""

    def __init__(self, log: Path) -> None:
        self.file, self.taken = (log / "entries.jsonl").open("ab", buffering=0), False

    def write(self, data: bytes) -> int:
        if self.taken:
            _full()
        self.taken = True
        return self.file.write(data[: len(data) // 2])

    def fileno(self) -> int:
        return self.file.fileno()

    def close(self) -> None:
        self.file.close()


def test_a_happening_that_has_no_place_is_refused_and_nothing_is_written(log):
    with opened(log) as writer, pytest.raises(AuditInvalid):
        writer.append(life("action-9")[0], Happening('say "x"', "", "proposed", "w", 1))
    assert audit("verify", "--log", log)[1]["entries"] == 24


def test_a_secret_lies_in_a_body_only_and_a_body_can_be_erased(log):
    with opened(log) as writer:
        digest = writer.keep({"evidence": ["password=hunter2"], "model": "ranker-7"})
        writer.append(life("action-9")[0]._replace(body_digest=digest))
    assert b"hunter2" not in (log / "entries.jsonl").read_bytes()
    assert body_of(log, digest) == {"evidence": ["password=hunter2"], "model": "ranker-7"}
    (path,) = (log / "bodies").glob("*.json")
    path.write_text(path.read_text().replace("hunter2", "hunter3"))
    assert audit("verify", "--log", log, "--bodies")[1]["reason"] == "BODY"
    path.unlink()
    assert verify(log, "--bodies") == (0, None) and body_of(log, digest) is None


def test_an_anchor_elsewhere_finds_what_the_log_alone_cannot_show(log, tmp_path):
    anchor = tmp_path / "anchor"
    assert audit("monitor", "--log", log, "--state", anchor)[0] == 0
    entries, notes = (log / "entries.jsonl").read_bytes(), (log / "checkpoints.jsonl").read_bytes()
    (log / "entries.jsonl").write_bytes(b"".join(entries.splitlines(keepends=True)[:10]))
    kept = [line for line in notes.splitlines(keepends=True) if json.loads(line)["size"] <= 10]
    (log / "checkpoints.jsonl").write_bytes(b"".join(kept))
    assert verify(log) == (0, None)
    assert verify(log, "--anchor", anchor) == (2, "CUT_OFF")
    assert audit("monitor", "--log", log, "--state", anchor)[0] == 2


def test_a_monitor_keeps_every_checkpoint_it_has_seen(log, tmp_path):
    state = tmp_path / "seen"
    for n in range(3):
        with opened(log) as writer:
            writer.append(*life(f"more-{n}"))
        assert audit("monitor", "--log", log, "--state", state)[0] == 0
    assert audit("verify", "--log", log, "--anchor", state)[1]["anchors"] == 3


def test_the_key_that_is_given_counts_and_not_the_one_in_the_log(log, tmp_path):
    given = (log / "key.vkey").read_text()
    shutil.rmtree(log)
    with AuditLog(log, Ed25519PrivateKey.generate(), origin=ORIGIN) as forged:
        forged.append(*life("action-1"))
    assert verify(log) == (0, None) and verify(log, "--key", given.strip()) == (2, "CHECKPOINT_INVALID")


def test_a_proof_holds_without_the_log_and_not_for_another_entry(log, tmp_path):
    out, key = tmp_path / "proof", (log / "key.vkey").read_text().strip()
    assert audit("prove", 13, "--log", log, "--out", out)[0] == 0
    assert audit("check", out, "--key", key) == (0, {"ok": True, "proofs": 1, "bad": []})
    proof = json.loads(out.read_text())
    other = json.loads((log / "entries.jsonl").read_text().splitlines()[14])
    for edit in ({"index": 14}, {"entry": canonical(other).decode()}, {"path": proof["path"][1:]}, {"path": 5}, {}):
        out.write_text(json.dumps(proof | edit if edit else {}) + "\n")
        assert audit("check", out, "--key", key)[0] == 2


def test_the_entries_of_one_action_are_handed_over_with_their_proofs(log, tmp_path):
    out = tmp_path / "export"
    assert audit("export", "--log", log, "--out", out, "--action", "action-1")[1]["entries"] == 8
    leaves = [AuditLeaf.model_validate_json(json.loads(row)["entry"]) for row in out.read_text().splitlines()]
    assert {leaf.action_id for leaf in leaves} == {"action-1"} and leaves[-1].to_state == "succeeded"
    assert audit("check", out, "--key", log / "key.vkey")[1]["ok"]


def test_growth_is_proved_between_any_two_sizes(log):
    for old, new in ((0, 24), (1, 2), (10, 23), (24, 24)):
        assert audit("consistency", old, new, "--log", log)[1]["ok"]


# The second verifiers: other programs, written from the document, of which nothing is shared.


def test_the_signature_in_plain_integers_is_that_of_rfc_8032():
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    other = python_verifier()
    assert other.is_signature(public, b"\x72", signature) and not other.is_signature(public, b"\x73", signature)


def python_verifier():
    spec = importlib.util.spec_from_file_location("verify", ROOT / "tools/audit-verify/verify.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stored(log: Log, place: Path) -> Path:
    """A log of the falsifier, as files; notes that are no checkpoints stay what they are."""
    place.mkdir()
    (place / "entries.jsonl").write_bytes(log.entries)
    rows = []
    for note in log.notes:
        origin, size, root, *_ = [*note.split("\n"), "", "", ""]
        number = int(size) if size.isdecimal() and size.isascii() else 0
        rows.append(canonical({"origin": origin, "size": number, "root": root, "note": note}) + b"\n")
    (place / "checkpoints.jsonl").write_bytes(b"".join(rows))
    return place


def seen(log: Path) -> Log:
    rows = (log / "checkpoints.jsonl").read_text().splitlines()
    return Log((log / "entries.jsonl").read_bytes(), tuple(json.loads(row)["note"] for row in rows))


@pytest.mark.parametrize("way", ["nothing", *WAYS])
def test_the_second_verifier_in_plain_python_agrees(way, log, tmp_path, capsys):
    rng, key = random.Random(way), (log / "key.vkey").read_text().strip()
    found = seen(log) if way == "nothing" else tampered(seen(log), rng, way)[1]
    place = stored(found, tmp_path / "falsified")
    ours = audit("verify", "--log", place, "--key", key)
    code = python_verifier().main([str(place), key])
    theirs = json.loads(capsys.readouterr().out)
    assert (code, theirs["ok"], theirs["reason"]) == (ours[0], ours[1]["ok"], ours[1]["reason"])
    assert theirs["root"] == ours[1]["root"] or not theirs["ok"]


def test_the_second_verifier_in_javascript_agrees(log, tmp_path):
    node = shutil.which("node")
    if node is None:
        if os.environ.get("TIDEGATE_REAL_TOOLS"):
            pytest.fail("Node.js is not here and TIDEGATE_REAL_TOOLS is set")
        pytest.skip("Node.js is not here")
    key = (log / "key.vkey").read_text().strip()
    for n, way in enumerate(["nothing", *WAYS]):
        found = seen(log) if way == "nothing" else tampered(seen(log), random.Random(n), way)[1]
        place = stored(found, tmp_path / f"falsified-{n}")
        ours = audit("verify", "--log", place, "--key", key)
        script = [node, str(ROOT / "tools/audit-verify/verify.mjs"), str(place), key]
        done = subprocess.run(script, capture_output=True, text=True, timeout=240)
        theirs = json.loads(done.stdout)
        assert (way, done.returncode, theirs["reason"]) == (way, ours[0], ours[1]["reason"])


def test_a_checkpoint_in_the_log_is_the_record_of_the_topic(log):
    last = Checkpoint.from_bytes((log / "checkpoints.jsonl").read_bytes().splitlines()[-1], strict=True)
    with opened(log) as writer:
        assert read_checkpoint(last, writer.key).size == 24
        assert sign_head(read_checkpoint(last, writer.key), KEY) == last
