import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import RecordInvalid, SeriesDef
from streams._compact import Traits, numbers

NAMES = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ['},"unit":"', ',"denominator":null', '"', "\\", "\0", "ü", "a\nb"]
)
IDS = st.integers(0, 2**64 - 1).map(lambda i: f"{i:016x}")
DEFINITIONS = st.builds(
    SeriesDef, id=IDS, tenant=NAMES, entity_id=NAMES, service=NAMES, name=NAMES, unit=NAMES,
    labels=st.dictionaries(NAMES, NAMES, max_size=3), is_event=st.booleans(),
    denominator=st.none() | IDS | NAMES, lower=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip


@given(st.lists(DEFINITIONS, min_size=1, max_size=8))
def test_what_is_kept_of_a_definition_gives_it_back(definitions):
    traits = Traits()
    kept = [traits.compact(d.to_bytes()) for d in definitions]
    assert [SeriesDef.from_bytes(traits.text(one)) for one in kept] == definitions
    assert all(b"\n" not in traits.text(one) for one in kept)


@given(DEFINITIONS)
def test_the_same_definition_written_otherwise_is_kept_the_same(d):
    other = json.dumps(dict(reversed(d.model_dump(mode="json").items())), indent=1).encode()
    traits = Traits()
    assert traits.compact(d.to_bytes()) == traits.compact(other) == traits.compact(d.to_bytes())


def series(i, **traits):
    return SeriesDef(id=f"{i:016x}", entity_id=f"default/service/{i}", service=str(i), **{"name": "cpu", **traits})


def test_series_that_differ_in_place_labels_and_the_id_of_their_denominator_share_a_trait():
    traits = Traits()
    plain = [traits.compact(series(i, labels={"pod": str(i)}).to_bytes()) for i in range(9)]
    part = [traits.compact(series(i, denominator=f"{i + 99:016x}").to_bytes()) for i in range(9)]
    assert set(numbers(plain)) == {0} and set(numbers(part)) == {1}
    others = ({"name": "mem"}, {"unit": "s"}, {"kind": "count"}, {"lower": 0.0}, {"is_event": True}, {"trust": 2})
    assert len(set(numbers([traits.compact(series(1, **other).to_bytes()) for other in others]))) == len(others)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda text: text.replace(b'"labels":{}', b'"labels":{"a":1}'),
        lambda text: text.replace(b'"labels":{}', b'"labels":{"a":"b",}'),
        lambda text: text.replace(b'"entity_id":"default/service/1"', b'"entity_id":7'),
        lambda text: text.replace(b'"trust":1', b'"trust":9'),
        lambda text: text.replace(b"cpu", b"\xff"),
        lambda text: text.replace(b'"id":"0', b'"id":"x'),
    ],
)
def test_what_is_no_definition_is_refused_whether_its_trait_is_known_or_not(damage):
    for known in (False, True):
        traits = Traits()
        if known:
            traits.compact(series(1).to_bytes())
        with pytest.raises(RecordInvalid):
            traits.compact(damage(series(1).to_bytes()))


def test_a_definition_without_escapes_costs_a_hundred_and_some_bytes():
    definition = series(1, labels={"pod": "checkout-7d9f8b6c5d-x2k4p"})
    assert len(Traits().compact(definition.to_bytes())) < 160
