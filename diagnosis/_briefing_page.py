"""A briefing as Markdown, and as one HTML page that needs nothing from elsewhere and runs nothing.

The page forbids scripts and requests by its own content policy; whatever telemetry says is escaped.
"""

from html import escape

from diagnosis._briefing import Briefing, Line, Section

_CELLS = 20
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
h1 { font-size: 1.2rem } h2 { font-size: 1rem; margin: 1.2rem 0 .3rem } ul { margin: 0; padding-left: 1.2rem }
.bar { position: relative; height: .6rem; max-width: 24rem; background: #e6e8eb; margin: .2rem 0 }
.bar i { position: absolute; top: 0; bottom: 0; left: 0; background: #2f6feb }
.bar b { position: absolute; top: 25%; bottom: 25%; background: #0b1f4b; opacity: .55 }
.below { color: #57606a }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3 } .bar { background: #30363d }
  .below { color: #9198a1 } }
""".strip()
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def bar(line: Line) -> str:
    """The bar of a line in characters: `####----` with the interval in brackets; empty if it has none."""
    if line.bar is None:
        return ""
    filled = round(line.bar * _CELLS)
    low, high = (round(end * _CELLS) for end in line.interval or (line.bar, line.bar))
    cells = ["#" if n < filled else "." for n in range(_CELLS)]
    return "".join([*cells[:low], "[", *cells[low:high], "]", *cells[high:]])


def as_markdown(briefing: Briefing) -> str:
    """CommonMark. Everything that it could take for markup is escaped."""
    out = [f"# {_literal(briefing.headline)}", ""]
    for section in briefing.sections:
        out += [f"## {section.title}", ""]
        for line in section.lines:
            drawn = f" `{bar(line)}`" if line.bar is not None else ""
            out.append(f"{'  ' * line.depth}- {_literal(line.text)}{drawn}")
        out.append("")
    return "\n".join(out)


def as_html(briefing: Briefing) -> str:
    """One page, UTF-8."""
    head = escape(briefing.headline)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{head}</title><style>{_STYLE}</style></head><body><h1>{head}</h1>",
        *(_section(section) for section in briefing.sections),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _section(section: Section) -> str:
    items = "\n".join(
        f"<li{' class=below' if line.depth else ''}>{escape(line.text)}{_drawn(line)}</li>" for line in section.lines
    )
    return f"<h2>{escape(section.title)}</h2>\n<ul>\n{items}\n</ul>"


def _drawn(line: Line) -> str:
    if line.bar is None:
        return ""
    low, high = line.interval or (line.bar, line.bar)
    span = f'<b style="left:{low:.1%};right:{1 - high:.1%}"></b>'
    return f'<div class="bar"><i style="width:{line.bar:.1%}"></i>{span}</div>'


def _literal(text: str) -> str:
    """Every ASCII character that CommonMark gives a meaning to, escaped (section 2.4 allows it for all punctuation)."""
    return "".join(f"\\{c}" if c in '\\`*_{}[]<>()#+!|~&"$' else c for c in text).replace("://", ":\\/\\/")
