"""SQL that comes from anybody: what its connection may do, for how long, with how much memory.

DuckDB neither stops inside one function call nor counts the memory of one
(`repeat('a', 4000000000)`), and no signal is heard there: then a thread ends the process, if it is
one of a command's own (`own_process`). Nothing is lost: a query writes nothing, and whoever runs
one has printed nothing yet.
"""

import logging
import os
import resource
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import ResourceError

if TYPE_CHECKING:
    import duckdb

LOG = logging.getLogger(__name__)
SECONDS = 60.0  # unless somebody says otherwise
MEMORY_LIMIT = "2GiB"
MEMORY = 2 << 30  # the same in bytes
GRACE = 2.0  # seconds in which a query may let itself be interrupted
_own = False
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def close_off(connection: "duckdb.DuckDBPyConnection", *allowed: str) -> None:
    """Lock everything away but what is in memory and, of files, what begins as `allowed` say."""
    for setting in (
        "temp_directory = ''",
        f"allowed_directories = {list(allowed)}",
        "enable_external_access = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "enable_progress_bar = false",  # it would be printed to stdout
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")


@contextmanager
def interrupted_after(connection: "duckdb.DuckDBPyConnection", seconds: float) -> Iterator[None]:
    """Stop what the connection runs when the time is over; DuckDB raises InterruptException."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def own_process() -> None:
    """Let `confined` bound and end this process: for the command line alone, not for a notebook."""
    global _own
    _own = True


@contextmanager
def confined(seconds: float) -> Iterator[None]:
    """Bounds the process's memory, and ends it when a query heeds neither the time nor a signal."""
    if not _own:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _data_in_use() + 3 * MEMORY  # the query's, its result's, and what neither counts
    bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *bounds]), hard))
    try:
        with _watched(seconds + GRACE):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_in_use() -> int:
    """Bytes of this process that RLIMIT_DATA counts; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize()


@contextmanager
def _watched(seconds: float) -> Iterator[None]:
    """A thread that ends the process after `seconds`, or a while after a signal."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    hears = threading.current_thread() is threading.main_thread()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False) if hears else -1
    thread = threading.Thread(target=_watch, args=(reader, seconds), daemon=True)
    thread.start()
    try:
        yield
    finally:
        if hears:
            signal.set_wakeup_fd(before)
        os.close(writer)
        thread.join()
        os.close(reader)


def _watch(reader: int, seconds: float) -> None:
    """Wait for the end of the query: the other end of `reader` is closed then."""
    deadline, number = time.monotonic() + seconds, 0
    while select.select([reader], [], [], max(deadline - time.monotonic(), 0))[0]:
        arrived = os.read(reader, 1)
        if not arrived:
            return
        if arrived[0] in _ENDING and not number:
            deadline, number = time.monotonic() + GRACE, arrived[0]
    if number:
        LOG.error("interrupted: run the same command to go on.")
        os._exit(128 + number)
    error = too_slow(seconds - GRACE)
    LOG.error("%s %s", error.message, error.hint)
    os._exit(error.exit_code)


def too_slow(seconds: float) -> ResourceError:
    """What to say of a query whose time is over."""
    return ResourceError(
        f"the query took longer than {seconds:g} s.", "Narrow it; `seal sql` takes --timeout."
    )


def spent(text: str, seconds: float) -> ResourceError | None:
    """An error of DuckDB's as ours if a limit was reached. Arrow passes on its words alone."""
    if text.startswith("INTERRUPT Error"):
        return too_slow(seconds)
    if text.startswith("Out of Memory Error") or "std::bad_alloc" in text:
        return ResourceError(
            f"the query needs more than {MEMORY_LIMIT}.",
            "Narrow it, or open index.duckdb with DuckDB itself.",
        )
    if "Too many open files" in text:
        return ResourceError("too many files are open.", "Raise the limit: ulimit -n 4096.")
    return None
