"""Signals that ask the process to end: one sentence and the shell's code, wherever they arrive.

Within a command (`heard`) a signal raises Stopped, which closes what is open. Python drops an
exception that a signal handler raises inside a destructor or a C callback, and libraries turn it
into one of their own; the handler therefore also takes a note. Elsewhere, and at the second signal,
the process ends at once: what counts is on disk, and the rest is made again.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
SENTENCE = "interrupted; finished batches are kept: run the same command to go on."
_arrived: list[int] = []
_within = False


class Stopped(BaseException):
    """A signal asked the process to end. `exit_code` is the shell's: 128 + signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.exit_code = 128 + number


def install() -> None:
    """Handle them from now on; a hang-up only where nobody (nohup) had it ignored."""
    _arrived.clear()
    for number in ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _lost


@contextmanager
def heard() -> Iterator[None]:
    """Let a signal raise Stopped, also where a library made another exception of it."""
    global _within
    _within = True
    try:
        yield
    except Exception as error:
        if _arrived:
            raise Stopped(_arrived[0]) from error
        raise
    finally:
        _within = False


def check() -> None:
    """Raise Stopped if a signal came and its exception went unheard."""
    if _arrived:
        raise Stopped(_arrived[-1])


def _lost(unraisable: "sys.UnraisableHookArgs") -> None:
    """Python tells of a Stopped that it dropped; the note of it is enough."""
    if not isinstance(unraisable.exc_value, Stopped):
        sys.__unraisablehook__(unraisable)


def _stop(number: int, _: FrameType | None) -> None:
    _arrived.append(number)
    if _within and len(_arrived) == 1:
        raise Stopped(number)
    with suppress(OSError):
        os.write(2, f"{SENTENCE}\n".encode())
    os._exit(128 + number)
