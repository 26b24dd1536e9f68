"""An instance that another replaced leaves no gap but a succession; one that nobody replaced leaves its gaps."""

import random

import numpy as np
import pytest

import schemas as sc
from schemas.core import NS
from streams import PANE_NS, Windower, WindowState
from streams._split import part_of_windows
from streams._successors import Successors

START = 1_767_225_600 * NS
METRICS = ("cpu", "memory")
HOUR = 3600


def defined(pod, metric, service="cart"):
    entity = f"default/instance/{service}/{pod}"
    number = sc.series_id("default", entity, metric, {})
    return number, sc.SeriesDef(id=f"{number:016x}", entity_id=entity, service=service, name=metric)


def life(pod, begin, end, step=10, metrics=METRICS, service="cart"):
    """(second, series, definition) of each sample of a pod that speaks from `begin` to `end`, both in seconds."""
    made = [defined(pod, metric, service) for metric in metrics]
    return [(at, *one) for at in range(begin, end, step) for one in made]


def told(*lives, until=HOUR, chunk=60, fast=False, cut=None, shuffle=None):
    """Gaps as (pod, second) and successions as (pod, its aliases, second), with time told every `chunk` seconds."""
    windower, state, gaps, successions = Windower("test"), WindowState(), [], []
    state.covered.add("metrics", START, START + 2 * until * NS)
    if fast:
        windower.use_kernels()
    rows = sorted((row for one in lives for row in one), key=lambda row: (row[0], row[1]))
    if shuffle:
        shuffle.shuffle(rows)
    for start in range(0, until, chunk):
        mine = [row for row in rows if start <= row[0] < start + chunk]
        if mine:
            at, series, defs = zip(*mine, strict=True)
            t, ids = START + np.array(at, np.int64) * NS, np.array(series, np.uint64)
            windower.add(state, sc.Frame(ids, t, np.ones(len(t)), sc.SeriesDefs.of(list(defs))))
        for _ in windower.close(state, START + (start + chunk) * NS):
            pass
        found = [gap for gap in windower.gaps(state) if not gap.is_over]
        gaps += [(_pod(gap.entity_id), (gap.until_ns - START) // NS) for gap in found]
        successions += [
            (_pod(one.entity_id), [_pod(alias) for alias in one.aliases], (one.at_ns - START) // NS)
            for one in windower.successions(state)
        ]
        if cut is not None and start < cut <= start + chunk:
            state = WindowState.load(state.dump())
    return sorted(set(gaps)), successions


def _pod(entity):
    return entity.rsplit("/", 1)[-1]


def pod(n, release="7d9f8b6c5d"):
    return f"cart-{release}-x2k4{n}"


ROLLING = [
    *(life(pod(n), 0, 900 + 90 * n) for n in (2, 4, 5)),
    *(life(pod(n, "5b6c7d8e9f"), 860 + 90 * n, HOUR) for n in (2, 4, 5)),
]


def test_a_rolling_deploy_of_three_pods_leaves_three_successions_and_no_gap():
    gaps, successions = told(*ROLLING)
    assert gaps == []
    assert [(old, new) for old, new, _ in successions] == [(pod(n), [pod(n, "5b6c7d8e9f")]) for n in (2, 4, 5)]


def test_a_pod_that_is_taken_away_leaves_its_gaps():
    gaps, successions = told(life(pod(2), 0, 900), life(pod(4), 0, HOUR))
    assert gaps == [(pod(2), 920)] and successions == []


def test_what_begins_minutes_after_the_gap_was_said_is_a_successor_all_the_same():
    gaps, successions = told(life("a1", 0, 900), life("b1", 1100, HOUR))
    assert gaps == [("a1", 920)] and successions == [("a1", ["b1"], 1110)]


def test_what_begins_long_after_is_no_successor():
    assert told(life("a1", 0, 900), life("b1", 1300, HOUR)) == ([("a1", 920)], [])


def test_a_crash_loop_is_no_row_of_successions():
    gaps, successions = told(*(life(f"run-{n}", 600 + 90 * n, 660 + 90 * n) for n in range(6)), life("other", 0, HOUR))
    assert [name for name, _ in gaps] == [f"run-{n}" for n in range(6)] and successions == []


def test_pods_that_are_first_heard_when_all_are_succeed_nobody():
    gaps, successions = told(life(pod(2), 0, 100), life(pod(4), 20, HOUR), life(pod(5), 60, HOUR))
    assert gaps == [(pod(2), 120)] and successions == []


def test_two_that_go_at_once_are_succeeded_by_either_of_two_that_come():
    gaps, successions = told(
        life("a1", 0, 900), life("a2", 0, 900), life("b1", 870, HOUR), life("b2", 870, HOUR)
    )  # fmt: skip
    assert gaps == []
    assert successions == [("a1", ["b1", "b2"], 920), ("a2", ["b1", "b2"], 920)]


def test_of_two_that_go_and_one_that_comes_one_is_a_loss():
    gaps, successions = told(life("a1", 0, 890), life("a2", 0, 900), life("b1", 870, HOUR))
    assert gaps == [("a2", 920)] and successions == [("a1", ["b1"], 910)]


def test_one_that_came_takes_the_place_of_one_only():
    gaps, successions = told(life("a1", 0, 900), life("a2", 0, 1100), life("b1", 950, HOUR))
    assert ("a2", 1120) in gaps and [old for old, _, _ in successions] == ["a1"]


def test_a_pod_of_another_owner_or_service_is_no_successor():
    worker = "worker-7d9f8b6c5d-x2k42"
    gaps, successions = told(life(pod(2), 0, 900), life(worker, 870, HOUR), life(pod(4), 870, HOUR, service="shop"))
    assert gaps == [(pod(2), 920)] and successions == []


def test_a_stateful_pod_that_comes_back_under_its_name_has_no_successor():
    gaps, successions = told(life("db-0", 0, 900), life("db-0", 1000, HOUR), life("db-1", 0, HOUR))
    assert gaps == [("db-0", 920)] and successions == []


def test_a_series_that_falls_silent_while_its_instance_speaks_is_a_gap_however_many_come():
    gaps, successions = told(
        life("a1", 0, HOUR), life("a1", 0, 900, metrics=("queue",)), life("b1", 870, HOUR)
    )  # fmt: skip
    assert gaps == [("a1", 930)] and successions == []  # held for a pane: a1 might have been replaced


def test_a_slow_series_of_a_replaced_pod_is_no_gap_either():
    old = [life("a1", 0, 900), life("a1", 0, 900, step=60, metrics=("disk",))]
    gaps, successions = told(*old, life("b1", 870, HOUR))
    assert gaps == [] and [(was, now) for was, now, _ in successions] == [("a1", ["b1"])]


def test_who_falls_silent_at_once_with_its_would_be_successor_has_none():
    gaps, successions = told(life("a1", 0, 900), life("b1", 870, 890), life("c1", 0, HOUR))
    assert ("a1", 920) in gaps and successions == []


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("chunk", [10, 90, 600, 3600])
def test_the_answer_depends_neither_on_the_pace_nor_on_the_order_nor_on_a_restart(chunk, fast):
    lives = [*ROLLING, life("a1", 0, 1500), life("a1", 0, 1500, step=60, metrics=("disk",)), life("b1", 1450, 2000)]
    wanted = told(*lives)
    assert told(*lives, chunk=chunk, fast=fast, shuffle=random.Random(chunk)) == wanted
    assert all(told(*lives, chunk=10, cut=cut) == wanted for cut in (1080, 1130, 1200, 1510, 1530, 1600, 1700))


def test_a_succession_says_since_when_and_survives_its_record():
    windower, state = Windower("test"), WindowState()
    state.covered.add("metrics", START, START + HOUR * NS)
    for at, series, d in sorted([*life("a1", 0, 900), *life("b1", 875, 1000)], key=lambda row: row[0]):
        one = sc.Frame(np.array([series], np.uint64), np.array([START + at * NS]), np.ones(1), sc.SeriesDefs.of([d]))
        windower.add(state, one)
    list(windower.close(state, START + 1000 * NS))
    (found,) = windower.successions(state)
    assert (found.last_ns, found.began_ns) == (START + 890 * NS, START + 870 * NS)
    assert sc.Succession.from_bytes(found.to_bytes()) == found and found.began_ns % PANE_NS == 0


def test_from_a_snapshot_of_before_instances_were_known_they_are_grown_and_nobody_is_fresh():
    windower, state = Windower("test"), WindowState()
    at, series, defs = zip(*life("a1", 0, 60), strict=True)
    t = START + np.array(at, np.int64) * NS
    windower.add(state, sc.Frame(np.array(series, np.uint64), t, np.ones(len(t)), sc.SeriesDefs.of(list(defs))))
    list(windower.close(state, START + 60 * NS))
    found = Successors.load(state.registry, None)
    assert found.instances == state.successors.instances and found.born_ns == [0] and not found.fresh
    assert Successors.load(state.registry, state.successors.dump()).dump() == state.successors.dump()


def test_when_shards_move_each_part_goes_on_with_its_instances():
    """Two services, both in the middle of a deploy; the parts say together what the whole would have said."""
    windower, state = Windower("test"), WindowState()
    state.covered.add("metrics", START, START + HOUR * NS)
    rows = [
        row
        for s in ("a", "b")
        for p, at in (("old", (0, 900)), ("new", (870, 1500)))
        for row in life(p, *at, service=s)
    ]
    rows += [*life("slow", 0, 900, service="a"), *life("slow", 0, 900, step=60, metrics=("disk",), service="a")]

    def play(state, first, last):
        mine = [row for row in rows if first <= row[0] < last and row[2].service in services]
        at, ids, defs = zip(*mine, strict=True)
        t = START + np.array(at, np.int64) * NS
        windower.add(state, sc.Frame(np.array(ids, np.uint64), t, np.ones(len(t)), sc.SeriesDefs.of(list(defs))))
        list(windower.close(state, START + last * NS))
        gaps = {(gap.series, gap.until_ns) for gap in windower.gaps(state)}
        return gaps | {(one.entity_id, one.at_ns) for one in windower.successions(state)}

    services = ("a", "b")
    assert play(state, 0, 910) == set()
    parts = {s: part_of_windows(state, lambda d, s=s: d.service == s, is_first=s == "a") for s in services}
    whole, found = play(state, 910, 1500), set()
    for name, part in parts.items():
        services = (name,)
        found |= play(part, 910, 1500)
    assert found == whole and len(whole) >= 4


def test_a_thousand_instances_are_not_all_remembered_as_fresh():
    windower, state = Windower("test"), WindowState()
    rows = [row for n in range(1000) for row in life(f"run-{n}", 10 * n, 10 * n + 10, metrics=("cpu",))]
    at, series, defs = zip(*rows, strict=True)
    t = START + np.array(at, np.int64) * NS
    windower.add(state, sc.Frame(np.array(series, np.uint64), t, np.ones(len(t)), sc.SeriesDefs.of(list(defs))))
    list(windower.close(state, START + 10_100 * NS))
    assert len(state.successors.instances) == 1000
    assert sum(map(len, state.successors.fresh.values())) <= 64


def test_a_gap_says_how_many_series_of_its_service_still_speak_and_its_end_is_said():
    windower, state, found = Windower("test"), WindowState(), []
    series = [
        sc.SeriesDef(id=f"{n:016x}", entity_id=entity, service=entity.split("/")[2], name=name)
        for n, (entity, name) in enumerate(
            [("default/service/cart", "a"), ("default/service/cart", "b"), ("default/service/pay", "a")], 1
        )
    ]  # fmt: skip
    traced = sc.SeriesDef(
        id=f"{4:016x}", entity_id="default/service/pay", service="pay", name="span.duration.mean", signal="traces"
    )
    series.append(traced)  # it speaks all the time, and is no metric
    spoke = [(1, 0, 600), (2, 0, HOUR), (3, 0, 600), (3, 1200, HOUR), (4, 0, HOUR)]
    rows = sorted((START + s * NS, n) for n, begin, end in spoke for s in range(begin, end, 10))
    t, ids = np.array([at for at, _ in rows]), np.array([n for _, n in rows], np.uint64)
    frame = sc.encode_frame(ids, t, np.ones(len(t)), shards=np.zeros(len(t), np.int64), defs=series)
    windower.add(state, sc.decode_frame(frame))
    for _ in windower.close(state, START + HOUR * NS):
        found += windower.gaps(state)
    found += windower.gaps(state)
    said = [(gap.entity_id.split("/")[2], (gap.until_ns - START) // NS, gap.heard, gap.is_over) for gap in found]
    assert sorted(said) == [("cart", 620, 1, False), ("pay", 620, 0, False), ("pay", 1210, 0, True)]


def test_an_heir_goes_on_with_the_series_that_differs_in_nothing_but_the_instance():
    """Labels that repeat the name of the pod are no difference; other labels are, and what has no counterpart ends."""
    windower, state, heirs = Windower("test"), WindowState(), []
    lives = [(pod(2), 0, 900), (pod(4), 870, HOUR)]
    rows, names = [], {}
    for name, begin, end in lives:
        entity = f"default/instance/cart/{name}"
        for metric, labels in (
            ("cpu", {"pod": name}), ("disk", {"path": "/a"}), ("disk", {"path": "/b"}), (f"own_{name[-5:]}", {}),
        ):  # fmt: skip
            number = sc.series_id("default", entity, metric, labels)
            names[number] = (name, metric, labels.get("path", ""))
            made = sc.SeriesDef(id=f"{number:016x}", entity_id=entity, service="cart", name=metric, labels=labels)
            rows += [(second, number, made) for second in range(begin, end, 10)]
    rows.sort(key=lambda row: row[:2])
    at, series, defs = zip(*rows, strict=True)
    t, ids = START + np.array(at, np.int64) * NS, np.array(series, np.uint64)
    windower.add(state, sc.Frame(ids, t, np.ones(len(t)), sc.SeriesDefs.of(list(defs))))
    for _ in windower.close(state, START + HOUR * NS):
        heirs += windower.heirs(state)
    heirs += windower.heirs(state)
    number_of = state.registry.ids().tolist()
    found = {(names[number_of[old]], names[number_of[new]]) for old, new in heirs}
    kept = [("cpu", ""), ("disk", "/a"), ("disk", "/b")]
    assert found == {((pod(2), *what), (pod(4), *what)) for what in kept} and windower.heirs(state) == []
