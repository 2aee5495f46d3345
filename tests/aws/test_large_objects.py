"""The function sync on objects far larger than its memory, on another S3."""

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from boto3.s3.transfer import TransferConfig

from tests.support.builders import make_sparse_wheel
from tests.support.moto_aws import set_up_clients

pytestmark = pytest.mark.aws

GB = 1024**3
MEMORY = 128 * 1024 * 1024

# As the function has it: no more than what ranged reads and a digest need. Prints action, digest and bytes read.
SYNC = """
import re, sys
from elasticpypi.indexing import sync
from elasticpypi.storage.aws import s3
from elasticpypi.storage.local.sqlite import SQLiteIndex

read = 0
real = s3._ObjectReader.readinto
def counted(self, buffer):
    global read
    count = real(self, buffer)
    read += count
    return count
s3._ObjectReader.readinto = counted
bucket, key, index = sys.argv[1:]
index = SQLiteIndex(__import__("pathlib").Path(index))
outcome = sync.sync(s3.S3Files(bucket), index, key)
record = next(index.records())
print(outcome.action, record.sha256, record.metadata_sha256 is not None, read)
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024)
"""


def test_3_gb_in_128_mb_of_memory(seaweedfs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_clients(monkeypatch, AWS_ENDPOINT_URL_S3=seaweedfs)
    bucket = f"bucket-{uuid4()}"
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket)
    wheel = make_sparse_wheel(tmp_path, "huge", "1.0", 3 * GB)
    s3.upload_file(
        str(wheel), bucket, wheel.name, Config=TransferConfig(multipart_chunksize=64 * 1024**2, max_concurrency=2)
    )
    command = [sys.executable, "-c", SYNC, bucket, wheel.name, str(tmp_path / "index.db")]
    said, peak = subprocess.run(command, check=True, text=True, capture_output=True).stdout.splitlines()
    action, digest, has_metadata, read = said.split()
    expected = subprocess.run(["sha256sum", wheel], check=True, text=True, capture_output=True).stdout.split()[0]
    assert (action, digest, has_metadata) == ("written", expected, "True")
    assert int(read) < wheel.stat().st_size + 1024**2  # once for the digest, and its directory
    assert int(peak) < MEMORY
