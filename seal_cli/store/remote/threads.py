"""One thing done to many names, in threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_threads(threads: int, function: Callable[[str], T], names: Iterable[str]) -> list[T]:
    """What it gives for each; the first error is raised, and ends what was not begun."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            return [done.result() for done in [pool.submit(function, name) for name in names]]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
