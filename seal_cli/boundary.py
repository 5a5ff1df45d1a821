"""Where errors end: a sentence or two on stderr with what to do next, and an exit code.

The codes are those of `stages.errors`, and of the shell for signals. A traceback is a bug.
"""

import errno
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from seal_cli import console
from seal_cli.signals import Stopped
from seal_cli.store.query import RESULT_LIMIT, too_slow
from stages.errors import InputError, ResourceError, SealError

PROCESS_LIMIT = 3 * RESULT_LIMIT  # a query's memory, its result's, and what neither counts
GRACE = 2.0  # seconds in which a query may let itself be interrupted
_RESOURCE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EIO, errno.EMFILE}
_PAST_MEMORY = ("can't allocate memory", "not enough memory")


class Boundary(TyperGroup):
    """The group whose `invoke` every command runs under."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; whatever it raises becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except SealError as error:
            console.complain(error)
            raise typer.Exit(error.exit_code) from error
        except Stopped as stop:
            console.say("interrupted; finished batches are kept: run the same command to go on.")
            raise typer.Exit(stop.exit_code) from stop
        except BrokenPipeError:
            # The reader went away (`| head`): nothing may be flushed to it, and it is no bug.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(128 + signal.SIGPIPE) from None
        except (OSError, MemoryError, RuntimeError) as error:
            known = _refusal(error)
            if known is None:
                raise
            console.complain(known)
            raise typer.Exit(known.exit_code) from error


def _refusal(error: BaseException) -> SealError | None:
    """What the operating system refused, as our error; None for anything else."""
    if isinstance(error, OSError) and error.errno in _RESOURCE:
        return ResourceError(
            f"the disk or another resource ran out: {error}.",
            "Free some and run the same command: finished batches are kept.",
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ResourceError(
            f"no access: {error}.", "Check the permissions, or choose another --store."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
        return InputError(f"{error.strerror}: {error.filename}.", "Check the path.")
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if memory or any(text in str(error) for text in _PAST_MEMORY):
        return ResourceError(
            "memory ran out.",
            "Lower --decode-batch, --max-tokens or --max-length, or use a smaller model.",
        )
    return None


@contextmanager
def confined(seconds: float) -> Iterator[None]:
    """Ends the process when a query does not let itself be interrupted, and bounds its memory.

    DuckDB neither stops inside one function call nor counts its memory: `repeat('a', 4000000000)`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([PROCESS_LIMIT, *bounds]), hard))
    timer = threading.Timer(seconds + GRACE, _give_up, [seconds])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _give_up(seconds: float) -> None:
    """Nothing is lost: a query writes nothing, and nothing was printed yet."""
    error = too_slow(seconds)
    console.complain(error)
    os._exit(error.exit_code)
