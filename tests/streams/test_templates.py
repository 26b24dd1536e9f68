"""Log templates: what is one event, what is two, and what lines made to hurt cannot do."""

import hashlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import SnapshotError
from streams._templates import OTHER, Miner
from streams._templates_recent import ENTRIES, ENTRY_SIZE, SIZE
from streams._templates_skeleton import TOKENS, skeleton

ONE_EVENT = [
    ("Took 20.58 seconds to spawn the instance", "Took 3 ms to spawn the instance"),
    ("Failed password for root from 10.0.0.7 port 22", "Failed password for uucp from ns.example.org port 4711"),
    ("Invalid user webmaster from 10.1.1.1", "Invalid user PlcmSpIp from fe80::1:2:3"),
    ("sent 12 bytes to /var/lib/x", "sent 1260 bytes (1.2 KB) to /tmp/y/z.log"),
    ("replicas on 10.0.0.1:80, 10.0.0.2:80", "replicas on 10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80"),
    ("ready=true, policy=3, owner=ann", "ready=false, policy=14, owner='bob'"),
    ("started at Sat Jun 18 02:08:12 2005", "started at Mon Jul  4 12:00:00 2005"),
    ("closed blk_38865049064139660 after idle", "closed blk_-6952295868487656571 after idle"),
    ("fetched https://a.example/x?q=1 again", "fetched http://b.example:8080/ again"),
]
TWO_EVENTS = [
    ("VM Started (Lifecycle Event)", "VM Stopped (Lifecycle Event)"),
    ("task 7 moved from NEW to RUNNING", "task 7 moved from NEW to FAILED"),
    ("10.0.0.1 GET /v2/servers status: 200", "10.0.0.1 POST /v2/servers status: 200"),
    ("unable to open console", "unable to close console"),
    ("caused by java.io.net.IOException: gone", "caused by java.lang.net.OutOfMemoryError: gone"),
    ("call failed, error=java.lang.OutOfMemoryError", "call failed, error=java.net.ConnectException"),
    ('level=info msg="server started" port=80', 'level=error msg="server timed out" port=80'),
    ("job=nightly result=OK", "job=nightly result=FAILED"),
    ('{"level": "info", "took": 12}', '{"level": "warn", "took": 12}'),
]


@pytest.mark.parametrize(("first", "second"), ONE_EVENT)
def test_lines_that_differ_in_values_are_one_template(first: str, second: str):
    assert skeleton(first) == skeleton(second)
    miner = Miner()
    assert miner.key(first) == miner.key(second)


@pytest.mark.parametrize(("first", "second"), TWO_EVENTS)
def test_lines_that_differ_in_words_are_two(first: str, second: str):
    miner = Miner()
    assert miner.key(first) != miner.key(second)


def test_a_word_that_sixteen_templates_differ_in_is_a_value_from_then_on_and_no_key_changes():
    miner = Miner()
    words = [f"colour{chr(97 + i)}{chr(97 + j)}" for i in range(6) for j in range(6)]
    keys = miner.keys([f"painted the wall {word} today" for word in words])
    assert len(set(keys[:16])) == 16 and len(set(keys[16:])) == 1
    assert miner.keys([f"painted the wall {word} today" for word in words]) == keys


_WORDS = ("open", "shut", "A1", "b2c", "/x/y", "10.0.0.1", "k=v", "k=", "(", "]", "\x00", "\n", "é", "user", "9" * 30)
_LINES = st.lists(st.lists(st.sampled_from(_WORDS), max_size=8).map(" ".join) | st.text(max_size=60), max_size=40)


@given(_LINES, st.integers(0, 40))
def test_many_lines_at_once_are_keyed_as_line_by_line_and_as_after_a_restart(lines: list[str], cut: int):
    at_once, single, restarted = Miner(20), Miner(20), Miner(20)
    keys = at_once.keys(lines)
    assert keys == [single.key(line) for line in lines]
    before = restarted.keys(lines[:cut])
    document = json.loads(json.dumps(restarted.dump()))
    assert before + (other := Miner.load(document)).keys(lines[cut:]) == keys
    assert at_once.dump() == single.dump() == other.dump()


def test_a_snapshot_of_an_earlier_version_is_refused_with_a_sentence():
    with pytest.raises(SnapshotError, match="earlier version"):
        Miner.load({"limit": 1000, "templates": {}, "overflow": 0, "cache": {}})


def test_lines_with_fresh_identifiers_of_letters_are_reduced_once():
    miner = Miner()
    ids = [hashlib.sha256(str(n).encode()).hexdigest()[:12] for n in range(2000)]
    assert len(set(miner.keys([f"closed session {name} of 7f{name}-x" for name in ids]))) == 1
    assert len(miner._words.young) == 1


@given(st.permutations(["a 1", "b 2 x", "user bob in", "user 7 in", "from here", "x=1 y=2"]))
def test_the_order_of_lines_does_not_change_their_keys(lines: list[str]):
    keys = dict(zip(lines, Miner().keys(lines), strict=True))
    assert keys == {line: Miner().key(line) for line in lines}


def test_templates_beyond_the_limit_are_other_and_counted():
    miner = Miner(limit=5)
    keys = miner.keys(["x" * n for n in range(1, 9)] + ["x"])
    assert keys[5:8] == [OTHER] * 3 and keys[8] == keys[0] and miner.overflow == 3
    assert miner.key("x" * 8) == OTHER and miner.overflow == 4


def _letters(n: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in str(n))


def test_an_explosion_of_templates_and_shapes_stays_within_its_bounds():
    miner = Miner()
    for start in range(0, 30_000, 1000):
        miner.keys([f"{_letters(n)} {_letters(n * 7)} {_letters(n * 13)}" for n in range(start, start + 1000)])
    assert len(miner.templates) == 1000
    held = [part for recent in (miner._shapes, miner._words) for part in (recent.young, recent.old)]
    assert max(map(len, held)) == ENTRIES and len(miner._alike) <= 24_000


def test_the_cache_is_bounded_in_bytes_and_holds_no_very_long_shape():
    miner = Miner()
    miner.keys([f"{_letters(n)} {'y' * 1900}" for n in range(2000)] + ["z" * 1_000_000])
    held = [part for recent in (miner._shapes, miner._words) for part in (recent.young, recent.old)]
    assert max(sum(map(len, part)) for part in held) <= SIZE
    assert max(len(shape) for part in held for shape in part) <= ENTRY_SIZE


_PATTERNS = ("a", "-", "a.", "-a.", "a/", "/", "a-1", "1 ", "0:", "a@", "=", "='", '="', "[(", "\x00", "\\", "1,", "*")
_HURTING = [pattern * 200_000 for pattern in (*_PATTERNS, "a=", "://", "a://", "é", "< 1", "\x1f", "() ")]


@pytest.mark.parametrize("line", _HURTING, ids=lambda line: repr(line[:4]))
def test_no_line_costs_more_than_its_first_two_thousand_characters(line: str):
    begin = time.process_time()
    tokens = skeleton(line)
    assert time.process_time() - begin < 0.25 and len(tokens) <= TOKENS


@settings(max_examples=200)
@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_has_a_key_that_survives_a_snapshot(line: str):
    miner = Miner()
    key = miner.key(line)
    assert key and Miner.load(json.loads(json.dumps(miner.dump()))).key(line) == key
