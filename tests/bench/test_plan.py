"""The scaling plan in docs/scaling.md is what the model computes."""

import pytest

from bench import cost, plan
from tests.support import ROOT


def test_the_documented_tables_are_what_the_script_prints() -> None:
    assert plan.tables() in (ROOT / "docs/scaling.md").read_text()


def test_the_shares_are_all_requests() -> None:
    assert sum(kind.share for kind in plan.KINDS) == pytest.approx(1)


@pytest.mark.parametrize(
    ("requests", "dollars"), [(1e6, 3.50), (333e6, 1165.50), (1e9, 3033.10), (20e9, 48253.10), (21e9, 49763.10)]
)
def test_the_gateway_is_cheaper_the_more_it_is_asked(requests: float, dollars: float) -> None:
    assert plan.gateway(requests) == pytest.approx(dollars)


def test_a_process_is_busy_for_as_long_as_it_works_and_waits() -> None:
    kinds = (plan.Kind("work", 0.5, 1, 10, 0), plan.Kind("wait", 0.5, 3, 0, 10))
    assert plan.seconds(kinds) == pytest.approx((10 / cost.CORES + 10) / 2 / 1000)
    assert plan.units(kinds) == 2


def test_what_is_larger_than_a_limit_of_the_code_is_known() -> None:
    from elasticpypi.hosts.aws import response_limit

    assert plan.ANSWER == response_limit.LARGEST
