"""What a very large index needs on AWS: ``python -m bench.plan`` prints the tables that are in docs/scaling.md.

Units of a request as ``bench.units`` counts them, CPU time and prices from ``bench.cost``, limits as AWS lists them
in November 2026. The mix of requests is assumed; change it to what you have.
"""

import sys
from dataclasses import dataclass

from bench import cost
from bench.tables import markdown

PROJECTS, RATE, UPLOADS = 500_000, 10_000, 2.0  # both rates a second
HOTTEST = 0.02  # share of all requests that are about one project


@dataclass(frozen=True)
class Kind:
    """A kind of request: its share of all, units read in its project's partition, CPU ms, ms waited."""

    title: str
    share: float
    units: float
    cpu: float
    wait: float


KINDS = (
    Kind("304, or a page that the process had before", 0.60, 1, cost.UNCHANGED_CPU, cost.DYNAMODB_MS),
    Kind("page of 30 files, made anew", 0.15, 4, cost.PAGE_CPU, cost.DYNAMODB_MS),
    Kind("metadata", 0.10, 4, cost.DOWNLOAD_CPU, cost.DYNAMODB_MS),
    Kind("small file", 0.10, 2, cost.DOWNLOAD_CPU, cost.DYNAMODB_MS + cost.S3_MS),
    Kind("link to a large file", 0.05, 2, cost.LINK_CPU, cost.DYNAMODB_MS),
)
UPLOAD_READ, UPLOAD_WRITTEN = 25, 16  # units, of the 101st file of a project and of the event that follows
GZIPPED = {"JSON": 5.1, "HTML": 7.9}  # bytes per project in the root list, of 886,324 names on PyPI

# Limits of AWS. What says "default" is raised by a request to AWS.
PARTITION_READ, PARTITION_WRITTEN = 3_000, 1_000  # units a second of one item, and of one partition until it is split
TABLE_READ, TABLE_WRITTEN = 40_000, 40_000  # default
GATEWAY = 10_000  # requests a second of an account and region, default
CONCURRENCY, PER_CONCURRENCY = 1_000, 10  # default; requests a second for each
S3_GETS = 5_500  # a second and prefix, more once S3 has split it
ANSWER = 4_400_000  # bytes, edge.LARGEST
TIERS = ((333e6, 3.50e-6), (667e6, 2.80e-6), (19e9, 2.38e-6), (float("inf"), 1.51e-6))  # dollars of a REST request


def gateway(requests: float) -> float:
    """Dollars for so many requests to a REST API in a month."""
    dollars = 0.0
    for size, price in TIERS:
        dollars += min(requests, size) * price
        requests -= min(requests, size)
    return dollars


def units(kinds: tuple[Kind, ...] = KINDS) -> float:
    """What a request reads on the average."""
    return sum(kind.share * kind.units for kind in kinds)


def seconds(kinds: tuple[Kind, ...] = KINDS) -> float:
    """How long a request keeps a process of Lambda busy on the average."""
    return sum(kind.share * (kind.cpu / cost.CORES + kind.wait) for kind in kinds) / 1000


def limits() -> list[tuple[str, float, float, str]]:
    """What is needed, what there is, of which kind."""
    read = RATE * units() + UPLOADS * UPLOAD_READ
    lists = {f"root list, {name}, compressed": PROJECTS * size for name, size in GZIPPED.items()}
    return [
        ("requests to API Gateway", RATE, GATEWAY, "a second, default of the account"),
        ("processes that are busy", RATE * seconds(), CONCURRENCY, "default of the account"),
        ("requests per process quota", RATE, CONCURRENCY * PER_CONCURRENCY, "a second, default of the account"),
        ("units read in the table", read, TABLE_READ, "a second, default of the table"),
        ("units written in the table", UPLOADS * UPLOAD_WRITTEN, TABLE_WRITTEN, "a second, default of the table"),
        ("units read of the hottest project", HOTTEST * RATE * units(), PARTITION_READ, "a second"),
        ("units written of the item that counts all projects", UPLOADS * 2, PARTITION_WRITTEN, "a second"),
        ("small files read from the bucket", RATE * KINDS[3].share, S3_GETS, "a second and prefix"),
        *((title, size, ANSWER, "bytes, answer of Lambda") for title, size in lists.items()),
    ]


def bill() -> dict[str, float]:
    """Dollars a month, at this rate day and night and without what is transferred."""
    requests = RATE * cost.SECONDS
    return {
        "API Gateway": gateway(requests),
        "Lambda": requests * cost.LAMBDA_CALL + requests * seconds() * cost.MEMORY_GB * cost.LAMBDA_GB_S,
        "DynamoDB": requests * units() * cost.DYNAMODB_READ
        + UPLOADS * cost.SECONDS * (UPLOAD_READ * cost.DYNAMODB_READ + UPLOAD_WRITTEN * cost.DYNAMODB_WRITE),
        "S3, reading small files": requests * KINDS[3].share * cost.S3_GET,
    }


def tables() -> str:
    """Markdown: what one project carries, what the whole needs, what it costs."""
    carried = [
        (kind.title, f"{kind.share:.0%}", f"{kind.units:g}", f"{PARTITION_READ / kind.units:,.0f}") for kind in KINDS
    ]
    carried.append(("**this mix**", "100%", f"{units():.2f}", f"{PARTITION_READ / units():,.0f}"))
    needed = [
        (title, f"{need:,.0f}", f"{there:,.0f} {of}", f"{need / there:.0%}") for title, need, there, of in limits()
    ]
    paid = [(title, f"{dollars:,.0f}") for title, dollars in bill().items()]
    return "\n".join(
        (
            markdown(("request", "share", "units read", "a second, of one project"), carried),
            markdown((f"{RATE:,} requests a second", "needed", "there is", ""), needed),
            markdown(("", "dollars a month"), paid),
        )
    )


if __name__ == "__main__":
    sys.stdout.write(tables())
