"""``python -m bench peers``, ``scale``, ``servers`` or ``upstream``: what `make bench` and `bench-...` run."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from bench import growth, report, results, rows, servers, upstream, upstream_rows, web
from bench.corpus import Corpus, build
from bench.process import Failed
from bench.resolve import PIP, UV, program
from bench.results import Values
from bench.rounds import measure
from bench.rows import Row
from bench.server import Place, Server
from bench.tables import say
from bench.targets import Target, copied, empty, filled, prepared, running
from bench.tools import debian

Start = Callable[[ExitStack], dict[str, Target]]


def main() -> None:
    """Set up what can be had, measure it in interleaved rounds, and write what came of it, if it was everything."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=["peers", "scale", "servers", "upstream"])
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured [3]")
    parser.add_argument("--seconds", type=int, default=4, help="how long a row of one server takes [4]")
    parser.add_argument("--only", default="", help="only these servers (of scale: sizes), separated by commas")
    parser.add_argument("--rows", default="", help="only rows whose keys begin so, such as root,page,up")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("Stopped."))  # and the servers with us
    try:
        debian("wrk", "wrk")
        run = {"peers": _peers, "scale": _scale, "servers": _servers, "upstream": _upstream}[options.what](options)
    except Failed as error:
        sys.exit(f"This cannot be measured: {error}.")
    except KeyboardInterrupt:
        sys.exit("Stopped.")
    say("\n" + "\n".join(report.TABLES[options.what](run)))
    if options.only or options.rows:
        say("Nothing was written, since this was not everything.")
    else:
        results.keep(options.what, run)
        report.write()


def _peers(options: argparse.Namespace) -> dict[str, Any]:
    """All servers on 1,000 projects, then on 10,000."""
    chosen = [server for server in servers.SERVERS if _chosen(options, server.name)]
    for client in (PIP, UV):
        say(f"Setting up {client}")
        program(client)
    phases, places = [], dict[Server, Place]()
    for corpus in (rows.MANY, rows.MORE):
        these = _asked(options, [row for row in rows.ROWS if row.corpus == corpus])
        if these:
            places = _places(chosen, corpus)
            phases.append((these, _starting(places, corpus)))
    run = _rounds(options, phases)
    return {**run, "servers": {server.name: server.describe() for server in places}}


def _places(chosen: Sequence[Server], corpus: Corpus) -> dict[Server, Place]:
    """The data of each server that runs here; one line for each that does not."""
    say(f"Setting up {corpus.projects:,} projects: wheels")
    build(corpus)
    places = dict[Server, Place]()
    with ExitStack() as stack:
        upstreams = dict[str, str]()
        for server in chosen:
            say(f"Setting up {corpus.projects:,} projects: {server.name}")
            try:
                if server.needs and server.needs not in upstreams:
                    raise Failed(f"it needs {server.needs}")
                places[server] = prepared(server, corpus, upstreams.get(server.needs, ""))
                if any(other.needs == server.name for other in chosen):
                    target = running(server, corpus, filled(server, corpus))
                    upstreams[server.name] = stack.enter_context(target).address
            except Failed as error:
                say(f"{server.name} is left out: {error}")
    return places


def _starting(places: dict[Server, Place], corpus: Corpus) -> Start:
    """Each after the one before is idle; those that take uploads on a copy."""

    def start(stack: ExitStack) -> dict[str, Target]:
        targets = dict[str, Target]()
        for server, place in places.items():
            upstream = targets[server.needs].address if server.needs else ""
            at = copied(place) if server.upload and corpus == rows.MANY else place
            try:
                targets[server.name] = stack.enter_context(running(server, corpus, at, upstream))
            except Failed as error:
                say(f"{server.name} is left out of this round: {error}")
        return targets

    return start


def _scale(options: argparse.Namespace) -> dict[str, Any]:
    """All sizes of elasticpypi."""
    places = {}
    for corpus in (corpus for corpus in growth.SIZES if _chosen(options, str(corpus.projects))):
        say(f"Setting up {corpus.projects:,} projects")
        build(corpus)
        places[corpus] = prepared(servers.ELASTICPYPI, corpus)

    def start(stack: ExitStack) -> dict[str, Target]:
        return {
            str(corpus.projects): stack.enter_context(running(servers.ELASTICPYPI, corpus, copied(place)))
            for corpus, place in places.items()
        }

    run = _rounds(options, [(_asked(options, growth.ROWS), start)])
    return {**run, "files": {str(corpus.projects): corpus.count() for corpus in places}}


def _servers(options: argparse.Namespace) -> dict[str, Any]:
    """All web servers, without an index."""
    web.fill()
    places = {server: empty(server) for server in web.SERVERS if _chosen(options, server.name)}

    def start(stack: ExitStack) -> dict[str, Target]:
        nothing = Corpus(0)
        return {server.name: stack.enter_context(running(server, nothing, place)) for server, place in places.items()}

    run = _rounds(options, [(_asked(options, web.ROWS), start)])
    return {**run, "servers": {server.name: server.runs_on for server in places}}


def _upstream(options: argparse.Namespace) -> dict[str, Any]:
    """All servers in front of another index, and that one itself."""
    say(f"Setting up {UV}, and what the other index has")
    program(UV)
    upstream.build()
    chosen = [server for server in upstream.SERVERS if _chosen(options, server.name)]

    def start(stack: ExitStack) -> dict[str, Target]:
        return upstream.start(stack, chosen)

    run = _rounds(options, [(_asked(options, upstream_rows.ROWS), start)])
    return {**run, "servers": {server.name: server.describe() for server in (upstream.DIRECT, *chosen)}}


def _chosen(options: argparse.Namespace, name: str) -> bool:
    return name in (options.only or name).split(",")


def _asked(options: argparse.Namespace, these: Sequence[Row]) -> list[Row]:
    return [row for row in these if row.key.startswith(tuple(options.rows.split(",")))]


def _rounds(options: argparse.Namespace, phases: Sequence[tuple[Sequence[Row], Start]]) -> dict[str, Any]:
    """All phases in each round: start, measure, stop."""
    told, begin = results.conditions(options.rounds, options.seconds), time.monotonic()
    values: Values = {}
    for turn in range(options.rounds):
        for these, start in phases:
            with ExitStack() as stack:
                measure(turn, these, start(stack), options.seconds, values)
    say(f"Measured in {(time.monotonic() - begin) / 60:.1f} minutes.")
    return {**told, "values": values}


if __name__ == "__main__":
    main()
