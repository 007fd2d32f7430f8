"""Work in threads: order, how far ahead, errors."""

from collections.abc import Iterator

import pytest

from handbones.inference.background import in_background


def test_results_come_in_order_and_items_are_taken_only_so_far_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            taken.append(item)
            yield item

    results = []
    for result in in_background(lambda item: item**2, items(), ahead=3):
        assert len(taken) <= len(results) + 4
        results.append(result)
    assert results == [item**2 for item in range(10)]


def test_an_error_comes_up_at_its_item() -> None:
    results = in_background(lambda item: 1 // item, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
