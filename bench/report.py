"""RESULTS.md and results.svg, from what was kept: ``python -m bench.report`` writes them anew."""

from collections.abc import Callable, Mapping
from typing import Any

from bench import growth, plot, results, upstream_rows, web
from bench.results import Values, medians
from bench.rows import ROWS, Row
from bench.server import Server
from bench.servers import ELASTICPYPI, NGINX, NGINX_LOGIN, SERVERS
from bench.tables import better, markdown, medians_table, number, times

Run = Mapping[str, Any]  # as results.json has it

HEAD = """\
# Benchmarks

Written by `make bench`, `make bench-scale`, `make bench-servers` and `make bench-upstream`; the raw numbers are in
`results.json`. Everything ran on one machine, the load generator too, so ratios count and not numbers: servers are
measured row by row in interleaved rounds, in another order each time, each when the one before is idle again. Numbers
are medians of the rounds; requests per second are in each round the mean of runs of a second, over new connections.
"""
PEERS = """\
## Beside other indexes

1,000 projects with 10 files each, and one with 1,000 files; then 10,000 projects, of which 1,000 have 10 files and the
others one. wrk with 2 connections that are kept; pages as they are (not compressed). Each server runs as its own
documentation or image runs it, and writes the access log that it writes there. elasticpypi asks for user and password,
as its first start sets it up, and so does nginx-password; the others ask nobody who reads. "-": it has no such thing.
**x best peer**: how many times better elasticpypi is than the best other index in Python; **x nginx**: than static
files that anybody may read, written beforehand with no index behind them. uv has 40 turns in each round, of which
the faster half counts.
"""
GROWTH = """\
## As it grows

elasticpypi alone, on one machine (a folder and SQLite), with so many projects, all sizes side by side.
"""
WEB = """\
## Web servers

The same WSGI application on each, with two worker processes where the server has them, and no index at all.
"""
UPSTREAM = """\
## In front of another index

A copy of some hundred projects behind nginx, 20 ms away, and what asks it, each with nothing kept at the start of a
round. "directly" is that copy itself. elasticpypi has packages of its own beside it ("own"); elasticpypi-alone asks
nobody, and elasticpypi-hanging asks an index that never answers, for which 20 clients wait. uv has 8 turns in each
round, of which the faster half counts. The page of 46,724 files and the file of 500 MB are each asked for once in a
round; memory is that of all processes, and "others" ask for a kept page.
"""


def document(runs: Mapping[str, Any]) -> str:
    """RESULTS.md, of the runs that there are."""
    parts = [HEAD]
    if run := runs.get("peers"):
        ran = "".join(f"- {name}: {how}\n" for name, how in run["servers"].items())
        parts += [PEERS, _conditions(run), ran, "![Requests per second of each server](results.svg)\n"]
        parts += TABLES["peers"](run)
    if run := runs.get("scale"):
        parts += [GROWTH, _conditions(run), *TABLES["scale"](run)]
    if run := runs.get("servers"):
        parts += [WEB, _conditions(run), *TABLES["servers"](run)]
    if run := runs.get("upstream"):
        ran = "".join(f"- {name}: {how}\n" for name, how in run["servers"].items())
        parts += [UPSTREAM, _conditions(run), ran, *TABLES["upstream"](run)]
    return "\n".join(parts)


def write() -> None:
    """RESULTS.md and results.svg."""
    runs = results.load()
    (results.FOLDER / "RESULTS.md").write_text(document(runs))
    if run := runs.get("peers"):
        ratios = {row.key: against_peers(run["values"], row) for row in ROWS}
        words = {key: f"{times(ratio)} best peer" if ratio else "no peer has it" for key, ratio in ratios.items()}
        (results.FOLDER / "results.svg").write_text(plot.svg(run["values"], words))


def against_peers(values: Values, row: Row) -> float | None:
    """How many times better than the best peer, None if there is none."""
    found = medians(values, row.key)
    peers = [found[server.name] for server in SERVERS if server.peer and server.name in found]
    return better(row, found.get(ELASTICPYPI.name), (min if row.less else max)(peers, default=None))


def against(other: Server, values: Values, row: Row) -> float | None:
    """How many times better than one other server, None if that has no such thing."""
    found = medians(values, row.key)
    return better(row, found.get(ELASTICPYPI.name), found.get(other.name))


def peers_table(run: Run) -> str:
    """All servers, and the two ratios."""
    values, names = run["values"], list(run["servers"])
    lines = medians_table(ROWS, values, names)
    measured = [row for row in ROWS if row.key in values]
    for row, line in zip(measured, lines, strict=True):
        line += [times(against_peers(values, row)), times(against(NGINX, values, row))]
    return markdown(["", *names, "x best peer", "x nginx"], lines)


def peers_goals(run: Run) -> str:
    """The rows that have a goal, and whether it is reached."""
    values, lines = run["values"], []
    for row in ROWS:
        goals = (
            (row.goals.peers, against_peers(values, row), "the best peer"),
            (row.goals.nginx, against(NGINX, values, row), NGINX.name),
            (row.goals.login, against(NGINX_LOGIN, values, row), NGINX_LOGIN.name),
        )
        for goal, ratio, than in goals:
            if goal and ratio is not None:
                lines.append(
                    [f"{row.title}, against {than}", f"{times(goal)} or more", times(ratio), _met(ratio >= goal)]
                )
        lines += _at_most(row, row.title, medians(values, row.key).get(ELASTICPYPI.name))
    return markdown(["goal", "", "measured", ""], lines)


def scale_table(run: Run) -> str:
    """All sizes."""
    sizes = list(run["files"])
    files = ["files", *(number(count) for count in run["files"].values())]
    lines = medians_table(growth.ROWS, run["values"], sizes)
    return markdown(["projects", *(f"{int(size):,}" for size in sizes)], [files, *lines])


def scale_goals(run: Run) -> str:
    """What has to stay level, and what is bounded."""
    values, lines = run["values"], []
    for row in growth.ROWS:
        found = medians(values, row.key)
        first = found.get(str(growth.SIZES[0].projects))
        for corpus in growth.SIZES[1:]:
            ours, title = found.get(str(corpus.projects)), f"{row.title}, {corpus.projects:,} projects"
            ratio = better(row, ours, first)
            if row.key in growth.LEVEL and corpus.projects >= 10_000 and ratio:
                lines.append([f"{title}, against 100", "0.80x or more", times(ratio), _met(ratio >= 0.8)])
            if corpus.projects <= growth.BOUNDED.get(row.key, 0):
                lines += _at_most(row, title, ours)
    return markdown(["goal", "", "measured", ""], lines)


def web_table(run: Run) -> str:
    """All web servers."""
    names = list(run["servers"])
    return markdown(["", *names], medians_table(web.ROWS, run["values"], names))


def upstream_table(run: Run) -> str:
    """All servers in front of another index."""
    names = list(run["servers"])
    return markdown(["", *names], medians_table(upstream_rows.ROWS, run["values"], names))


def upstream_goals(run: Run) -> str:
    """What elasticpypi has to reach there."""
    lines = []
    for goal in upstream_rows.GOALS:
        found = medians(run["values"], goal.row).get(goal.server)
        than = medians(run["values"], goal.than[0]).get(goal.than[1]) if goal.than else 1
        if found is None or not than:
            continue
        value = found / than
        unit = "x" if goal.than else ""
        wanted = f"{number(goal.least)}{unit} or more" if goal.least else f"at most {number(goal.most)}{unit}"
        lines.append(
            [goal.title, wanted, number(value) + unit, _met(value >= goal.least if goal.least else value <= goal.most)]
        )
    return markdown(["goal", "", "measured", ""], lines)


TABLES: dict[str, Callable[[Run], list[str]]] = {
    "peers": lambda run: [peers_table(run), peers_goals(run)],
    "scale": lambda run: [scale_table(run), scale_goals(run)],
    "servers": lambda run: [web_table(run)],
    "upstream": lambda run: [upstream_table(run), upstream_goals(run)],
}


def _at_most(row: Row, title: str, ours: float | None) -> list[list[str]]:
    if not row.goals.most or ours is None:
        return []
    return [[title, f"at most {row.goals.most:g} {row.unit}", number(ours), _met(ours <= row.goals.most)]]


def _met(reached: bool) -> str:
    return "reached" if reached else "**missed**"


def _conditions(run: Run) -> str:
    return f"{run['date']}, {run['rounds']}, {run['machine']}; elasticpypi {run['elasticpypi']}.\n"


if __name__ == "__main__":
    write()
