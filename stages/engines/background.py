"""Runs asynchronous work beside the main thread, which signals interrupt at any place.

An exception that a signal raises inside an event loop can get lost in a callback; here it arrives
where the main thread waits, ends the work, and reaches the caller.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns, or the exception it raises."""
    with _loop() as loop:
        return asyncio.run_coroutine_threadsafe(work, loop).result()


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop on a thread of its own; what is unfinished on leaving is cancelled."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="requests", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_others() -> None:
    """End every other task of this loop, and let them close what they hold."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
