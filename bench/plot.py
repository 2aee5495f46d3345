"""A plot of what was measured: a line per row, a dot per server, on a logarithmic axis. Plain SVG."""

from collections.abc import Iterator, Mapping
from html import escape
from math import ceil, floor, log10

from bench.results import Values, medians
from bench.rows import ROWS
from bench.servers import ELASTICPYPI, NGINX, NGINX_LOGIN, SERVERS

WIDTH, LEFT, RIGHT, TOP, STEP = 960, 300, 130, 64, 26
# Told apart by those who see few colours too; the shapes differ for the two that matter.
COLOURS = ("#d1495b", "#8a8f98", "#b9bec6", "#edae49", "#00798c", "#7a5195", "#56b870", "#3d7dd8")
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.faint { fill: #6e7781; font-size: 12px }
line { stroke: #d0d7de }
.between { stroke: #afb8c1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #8b949e } line { stroke: #30363d } .between { stroke: #484f58 }
}
"""


def svg(values: Values, ratios: Mapping[str, str]) -> str:
    """The rows of which more is better; ``ratios`` has a word on each for the right margin."""
    rows = [row for row in ROWS if not row.less and medians(values, row.key)]
    found = [medians(values, row.key) for row in rows]
    numbers = [number for servers in found for number in servers.values() if number > 0]
    first, last = floor(log10(min(numbers))), ceil(log10(max(numbers)))

    def across(number: float) -> float:
        share = (log10(max(number, 10.0**first)) - first) / max(last - first, 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    height = TOP + STEP * len(rows) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="Requests per second of each server">',
        f"<style>{STYLE}</style>",
        *_legend([server.name for server in SERVERS if any(server.name in servers for servers in found)]),
    ]
    for power in range(first, last + 1):
        x = across(10.0**power)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 30}"/>')
        parts.append(f'<text class="faint" x="{x:.1f}" y="{height - 14}" text-anchor="middle">{10.0**power:,g}</text>')
    for index, (row, servers) in enumerate(zip(rows, found, strict=True)):
        y = TOP + STEP * index + STEP / 2
        ends = [across(number) for number in servers.values()]
        parts.append(f'<text x="{LEFT - 14}" y="{y + 4}" text-anchor="end">{escape(row.title)}</text>')
        parts.append(f'<line class="between" x1="{min(ends):.1f}" x2="{max(ends):.1f}" y1="{y}" y2="{y}"/>')
        for name, number in reversed(servers.items()):
            told = f"{name}: {number:,.0f} {row.unit}"
            parts.append(_dot(name, across(number), y, told))
        parts.append(
            f'<text class="faint" x="{WIDTH - RIGHT + 14}" y="{y + 4}">{escape(ratios.get(row.key, ""))}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _dot(name: str, x: float, y: float, told: str) -> str:
    colour = COLOURS[[server.name for server in SERVERS].index(name) % len(COLOURS)]
    title = f"<title>{escape(told)}</title>"
    if name == ELASTICPYPI.name:
        return f'<circle cx="{x:.1f}" cy="{y}" r="7" fill="{colour}">{title}</circle>'
    if name in (NGINX.name, NGINX_LOGIN.name):
        return f'<rect x="{x - 5:.1f}" y="{y - 5}" width="10" height="10" fill="{colour}">{title}</rect>'
    return f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{colour}">{title}</circle>'


def _legend(names: list[str]) -> Iterator[str]:
    x = 16.0
    for name in names:
        yield _dot(name, x, 22, name)
        yield f'<text x="{x + 12}" y="26">{escape(name)}</text>'
        x += 32 + 7.2 * len(name)
    told = "requests, megabytes or uploads per second, logarithmic; right is better"
    yield f'<text class="faint" x="16" y="48">{told}</text>'
