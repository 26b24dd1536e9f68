"""Metric families that every process exports under the same names, whatever runs in it, and how rows become one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_BUFFERED = "buffered"  # goes down again, so it is a gauge
Rows = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the value."""


def counter(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, n in rows:
        family.add_metric(values, n)
    return family


def gauge(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, n in rows:
        family.add_metric(values, n)
    return family


Ledgers = Sequence[tuple[tuple[str, ...], Mapping[str, Mapping[str, int]], Mapping[str, int]]]
"""Label values of who counts, its ledger as `streams.report` names it, and records that it could not take, by code."""


def ledger_families(ledgers: Ledgers, labels: Sequence[str] = ()) -> Iterator[Metric]:
    """Both ledgers, and dead letters by reason. What one of several never counted is left out.

    labels: of who counts. Where tasks move between processes each needs a name: a sum over those that a process owns
    would jump when one moves in, and a rate of it would be a lie.
    """
    yield counter(
        "tidegate_messages", "Messages by state of the ledger.", (*labels, "state"),
        (((*who, state), n) for who, ledger, _ in ledgers for state, n in _counted(ledger["messages"], labels)),
    )  # fmt: skip
    rows = [((*who, kind, state), n) for who, ledger, _ in ledgers
            for kind in ("samples", "derived") for state, n in _counted(ledger[kind], labels)]  # fmt: skip
    yield counter(
        "tidegate_samples", "Samples by state of the ledger; derived ones come from logs and spans.",
        (*labels, "kind", "state"), (row for row in rows if row[0][-1] != _BUFFERED),
    )  # fmt: skip
    yield gauge(
        "tidegate_samples_buffered", "Samples in windows that are still open.", (*labels, "kind"),
        ((key[:-1], n) for key, n in rows if key[-1] == _BUFFERED),
    )  # fmt: skip
    reasons = [((*who, *name.split(":", 1)), n) for who, ledger, _ in ledgers for name, n in ledger["reasons"].items()]
    reasons += [((*who, "records.refused", code), n) for who, _, refused in ledgers for code, n in refused.items()]
    yield counter(
        "tidegate_dead_letters", "What became dead letters, by what it was and why.", (*labels, "what", "reason"),
        reasons,
    )  # fmt: skip


def source_family(active: int, idle: int) -> Metric:
    return gauge(
        "tidegate_sources", "Sources by whether they speak.", ("state",), [(("active",), active), (("idle",), idle)]
    )


def _counted(states: Mapping[str, int], labels: Sequence[str]) -> Iterable[tuple[str, int]]:
    return states.items() if any(states.values()) or not labels else ()
