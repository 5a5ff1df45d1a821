"""Where errors end: a sentence or two on stderr with what to do next, and an exit code.

The codes are those of `stages.errors`, and of the shell for signals. A traceback is a bug.
"""

import errno
import os
import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from seal_cli import console
from seal_cli.signals import SENTENCE, Stopped, heard
from stages.errors import ConfigError, InputError, ResourceError, SealError

_RESOURCE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EIO, errno.EMFILE}
_PAST_MEMORY = ("can't allocate memory", "not enough memory")


class Boundary(TyperGroup):
    """The group whose `invoke` every command runs under."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; whatever it raises becomes a message and an exit code."""
        try:
            with heard():
                return super().invoke(ctx)
        except SealError as error:
            console.complain(error)
            raise typer.Exit(error.exit_code) from error
        except Stopped as stop:
            console.say(SENTENCE)
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
    if isinstance(error, OSError) and error.errno == errno.EXDEV:
        return ConfigError(
            "parts of the store are on different disks.",
            "Put all of it on one, and link the store's own folder.",
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
