"""The page of a look: one HTML file without anything from elsewhere, to be read in a minute and sent to a colleague.

What is said is escaped, because names come from the telemetry of others. Bars lie on one line a day, so that habits
show: what comes every night stands below what came the night before.
"""

from datetime import UTC, datetime
from html import escape

from schemas.core import NS
from tidegate._instances import Silent, short
from tidegate._look import Found, Look
from tidegate._look_read import Raised

_DAY_NS = 86_400 * NS
_WIDTH, _ROW = 960, 22
_MOST_ROWS = 200
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:1060px;margin:2em auto;padding:0 1em;color:#1c2733}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.3em .6em;border-bottom:1px solid #e3e8ee;vertical-align:top}
.n{font-size:1.9em;font-weight:600}.k{display:inline-block;margin:0 2.2em .6em 0}.k span{display:block;color:#5b6b7b}
.q{color:#5b6b7b}svg{width:100%;height:auto}code{background:#f1f4f7;padding:0 .25em}
"""


def page(seen: Look, *, where: str, is_first: bool = False) -> str:
    """The whole page. where: what was looked at; is_first: a longer stretch is still being read."""
    days = (seen.end_ns - seen.start_ns) / _DAY_NS
    beside = sum(found.alert is not None for found in seen.found)
    ahead = sorted(found.ahead_s for found in seen.found if found.ahead_s is not None)
    numbers = [
        (f"{len(seen.found)}", "incidents that Tidegate would have raised"),
        (f"{len(seen.found) / seen.shifts:.2f}", "of them a shift of 8 h"),
        (f"{len(seen.alerts)}", f"alerts that fired ({len(seen.alerts) / seen.shifts:.2f} a shift)"),
        (f"{beside}", "incidents beside an alert"),
        (_span(ahead[len(ahead) // 2]) if ahead else "-", "earlier than the alert, median"),
        (f"{len(seen.missed)}", "alerts without an incident"),
    ]
    notice = "<p class=q>First result; the whole stretch is still being read.</p>" if is_first else ""
    return f"""<!doctype html><html lang=en><meta charset=utf-8><title>Tidegate: a look at {escape(where)}</title>
<meta name=viewport content="width=device-width"><style>{_STYLE}</style>
<h1>A look at {escape(where)}</h1>{notice}
<p>{_date(seen.start_ns)} to {_date(seen.end_ns)} UTC, {days:.1f} days: {seen.plan.series:,} series of
{len(seen.plan.metrics):,} metrics, {seen.samples:,} samples, one every {seen.step_s} s.
{len(seen.plan.left):,} metrics were left out. Read only; nothing was changed and nothing was sent.</p>
<div>{"".join(f"<div class=k><b class=n>{n}</b><span>{escape(text)}</span></div>" for n, text in numbers)}</div>
<h2>Day by day</h2><p class=q>Upper bar of a line: incidents of Tidegate; lower bar: alerts that fired. UTC.</p>
{_timeline(seen)}
<h2>What would have been raised</h2>{_raised(seen.found)}
<h2>Alerts beside which nothing was raised</h2>{_missed(seen.missed)}
<h2>First candidates for automation</h2>{_candidates(seen.candidates)}
<h2>Instances that fell silent</h2>{_silent(seen.silent)}
<h2>How to read this</h2>
<p>Baselines learned from this very stretch, so its first hours know little. Range queries hide gaps below five minutes
and everything between two steps. Causes are ranked without changes, logs and traces, which were not read: a cause named
here is a lead. A confidence is not given, because nothing was confirmed yet. An incident counts as beside an alert when
it was open while the alert fired, or within 30 minutes before, for a service of the alert.</p></html>
"""


def _timeline(seen: Look) -> str:
    first = seen.start_ns // _DAY_NS * _DAY_NS
    days = range(first, seen.end_ns, _DAY_NS)
    rows = []
    for row, day in enumerate(days):
        top = row * _ROW
        bars = [
            _bar(f.start_ns, f.end_ns, day, top + 2, "#c2410c", f"{f.title}: {_when(f.start_ns)}") for f in seen.found
        ]
        bars += [
            _bar(a.start_ns, a.end_ns, day, top + 11, "#64748b", f"{a.name}: {_when(a.start_ns)}") for a in seen.alerts
        ]
        rows.append(
            f'<text x=0 y={top + 14} font-size=11 fill="#5b6b7b">{_date(day)}</text>'
            f'<line x1=80 x2={_WIDTH} y1={top + _ROW} y2={top + _ROW} stroke="#e3e8ee"/>{"".join(bars)}'
        )
    return f'<svg viewBox="0 0 {_WIDTH} {len(rows) * _ROW + 4}" role=img>{"".join(rows)}</svg>'


def _bar(start: int, end: int, day: int, y: int, colour: str, title: str) -> str:
    low, high = max(start, day), min(max(end, start + 60 * NS), day + _DAY_NS)
    if low >= high:
        return ""
    scale = (_WIDTH - 80) / _DAY_NS
    x, width = 80 + (low - day) * scale, max((high - low) * scale, 2)
    return f'<rect x={x:.1f} y={y} width={width:.1f} height=8 fill="{colour}"><title>{escape(title)}</title></rect>'


def _raised(found: list[Found]) -> str:
    if not found:
        return "<p>Nothing.</p>"
    lines = [
        f"<tr><td>{_when(f.start_ns)}<td>{_span((f.end_ns - f.start_ns) / NS)}<td>{escape(f.title)}"
        f"<td>{escape(f.cause) or '<span class=q>not named</span>'}<td>{_beside(f)}"
        for f in sorted(found, key=lambda f: (-f.severity, f.start_ns))[:_MOST_ROWS]
    ]
    head = "<tr><th>when (UTC)<th>for<th>what<th>first candidate<th>alert beside it"
    return f"<table>{head}{''.join(lines)}</table>{_cut(len(found))}"


def _beside(found: Found) -> str:
    if found.alert is None or found.ahead_s is None:
        return "<span class=q>none fired</span>"
    when = "earlier" if found.ahead_s >= 0 else "later"
    return f"{escape(found.alert.name)}, {_span(abs(found.ahead_s))} {when}"


def _missed(missed: list[Raised]) -> str:
    if not missed:
        return "<p>None.</p>"
    lines = [
        f"<tr><td>{_when(m.start_ns)}<td>{_span((m.end_ns - m.start_ns) / NS)}"
        f"<td>{escape(m.name)}<td>{escape(m.service)}"
        for m in missed[:_MOST_ROWS]
    ]
    head = "<tr><th>when (UTC)<th>for<th>alert<th>service"
    return f"<table>{head}{''.join(lines)}</table>{_cut(len(missed))}"


def _candidates(candidates: list[tuple[str, str, int]]) -> str:
    if not candidates:
        return "<p>No runbook would have proposed anything.</p>"
    lines = [f"<tr><td><code>{escape(v)}</code><td>{escape(s)}<td>{n}" for v, s, n in candidates]
    return f"<table><tr><th>action<th>service<th>times proposed{''.join(lines)}</table>"


def _silent(silent: Silent) -> str:
    if not silent.lost and not silent.replaced:
        return "<p>None.</p>"
    rows = [(one.since_ns, one.entity_id, f"nobody; {one.series} series fell silent") for one in silent.lost]
    rows += [(one.last_ns, one.entity_id, " or ".join(map(short, one.aliases))) for one in silent.replaced]
    lines = [
        f"<tr><td>{_when(at)}<td>{escape(short(who))}<td>{escape(by)}" for at, who, by in sorted(rows)[:_MOST_ROWS]
    ]
    return f"<table><tr><th>last heard (UTC)<th>instance<th>replaced by{''.join(lines)}</table>{_cut(len(rows))}"


def _cut(n: int) -> str:
    return f"<p class=q>{n - _MOST_ROWS} more.</p>" if n > _MOST_ROWS else ""


def _date(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / NS, UTC):%Y-%m-%d}"


def _when(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / NS, UTC):%m-%d %H:%M}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
