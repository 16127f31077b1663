"""Work that a pool does ahead of whoever takes its results, in order and never far ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(pool: Executor, work: Callable[[T], R], items: Iterable[T], n: int) -> Generator[Future[R], None, None]:
    """Yield the outcome of each piece of work, in the order of the items.

    Memory and disk hold what at most `n + 1` items gave, besides the one that was taken last. Close the generator when
    no more is wanted: then no further work begins.

    Args:
        pool: of threads or processes.
        work: what is done with an item.
        items: taken one by one, as the work goes on.
        n: how many more items are begun before the result of one is taken.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > n:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for outcome in waiting:
            outcome.cancel()
