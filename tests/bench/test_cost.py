"""What the documentation says of costs is what the model computes, of the deployment as it is."""

import re
import subprocess
import sys

import pytest

from bench import cost
from tests.support import ROOT

RATIONALE = (ROOT / "RATIONALE.md").read_text()
DEPLOY = (ROOT / "docs/deploy-aws.md").read_text()
TEMPLATE = (ROOT / "serverless.yml").read_text()


def test_the_documented_tables_are_what_the_script_prints() -> None:
    printed = subprocess.check_output([sys.executable, "bench/cost.py"], cwd=ROOT, text=True)
    assert "| **all** |" in printed
    assert printed in RATIONALE


def test_the_page_of_the_deployment_has_the_same_numbers() -> None:
    without, front = (sum(item.paid for item in cost.bill(cloudfront=choice)) for choice in (False, True))
    assert f"about ${without:.0f}," in DEPLOY
    assert f"${front:.0f} with CloudFront" in DEPLOY
    for switch, dollars in cost.optional().items():
        [cell] = re.findall(rf"^\| `ELASTICPYPI_{switch}=\w+` \|.*\| (.*) \|$", DEPLOY, re.MULTILINE)
        assert f"${dollars:.2f}" in cell


def test_the_model_is_of_this_template() -> None:
    assert f"memorySize: {cost.MEMORY_GB * 1024:.0f}\n" in TEMPLATE
    assert "architecture: arm64\n" in TEMPLATE
    alarms = TEMPLATE.count("Type: AWS::CloudWatch::Alarm")
    assert [item.amount for item in cost.bill(cloudfront=False) if item.price == cost.ALARM] == [alarms]


@pytest.mark.parametrize(("amount", "listed", "paid"), [(5, 10, 0), (10, 20, 0), (15, 30, 10)])
def test_what_is_free_is_not_paid(amount: float, listed: float, paid: float) -> None:
    item = cost.Item("thing", amount, price=2, free=10)
    assert (item.listed, item.paid) == (listed, paid)


def test_lambda_bills_time_and_memory() -> None:
    # A second of a whole core takes 1.73 s at 1,024 MB; what waits takes as long as it takes.
    assert cost.gb_seconds(1, 1000) == pytest.approx(1769 / 1024)
    assert cost.gb_seconds(1000, 0, 5) == pytest.approx(5)


def test_every_byte_is_transferred_once() -> None:
    def gigabytes(cloudfront: bool) -> float:
        prices = cost.TRANSFER_GB, cost.CLOUDFRONT_GB
        return sum(item.amount for item in cost.bill(cloudfront) if item.price in prices)

    assert gigabytes(True) == pytest.approx(gigabytes(False))
    assert gigabytes(False) == pytest.approx(cost.DOWNLOADED_GB, rel=0.01)
