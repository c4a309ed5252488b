"""The chart of docs/: a hand-written SVG, made of the saved run alone."""

from html import escape
from math import ceil, floor, log10
from typing import Any

from .cases import COMPILED, PLAIN
from .limits import Run
from .report import duration, machine

WIDTH, LABELS, VALUES = 760, 176, 80
BAR, GAP = 18, 6

STYLE = """
  svg { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; }
  text { fill: #1f2328; } .muted { fill: #59636e; font-size: 12px; } .title { font-weight: 600; font-size: 15px; }
  .grid { stroke: #d1d9e0; stroke-width: 1; } .ours { fill: #0969da; } .plain { fill: #54a3ff; }
  .floor { fill: #1a7f37; } .peer { fill: #afb8c1; } .scale { fill: none; stroke: #afb8c1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .muted { fill: #9198a1; } .grid { stroke: #3d444d; } .ours { fill: #4493f8; }
    .plain { fill: #1f6feb; } .floor { fill: #3fb950; } .peer { fill: #656c76; } .scale { stroke: #656c76; }
  }
"""

Bar = tuple[str, float, str]  # label, nanoseconds, class


def draw(saved: dict[str, Any]) -> str:
    """The SVG."""
    run = Run(saved)
    panels = [
        ("Parse one INVITE", _bars(run, "parse")),
        ("Parse it, push a Via, count Max-Forwards down, write it", _bars(run, "roundtrip")),
    ]
    parts: list[str] = []
    top = 16
    for title, bars in panels:
        drawn, top = _panel(title, bars, top)
        parts += drawn
    parts.append(f'<text class="muted" x="12" y="{top}">{escape(_caption(saved))}</text>')
    height = top + 16
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    label = 'role="img" aria-label="How long sipstack and other SIP parsers take for one INVITE"'
    return "\n".join([f"{head} {label}>", f"<style>{STYLE}</style>", *parts, "</svg>\n"])


def _caption(saved: dict[str, Any]) -> str:
    return f"Logarithmic: each line is ten times the one before. {machine(saved)}."


def _bars(run: Run, group: str) -> list[Bar]:
    names = {COMPILED: "sipstack, compiled", PLAIN: "sipstack, plain Python"}
    bars: list[Bar] = []
    if group == "parse" and "invite" in run.floor():
        bars.append(("the memchr floor, in C", run.floor()["invite"], "floor"))
    for subject in run.subjects(group):
        taken = run.best(group, subject, "invite")
        if taken is not None:
            kind = {COMPILED: "ours", PLAIN: "plain"}.get(subject) or _kind(run, subject)
            label = names.get(subject, subject + (" (HTTP, in C)" if subject in {"httptools", "aiohttp"} else ""))
            bars.append((label, taken, kind))
    return sorted(bars, key=lambda bar: bar[1])


def _kind(run: Run, subject: str) -> str:
    return "peer" if subject in run.pure_python() else "peer scale"


def _panel(title: str, bars: list[Bar], top: int) -> tuple[list[str], int]:
    low = floor(log10(min(bar[1] for bar in bars)))
    high = ceil(log10(max(bar[1] for bar in bars)))
    room = WIDTH - LABELS - VALUES
    first = top + 34
    bottom = first + len(bars) * (BAR + GAP)

    def x(nanoseconds: float) -> float:
        return LABELS + room * (log10(nanoseconds) - low) / (high - low)

    parts = [f'<text class="title" x="12" y="{top + 8}">{escape(title)}</text>']
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{first - 6}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="muted" x="{at:.1f}" y="{first - 10}" text-anchor="middle">{_tick(power)}</text>')
    for number, (label, taken, kind) in enumerate(bars):
        y = first + number * (BAR + GAP)
        width = max(2.0, x(taken) - LABELS)
        middle = y + BAR - 5
        parts.append(f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>')
        parts.append(f'<text class="muted" x="{LABELS + width + 6:.1f}" y="{middle}">{duration(taken)}</text>')
    return parts, bottom + 30


def _tick(power: int) -> str:
    return f"{10**power} ns" if power < 3 else f"{10 ** (power - 3)} µs"
