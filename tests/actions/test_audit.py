"""The audit log: what was written is found as it was written, and whatever was done to it is found."""

import hashlib
import random
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.actions import seal
from support.actions_world import run_world

from actions import (
    NOTHING,
    AuditInvalid,
    Frontier,
    Happening,
    Head,
    LogKey,
    Sealer,
    Tree,
    TreeHead,
    append_entry,
    body_digest,
    includes,
    is_consistent,
    leaf_hash,
    leaf_of,
    parse_entry,
    sign_head,
    verify_log,
)  # fmt: skip
from actions._ledger import Transaction
from actions._ledger_model import ModelLedger
from bench._tampering import NEEDS_ANCHOR, ORIGIN, WAYS, Log, honest, tampered, written
from schemas import canonical

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
READER = LogKey(ORIGIN, KEY.public_key())
LOG = honest(48, KEY)

# Inputs and roots of the tests of Certificate Transparency (RFC 6962), as they are published with its implementations.
CT_INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
leaves = st.lists(st.binary(max_size=8), min_size=1, max_size=40).map(lambda xs: [leaf_hash(x) for x in xs])


def root_of(hashes: list[bytes]) -> bytes:
    return Tree(hashes).root(len(hashes))


def found(log: Log, *, anchors: tuple[str, ...] = ()):
    return verify_log(log.entries.splitlines(keepends=True), log.notes, READER, anchors)


def test_roots_are_those_of_the_vectors_of_certificate_transparency():
    hashes = [leaf_hash(data) for data in CT_INPUTS]
    assert [root_of(hashes[: n + 1]).hex() for n in range(8)] == CT_ROOTS
    assert root_of([]) == hashlib.sha256(b"").digest()


@given(leaves, st.data())
@settings(max_examples=150, deadline=None)
def test_an_entry_is_proved_in_its_place_and_nowhere_else(hashes, data):
    index = data.draw(st.integers(0, len(hashes) - 1))
    other = data.draw(st.integers(-1, len(hashes) + 1))
    proof, root = Tree(hashes).inclusion_proof(index, len(hashes)), root_of(hashes)
    assert includes(hashes[index], index, len(hashes), proof, root)
    assert not includes(leaf_hash(b"another entry"), index, len(hashes), proof, root)
    assert (
        other == index
        or not includes(hashes[index], other, len(hashes), proof, root)
        or hashes.count(hashes[index]) > 1
    )
    assert not includes(hashes[index], index, len(hashes), [*proof, root], root)


@given(leaves, st.data())
@settings(max_examples=150, deadline=None)
def test_growth_is_proved_and_a_rewritten_beginning_is_not(hashes, data):
    old = data.draw(st.integers(0, len(hashes)))
    proof, root = Tree(hashes).consistency_proof(old, len(hashes)), root_of(hashes)
    assert is_consistent(old, len(hashes), root_of(hashes[:old]), root, proof)
    assert not is_consistent(old, len(hashes), leaf_hash(b"another root"), root, proof)
    assert not is_consistent(old, len(hashes), root_of(hashes[:old]), leaf_hash(b"another root"), proof) or old == 0
    assert not is_consistent(old, len(hashes), root_of(hashes[:old]), root, [*proof, root])


def test_an_honest_log_is_ok_down_to_the_last_entry():
    report = found(LOG)
    assert report.ok and report.entries == report.verified == report.anchored == 48 and report.reason is None


def test_an_entry_is_the_canonical_json_of_its_record_and_reads_back():
    head, entry = append_entry(Head(), Happening("a b/c", "", "proposed", "alice", 1_767_268_800_000_000_001))
    assert canonical(leaf_of(entry).model_dump(mode="json")) == entry
    assert head.prev == "sha256:" + leaf_hash(entry).hex() and leaf_of(entry).prev == NOTHING


@given(st.integers(0, 48 * 400), st.integers(0, 7))
@example(12_235, 0)
@settings(max_examples=300, deadline=None)
def test_any_flipped_bit_is_found_at_its_entry_or_where_none_comes_after_it_next_to_it(place, bit):
    data = bytearray(LOG.entries)
    place %= len(data)
    data[place] ^= 1 << bit
    report = found(LOG._replace(entries=bytes(data)))
    index = LOG.entries.count(b"\n", 0, place)
    assert report.verdict == "tampered"
    # The end has no entry after it, so only a root differs; of the last two nothing says which does not fit the other.
    assert report.first_bad == index or (index, report.first_bad) in ((47, 40), (46, 47))


def test_every_single_byte_of_a_small_log_and_its_checkpoints_counts():
    small = honest(4, KEY, every=2)
    for place in range(len(small.entries)):
        data = bytearray(small.entries)
        data[place] ^= 1
        assert not found(small._replace(entries=bytes(data))).ok
    for which, note in enumerate(small.notes):
        for place in range(len(note)):
            changed = note[:place] + chr(ord(note[place]) ^ 1) + note[place + 1 :]
            notes = (*small.notes[:which], changed, *small.notes[which + 1 :])
            assert found(small._replace(notes=notes)).reason == "CHECKPOINT_INVALID"


@pytest.mark.parametrize("way", sorted(WAYS.keys() - NEEDS_ANCHOR))
def test_tampering_is_found_without_any_anchor(way):
    rng = random.Random(way)
    assert [found(tampered(LOG, rng, way)[1]).ok for _ in range(25)] == [False] * 25


@pytest.mark.parametrize("way", sorted(NEEDS_ANCHOR))
def test_an_end_cut_off_with_its_checkpoints_is_found_by_an_anchor(way):
    rng = random.Random(way)
    assert [found(tampered(LOG, rng, way)[1], anchors=LOG.notes[-1:]).ok for _ in range(25)] == [False] * 25


def test_a_history_written_anew_with_the_right_key_is_found_by_an_anchor():
    other = honest(60, KEY)
    forged = written([Happening("", "", "key_revoked", "alice", 5)] * 60, KEY)
    assert found(forged).ok and found(forged, anchors=LOG.notes[-1:]).reason == "ROOT_DIFFERS"
    assert found(other, anchors=LOG.notes[-2:-1]).ok  # the same beginning, longer


def test_checkpoints_that_the_log_once_had_are_missed():
    thinned = LOG._replace(notes=(LOG.notes[0], LOG.notes[-1]))
    assert found(thinned).ok and found(thinned, anchors=LOG.notes[2:3]).reason == "CHECKPOINT_GONE"


def test_entries_after_the_last_checkpoint_are_said_to_be_unanchored():
    report = found(LOG._replace(notes=LOG.notes[:-1]))
    assert (report.verdict, report.first_bad, report.reason) == ("unanchored", 40, "UNANCHORED_TAIL")


def test_half_an_entry_at_the_end_is_incomplete_but_tampering_if_a_checkpoint_had_it():
    half = LOG._replace(entries=LOG.entries + b'{"action_id":"x')
    cut = LOG._replace(entries=LOG.entries[:-9])
    assert (found(half).verdict, found(half).reason) == ("incomplete", "TORN")
    assert (found(cut).verdict, found(cut).reason) == ("tampered", "CUT_OFF")


@pytest.mark.parametrize(
    "steps",
    [
        ("", "executing"),
        ("", "proposed", "gated", "executing"),
        ("", "proposed", "gated", "approved", "executing"),
        ("", "proposed", "gated", "denied", "approved"),
        ("", "proposed", "gated", "awaiting_approval", "reserved"),
        ("", "proposed", "gated", "approved", "reserved", "executing", "succeeded"),
        ("", "proposed", "gated", "something_else"),
        ("proposed", "gated"),
    ],
)
def test_a_life_that_no_honest_worker_has_is_found_though_every_hash_is_right(steps):
    life = [Happening("a", a, b, "worker", 1) for a, b in pairwise(steps)]
    assert found(written(life, KEY)).reason == "ILLEGAL"


def chained(*heads_and_happenings):
    """Entries with right hashes whose heads say something else than they should, signed."""
    lines, prev = [], NOTHING
    for size, at_ns, happening in heads_and_happenings:
        head, entry = append_entry(Head(size, prev, at_ns), happening)
        prev = head.prev
        lines.append(entry + b"\n")
    root = root_of([leaf_hash(line[:-1]) for line in lines])
    return Log(b"".join(lines), (sign_head(TreeHead(ORIGIN, len(lines), root), KEY).note,))


NOTE_A, NOTE_B = Happening("", "", "kill", "ada", 9), Happening("", "", "resume", "ada", 5)
BEGUN, DENIED = Happening("a", "", "proposed", "w", 1), Happening("a", "gated", "denied", "w", 1)
GATED = Happening("a", "proposed", "gated", "w", 1)
SIGNED_BUT_WRONG = {
    "a number is left out": ([(0, 0, NOTE_A), (2, 0, NOTE_A)], "INDEX"),
    "time goes back": ([(0, 0, NOTE_A), (1, 0, NOTE_B)], "TIME_WENT_BACK"),
    "an ended action begins again": ([(0, 0, BEGUN), (1, 0, GATED), (2, 0, DENIED), (3, 0, BEGUN)], "ILLEGAL"),
    "an action goes on from where it is not": ([(0, 0, BEGUN), (1, 0, GATED), (2, 0, GATED)], "ILLEGAL"),
}


@pytest.mark.parametrize("fault", SIGNED_BUT_WRONG)
def test_a_fault_of_the_writer_is_found_though_hashes_and_signatures_are_right(fault):
    entries, reason = SIGNED_BUT_WRONG[fault]
    assert found(chained(*entries)).reason == reason


def test_checkpoints_in_another_order_are_found():
    assert found(LOG._replace(notes=(LOG.notes[1], LOG.notes[0], *LOG.notes[2:]))).reason == "CHECKPOINT_ORDER"


def test_a_small_time_written_as_a_large_one_is_no_entry():
    _, entry = append_entry(Head(), Happening("", "", "kill", "ada", 2_000_000_000_000_000))
    with pytest.raises(AuditInvalid):
        parse_entry(entry.replace(b"2000000000000000", b'"2000000000000000"'))


@pytest.mark.parametrize("seed", range(6))
def test_what_the_ledger_seals_in_a_hostile_world_is_a_log_that_holds(seed):
    world, sealer = run_world(seed, ModelLedger(seal), _crashed, steps=300), Sealer("worker-1")
    before, lines, hashes = bytes(32), [], []
    for row in world.ledger.contents().leaves:
        entry, before = sealer(row.number, before, row.leaf[40:])  # the world's own seal puts 40 bytes before
        lines.append(entry + b"\n")
        hashes.append(before)
    note = sign_head(TreeHead(ORIGIN, len(lines), root_of(hashes)), KEY).note
    report = found(Log(b"".join(lines), (note,)))
    assert report.ok and report.entries > 50 and not world.wrong


def test_the_ledger_takes_the_sealer_and_keeps_a_log_that_holds():
    ledger, sealer = ModelLedger(Sealer("worker-1")), Sealer("worker-1")
    moves = [("proposed", "proposed", "PROPOSED"), ("proposed", "gated", "RULE"), ("gated", "denied", "RULE")]
    bodies = [
        canonical({"action": "a", "version": n, "from": old, "to": new, "reason": why, "at_ns": n, "plan": "", "x": n})
        for n, (old, new, why) in enumerate(moves, 1)
    ]
    ledger.submit(Transaction(at_ns=1, leaves=tuple(bodies)))
    ledger.commit()
    rows = ledger.contents().leaves
    assert rows[0].leaf == sealer(0, bytes(32), bodies[0])[0]
    report = verify_log([row.leaf + b"\n" for row in rows], (), READER)
    assert (report.reason, report.verified, report.open_actions) == ("UNANCHORED_TAIL", 3, 0)


@pytest.mark.parametrize(
    ("version", "reason", "from_state"), [(1, "PROPOSED", ""), (1, "RULE", "proposed"), (2, "PROPOSED", "proposed")]
)
def test_a_life_begins_with_the_first_move_that_proposes_and_nowhere_else(version, reason, from_state):
    told = {"action": "a", "version": version, "from": "proposed", "to": "proposed", "reason": reason, "at_ns": 1}
    entry, _ = Sealer("worker-1")(0, bytes(32), canonical(told | {"plan": ""}))
    assert leaf_of(entry).from_state == from_state


def _crashed(ledger):
    ledger.crash()
    return ledger


@pytest.mark.parametrize("body", [b"", b"{}", b'{"reason":1}', b"[1]", b"null"])
def test_what_is_no_move_is_not_sealed(body):
    with pytest.raises(AuditInvalid):
        Sealer("worker-1")(0, bytes(32), body)


@given(
    st.text(max_size=4) | st.sampled_from(['"', "\\", 'a","actor":"b', "\ud800", 1, None]),
    st.integers(max_value=10**18) | st.sampled_from([2**53 - 1, 2**53, True, 1.5]),
)
def test_an_entry_is_the_canonical_form_of_what_it_says_or_is_refused(actor, at_ns):
    head, what = Head(), Happening("a", "", "proposed", actor, at_ns)
    try:
        _, entry = append_entry(head, what)
    except AuditInvalid:
        assert (
            not isinstance(actor, str)
            or not actor.isascii()
            or set(actor) & set('"\\')
            or not actor.isprintable()
            or (type(at_ns) is not int)
        )
    else:
        assert entry == canonical(what._asdict() | {"at_ns": max(0, at_ns), "index": 0, "prev": NOTHING})


def test_the_first_entry_of_a_sealer_may_have_time_zero():
    told = canonical({"action": "a", "at_ns": 0, "from": "", "plan": "", "reason": "ORDER", "to": "kill", "version": 0})
    assert leaf_of(Sealer("worker-1")(0, bytes(32), told)[0]).at_ns == 0


def test_a_broken_chain_is_told_with_both_entries_that_do_not_fit():
    lines = LOG.lines
    lines[7] = lines[7].replace(parse_entry(lines[7][:-1]).prev, ("sha256:" + "f0" * 32).encode())
    report = found(LOG._replace(entries=b"".join(lines)))
    assert (report.reason, report.first_bad) == ("CHAIN", 7)
    assert "the hash of entry 6 is not the one that entry 7 has of it" in report.text


def test_a_last_line_that_is_longer_than_any_entry_is_malformed_and_a_short_one_was_torn():
    reasons = [found(LOG._replace(entries=LOG.entries + b"x" * size)).reason for size in (1501, 1500)]
    assert reasons == ["MALFORMED", "TORN"]


def test_a_clock_that_went_back_does_not_go_back_in_the_log():
    head, _ = append_entry(Head(), Happening("", "", "kill", "alice", 100))
    later, entry = append_entry(head, Happening("", "", "resume", "alice", 50))
    assert later.at_ns == leaf_of(entry).at_ns == 100


@pytest.mark.parametrize("bad", ['say "hi"', "back\\slash", "new\nline", "ümlaut", "x" * 301])
def test_an_entry_has_no_room_for_free_text(bad):
    with pytest.raises(AuditInvalid):
        append_entry(Head(), Happening(bad, "", "proposed", "worker", 1))
    with pytest.raises(AuditInvalid):
        append_entry(Head(), Happening("a", "", "proposed", "worker", 1, body_digest=bad))


def test_a_secret_in_a_body_is_not_in_the_entry_and_cannot_be_guessed_from_it():
    digest = body_digest(b"0123456789abcdef", {"password": "hunter2"})
    _, entry = append_entry(Head(), Happening("a", "", "proposed", "worker", 1, body_digest=digest))
    assert b"hunter2" not in entry
    assert body_digest(b"another salt of 16", {"password": "hunter2"}) != digest
    with pytest.raises(AuditInvalid):
        body_digest(b"short", {})


@given(st.binary(max_size=300))
def test_bytes_that_are_no_entry_are_refused_and_nothing_else_happens(data):
    with pytest.raises(AuditInvalid):
        parse_entry(data)


def test_a_tree_that_grows_has_the_root_of_a_tree_made_at_once():
    tree, hashes = Frontier(), [leaf_hash(bytes([n])) for n in range(200)]
    for n, leaf in enumerate(hashes, 1):
        tree.add(leaf)
        assert tree.root == root_of(hashes[:n])


@pytest.mark.parametrize(("at_ns", "text"), [(2**53 - 1, b"9007199254740991"), (2**53, b'"9007199254740992"')])
def test_a_time_has_one_form_on_each_side_of_what_a_number_can_say(at_ns, text):
    _, entry = append_entry(Head(), Happening("a", "", "proposed", "w", at_ns))
    assert b'"at_ns":' + text + b"," in entry and parse_entry(entry).at_ns == at_ns
    other = text.strip(b'"') if text.startswith(b'"') else b'"' + text + b'"'
    with pytest.raises(AuditInvalid, match="entry 0"):
        parse_entry(entry.replace(text, other))


def test_what_is_no_entry_is_named_by_its_place():
    for words, place in (((b"noise",), 0), ((b"noise", 7), 7)):
        with pytest.raises(AuditInvalid, match=f"entry {place}:"):
            parse_entry(*words)


def test_all_entries_are_counted_wherever_the_fault_is():
    lines = LOG.lines
    lines[7] = b"noise\n"
    report = found(LOG._replace(entries=b"".join(lines)))
    assert (report.reason, report.first_bad, report.verified, report.entries) == ("MALFORMED", 7, 7, 48)
    spoilt = found(LOG._replace(notes=("noise", *LOG.notes)))
    assert (spoilt.reason, spoilt.verified, spoilt.entries) == ("CHECKPOINT_INVALID", 0, 48)


def test_a_checkpoint_that_cannot_be_read_is_named_with_whose_it_is():
    assert "checkpoint 1 of the log: " in found(LOG._replace(notes=(LOG.notes[0], "noise"))).text
    assert "checkpoint 0 of an anchor: " in found(LOG, anchors=("noise",)).text


def test_a_checkpoint_over_no_entry_has_the_root_of_the_empty_tree():
    right, wrong = (sign_head(TreeHead(ORIGIN, 0, root), KEY).note for root in (Frontier().root, b"x" * 32))
    assert found(LOG._replace(notes=(right, *LOG.notes))).ok
    report = found(LOG._replace(notes=(wrong, *LOG.notes)))
    assert (report.reason, report.first_bad) == ("ROOT_DIFFERS", 0)


def test_a_log_that_was_stopped_in_its_first_entry_is_torn_and_nothing_is_missed():
    assert found(Log(b'{"action_id":"', ())).reason == "TORN"


def test_a_move_that_is_none_is_told_with_both_states():
    life = [Happening("a", a, b, "worker", 1) for a, b in pairwise(("", "proposed", "executing"))]
    assert found(written(life, KEY)).text == "entry 1: executing after 'proposed'"
