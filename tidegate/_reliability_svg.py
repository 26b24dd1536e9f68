"""A reliability diagram and risk by coverage as one SVG, written by hand: no library, no script, no request.

Points are bins of equal mass with their 95 % intervals; on the diagonal a confidence is what it says. Text says all
numbers, so the picture can be read without eyes; colours are of the palette of Okabe & Ito (2008).
"""

from collections.abc import Sequence
from html import escape

from learning import Curves, Risk, Share

_SIDE, _LEFT, _TOP, _GAP = 300, 60, 70, 90
_INK, _FAINT, _POINT, _BAND = "#222222", "#bbbbbb", "#0072b2", "#cfe3f1"
WIDTH, HEIGHT = _LEFT + 2 * _SIDE + _GAP + 30, _TOP + _SIDE + 70


def scores(found: Curves) -> str:
    """One line: ECE and Brier score with their 95 % intervals, and what the score of always saying the mean is."""
    said, (low, high) = found.reliability, found.brier_interval
    return (
        f"{said.n} outcomes; ECE {said.ece:.3f} [{said.interval[0]:.3f}, {said.interval[1]:.3f}]; Brier "
        f"{said.brier:.3f} [{low:.3f}, {high:.3f}], of always saying the mean {said.base:.3f}"
    )


def svg_of(found: Curves, title: str) -> str:
    """One document; title: whose outcomes they are."""
    line = scores(found)
    second = _LEFT + _SIDE + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}">',
        f"<title>{escape(title)}</title><desc>{escape(line)}</desc>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">{escape(title)}</text><text x="{_LEFT}" y="44">{escape(line)}</text>',
        _frame(_LEFT, "confidence as it was said", "share right"),
        f'<path d="M{_x(_LEFT, 0)} {_y(0)}L{_x(_LEFT, 1)} {_y(1)}" stroke="{_FAINT}" stroke-dasharray="4 4"/>',
        *(_point(_x(_LEFT, one.said), one.right) for one in found.bins),
        _frame(second, "share of incidents that are named", "share wrong among them"),
        _risk(second, found.risks),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(left: int, value: float) -> str:
    return f"{left + value * _SIDE:.1f}"


def _y(value: float) -> str:
    return f"{_TOP + (1 - value) * _SIDE:.1f}"


def _frame(left: int, below: str, beside: str) -> str:
    ticks = "".join(
        f'<text x="{_x(left, t)}" y="{_TOP + _SIDE + 16}" text-anchor="middle">{t:g}</text>'
        f'<text x="{left - 6}" y="{float(_y(t)) + 4:.1f}" text-anchor="end">{t:g}</text>'
        for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    )
    middle = left + _SIDE / 2
    return (
        f'<rect x="{left}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="{_FAINT}"/>{ticks}'
        f'<text x="{middle}" y="{_TOP + _SIDE + 38}" text-anchor="middle">{below}</text>'
        f'<text transform="translate({left - 38} {_TOP + _SIDE / 2}) rotate(-90)" text-anchor="middle">{beside}</text>'
    )


def _point(x: str, right: Share) -> str:
    return (
        f'<path d="M{x} {_y(right.low)}V{_y(right.high)}" stroke="{_POINT}"/>'
        f'<circle cx="{x}" cy="{_y(right.value)}" r="4" fill="{_POINT}"><title>{right.n} outcomes, '
        f"{right.value:.2f} [{right.low:.2f}, {right.high:.2f}] right</title></circle>"
    )


def _risk(left: int, risks: Sequence[Risk]) -> str:
    upper = " ".join(f"{_x(left, one.coverage)},{_y(one.wrong.high)}" for one in risks)
    lower = " ".join(f"{_x(left, one.coverage)},{_y(one.wrong.low)}" for one in reversed(risks))
    middle = " ".join(f"{_x(left, one.coverage)},{_y(one.wrong.value)}" for one in risks)
    return (
        f'<polygon points="{upper} {lower}" fill="{_BAND}"/>'
        f'<polyline points="{middle}" fill="none" stroke="{_POINT}" stroke-width="2"/>'
    )
