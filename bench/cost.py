"""What the index costs on AWS a month: ``python bench/cost.py`` prints the tables that are in RATIONALE.md.

Three kinds of numbers: how much the index is used, which you may change to what you have; what was measured or is
assumed of a request; and prices. US dollars, gigabytes of 10^9 bytes, months of 730 hours.
"""

import math
import sys
from dataclasses import dataclass

# Use.
DEVELOPERS = 20  # eight hours on 22 days
INDEX_REQUESTS = 1_000_000  # pages and metadata
DOWNLOADED_GB = 200
STORED_GB = 50  # and what was replaced or deleted in the last 90 days
UPLOADS = 2_000
COLD_STARTS = 3_000  # of api: after a pause, and each time more requests come at once than ever since

# Assumed.
UNCHANGED = 0.8  # share of index requests that are answered with 304
PAGE_KB = 4.0  # compressed
PAGE_READS = 5  # units of 4 kB of a page's records
LARGE_SHARE = 0.75  # of the bytes, in files that are fetched by a link
SMALL_MB, LARGE_MB = 0.4, 30.0  # files below and above 4.4 MB, on the average
DYNAMODB_MS, S3_MS = 5.0, 40.0  # what a call waits
UPLOAD_CALLS = 9  # at most, tests/hosts/test_calls.py
# An item in a transaction is two units. The event of an upload is two items in that of the file, and one that goes: the
# function sync looks whether there is one, puts it once more, and looks again (tests/hosts/test_calls.py). It looks for
# the name of the project among ours, and lists the blocks, which costs what a PUT does. Who it is is an item that comes
# before and goes with the record; the block of the digest is a GET.
UPLOAD_READS, UPLOAD_WRITES = 20 + 2, 16 + 6 + 4
UPLOAD_GETS, UPLOAD_PUTS = 1 + 1, 1 + 2 + 1
LOG_KB = 0.4  # what Lambda itself writes of each call

# Measured: CPU milliseconds, `make bench-cold-start`, 2026-11-23.
PAGE_CPU, UNCHANGED_CPU, DOWNLOAD_CPU, LINK_CPU, SYNC_CPU, AUTHORIZER_CPU = 3.0, 1.5, 2.7, 1.7, 4.9, 0.1
COLD_CPU = 235.0
MEMORY_GB = 1.0  # serverless.yml; Lambda gives a whole core at 1,769 MB
CORES = 1024 / 1769

# Listed by AWS for us-east-1, November 2026. What is free is free for every account and for ever.
API_GATEWAY = 3.50e-6  # a request to a REST API
LAMBDA_CALL, LAMBDA_CALLS_FREE = 0.20e-6, 1_000_000
LAMBDA_GB_S, LAMBDA_GB_S_FREE = 1.33334e-5, 400_000  # arm64
DYNAMODB_READ, DYNAMODB_WRITE = 0.125e-6, 0.625e-6  # units, on demand
S3_GB, S3_GET, S3_PUT = 0.023, 0.4e-6, 5e-6
TRANSFER_GB, TRANSFER_FREE = 0.09, 100  # to the internet, of all services but CloudFront
CLOUDFRONT_GB, CLOUDFRONT_GB_FREE = 0.085, 1_000
CLOUDFRONT_REQUEST, CLOUDFRONT_REQUESTS_FREE = 1e-6, 10_000_000
LOG_GB, LOG_GB_FREE = 0.50, 5
ALARM, ALARMS_FREE = 0.10, 10
SNAPSHOT_GB_S, RESTORED_GB = 1.5046e-6, 1.397998e-4
PROVISIONED_GB_S = 3.3334e-6  # arm64
SECONDS = 730 * 3600


@dataclass(frozen=True)
class Item:
    """``amount`` of something at ``price`` each, of which ``free`` cost nothing."""

    service: str
    amount: float
    price: float
    free: float = 0

    @property
    def listed(self) -> float:
        return self.amount * self.price

    @property
    def paid(self) -> float:
        return max(0, self.amount - self.free) * self.price


def gb_seconds(calls: float, cpu: float, wait: float = 0) -> float:
    """What Lambda bills for calls of ``cpu`` milliseconds on a whole core and ``wait`` milliseconds without work."""
    return calls * (cpu / CORES + wait) / 1000 * MEMORY_GB


def bill(cloudfront: bool) -> list[Item]:
    """Everything that has a price of a cent or more."""
    unchanged, pages = INDEX_REQUESTS * UNCHANGED, INDEX_REQUESTS * (1 - UNCHANGED)
    large_gb = DOWNLOADED_GB * LARGE_SHARE
    small_gb = DOWNLOADED_GB - large_gb
    small, large = small_gb * 1000 / SMALL_MB, large_gb * 1000 / LARGE_MB
    requests = INDEX_REQUESTS + small + large + UPLOADS
    # The gateway keeps an answer of the authorizer for five minutes.
    logins = DEVELOPERS * 8 * 22 * 12
    calls = requests + logins + UPLOADS
    compute = (
        gb_seconds(unchanged, UNCHANGED_CPU, DYNAMODB_MS)
        + gb_seconds(pages, PAGE_CPU, DYNAMODB_MS)
        + gb_seconds(small, DOWNLOAD_CPU, DYNAMODB_MS + S3_MS)
        + gb_seconds(large, LINK_CPU, DYNAMODB_MS)
        + gb_seconds(2 * UPLOADS, SYNC_CPU, UPLOAD_CALLS * S3_MS)
        + gb_seconds(logins, AUTHORIZER_CPU)
        + gb_seconds(COLD_STARTS, COLD_CPU)
    )
    through_gateway = pages * PAGE_KB / 1e6 + small_gb
    items = [
        Item("API Gateway", requests, API_GATEWAY),
        Item("Lambda", calls, LAMBDA_CALL, LAMBDA_CALLS_FREE),
        Item("Lambda", compute, LAMBDA_GB_S, LAMBDA_GB_S_FREE),
        Item("DynamoDB", unchanged + pages * PAGE_READS + small + large + UPLOAD_READS * UPLOADS, DYNAMODB_READ),
        Item("DynamoDB", UPLOAD_WRITES * UPLOADS, DYNAMODB_WRITE),
        Item("S3", STORED_GB, S3_GB),
        Item("S3", small + large + UPLOAD_GETS * UPLOADS, S3_GET),
        Item("S3", UPLOAD_PUTS * UPLOADS, S3_PUT),
        Item("transfer", through_gateway + (0 if cloudfront else large_gb), TRANSFER_GB, TRANSFER_FREE),
        Item("CloudWatch", calls * LOG_KB / 1e6, LOG_GB, LOG_GB_FREE),
        Item("CloudWatch", 5, ALARM, ALARMS_FREE),
    ]
    if cloudfront:
        items.append(Item("CloudFront", large_gb, CLOUDFRONT_GB, CLOUDFRONT_GB_FREE))
        items.append(Item("CloudFront", large, CLOUDFRONT_REQUEST, CLOUDFRONT_REQUESTS_FREE))
    return items


def optional() -> dict[str, float]:
    """What the pieces against cold starts cost more, by their switch; PROVISIONED for one process."""
    warm = SECONDS / 300
    return {
        "SNAPSTART": SNAPSHOT_GB_S * MEMORY_GB * SECONDS + RESTORED_GB * MEMORY_GB * COLD_STARTS,
        "PROVISIONED": PROVISIONED_GB_S * MEMORY_GB * SECONDS,
        # /health lists a key of the bucket, which costs what a PUT does.
        "WARM": warm * (LAMBDA_CALL + S3_PUT) + gb_seconds(warm, PAGE_CPU, DYNAMODB_MS + S3_MS) * LAMBDA_GB_S,
    }


def following(keys: int) -> float:
    """What a container that follows a bucket of so many keys costs, beside the container (aws/follower.py)."""
    looks = SECONDS / 60 / max(1, keys / 10_000)
    return looks * (math.ceil(keys / 1000) * S3_PUT + 2 * DYNAMODB_WRITE)  # a listing of 1,000 costs what a PUT does


def tables() -> str:
    """Markdown."""
    without, front = bill(cloudfront=False), bill(cloudfront=True)
    lines = [
        "| dollars a month | listed | after what is free | listed, with CloudFront | after what is free |",
        "|---|---|---|---|---|",
    ]
    for service in dict.fromkeys(item.service for item in front):
        of = [[item for item in each if item.service == service] for each in (without, front)]
        lines.append(row(service, *of))
    lines += [row("**all**", without, front), "", "| optional | dollars a month |", "|---|---|"]
    lines += [f"| `{switch}` | {dollars:.2f} |" for switch, dollars in optional().items()]
    lines += [f"| `FOLLOW=listing`, {keys:,} keys | {following(keys):.2f} |" for keys in (1_000, 10_000, 100_000)]
    return "\n".join(lines) + "\n"


def row(title: str, *columns: list[Item]) -> str:
    sums = [sum(values) for items in columns for values in ([i.listed for i in items], [i.paid for i in items])]
    return f"| {' | '.join([title, *(f'{dollars:.2f}' for dollars in sums)])} |"


if __name__ == "__main__":
    sys.stdout.write(tables())
