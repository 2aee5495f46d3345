"""The arithmetic of ``bench.units``."""

import pytest

from bench.units import written


@pytest.mark.parametrize(("size", "units"), [(1, 2), (1020, 2), (1021, 4), (5000, 10)])
def test_each_item_of_a_transaction_is_written_twice(size: int, units: int) -> None:
    item = {"pk": {"S": "p" * (size - 2) if size > 2 else ""}, "sk": {"B": b"\x00\x01"}}
    put = {"Put": {"TableName": "t", "Item": item}}
    delete = {"Delete": {"TableName": "t", "Key": {"pk": {"S": "p"}, "sk": {"S": "s"}}}}
    assert written([put]) == units
    assert written([put, put, delete]) == 2 * units + 2
