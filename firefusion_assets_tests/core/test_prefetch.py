"""Work that is begun ahead of its turn."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from firefusion_assets.core.prefetch import ahead


def test_work_is_begun_in_order_and_no_further_ahead_than_told() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return -item

    taken: list[int] = []

    def items() -> Any:
        for item in range(20):
            assert item - len(taken) <= 3
            yield item

    with ThreadPoolExecutor(1) as pool, closing(ahead(pool, work, items(), 3)) as outcomes:
        for outcome in outcomes:
            taken.append(outcome.result())
    assert begun == list(range(20)) and taken == [-item for item in begun]
