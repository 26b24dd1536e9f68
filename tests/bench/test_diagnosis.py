"""The bench of diagnosis on made incidents: any number of them, no traces, sets that were split, baselines by hand."""

import io
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest

from bench.diagnosis import _baselines, _model
from bench.diagnosis._fit import train
from bench.diagnosis._metrics import Table
from bench.diagnosis._score import crossed_set, trained_set
from bench.diagnosis._sets import Found, Incident, _merged, load
from bench.diagnosis._weak import LOSSES, weak
from diagnosis import History
from learning import Case
from schemas import Anomaly, Entity, EvidencePointer
from schemas.core import NS

_model_case = _model.case
KEYS = {
    "n", "chance_ac1", "ac1", "ac3", "avg5", "ci95_ac1", "ece", "brier", "gate_coverage", "gate_right", "specificity",
    "seconds_per_incident", "end_to_end", "leave_fault_type_out", "baselines",
}  # fmt: skip
AT = 1_700_000_000 * NS


def anomaly(service: str, number: int, p: float = 1e-9) -> Anomaly:
    entity = Entity(service=service, name=service).entity_id
    pointer = EvidencePointer(signal="metrics", subject="s", t_min_ns=AT, t_max_ns=AT + 60 * NS, sha256="0" * 64)
    return Anomaly(
        id=f"{service}{number}", entity_id=entity, service=service, series=f"{service}-cpu", name="cpu_usage",
        labels={}, signal="metrics", kind="metric", detector="made", start_ns=AT, end_ns=AT + 60 * NS, observed=9.0,
        expected=1.0, residual=8.0, unit="1", p_value=p, direction=1, count=1, pointer=pointer,
    )  # fmt: skip


def incident(number: int, anomalies: list[Anomaly] | None = None) -> Incident:
    shown = [anomaly("abc"[number % 3], number), anomaly("d", number, 1e-3)] if anomalies is None else anomalies
    family = "cpu" if number % 2 else "memory"
    return Incident("tvdiag_gaia", f"i{number}", "abc"[number % 3], family, AT, 4, shown, [], shown, 0.0, None, None)


@pytest.mark.parametrize("n", [1, 2, 12])
def test_any_number_of_incidents_has_every_figure_of_the_contract(n: int) -> None:
    found = Found([incident(i) for i in range(n)], [])
    figures, said, _, _ = crossed_set("tvdiag_gaia", found)
    assert figures.keys() | {"leave_fault_type_out"} >= KEYS and figures["n"] == len(said) == n
    assert figures["baselines"].keys() == set(_baselines.NAMES)


def test_an_incident_that_shows_nothing_is_named_wrongly_and_not_left_out() -> None:
    figures, _, _, _ = crossed_set("tvdiag_gaia", Found([incident(0, []), *(incident(i) for i in range(1, 9))], []))
    assert figures["n"] == 9 and figures["ac1"] == pytest.approx(8 / 9, abs=1e-4)


def test_a_set_that_was_never_seen_is_scored_by_what_was_fitted_on_another() -> None:
    one = train({"nezha_tt": Found([incident(i) for i in range(9)], [])}, ["changerca"])["changerca"]
    figures, _ = trained_set(Found([incident(20)], []), one.model, one.curve, one.without)
    assert figures.keys() >= KEYS and one.is_general and figures["leave_fault_type_out"]["ac1"] == 1


def test_one_incident_is_never_calibrated_on_itself() -> None:
    _, said, _, _ = crossed_set("tvdiag_gaia", Found([incident(1)], []))
    assert said[0][1] == 0


def test_an_incident_that_was_recorded_twice_is_judged_against_a_history_without_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, list[str]]] = []

    def case(one: Incident, history: History) -> Case:
        seen.append((one.id, history.record.fitted_on))
        return _model_case(one, history)

    monkeypatch.setattr(_model, "case", case)
    _model.fit([incident(i) for i in (*range(8), *range(8))], data="made")
    assert len(seen) == 16 and not [id for id, fitted_on in seen if id in fitted_on]


def test_a_lost_signal_is_counted_and_nothing_rises_wrongly_that_lost_all_it_had() -> None:
    rows = weak("tvdiag_gaia", [incident(i) for i in range(12)])
    assert rows.keys() == LOSSES.keys() and rows["logs"]["n"] == 0
    assert rows["metrics"]["n"] == 12 and rows["metrics"]["risen_wrongly"] == 0
    assert rows["metrics"]["confidence"][1] == 0 == rows["metrics"]["gate_coverage"][1]


def test_a_spread_of_rounding_is_no_spread_and_the_largest_deviation_in_units_of_the_spread_is_first() -> None:
    t = np.arange(-30, 4) * 60 * NS + AT
    steady, noisy = np.full(34, 0.1), np.sin(np.arange(34.0))
    steady[:30:2] += 1e-17
    steady[31:], noisy[31:] = 0.2, 9.0
    table = Table({("a", "rate"): (t, noisy), ("b", "rate"): (t, steady)})
    one = incident(0)._replace(set="nezha_tt", metrics=table)
    found = _baselines.ranks([one, one._replace(id="again")])
    assert found["baro"] == found["n_sigma"] == [1, 1]


def test_archives_of_one_folder_are_one_set(tmp_path: Path) -> None:
    for name, path in (("one", "rca_data/day/a.csv"), ("two", "rca_data/day/b.csv")):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(path), io.BytesIO(b""))
        (tmp_path / f"{name}.tar.xz").write_bytes(lzma.compress(raw.getvalue()))
    with _merged(sorted(tmp_path.glob("*.tar.xz")), []) as places:
        assert [sorted(f.name for f in place.rglob("*.csv")) for place in places] == [["a.csv", "b.csv"]]
    assert load("petshop", tmp_path) is None
