"""Every error the project raises, as one tree. What is not in it is a bug.

    SealError                 exit code
    ├── ConfigError           2    an option, a setting or a combination of them is not usable
    ├── InputError            3    an artifact or file is missing, corrupt or not understood
    ├── RowsFailed            4    rows failed and --strict was given; the artifact is published
    ├── ResourceError         5    disk or memory ran out
    │   └── OutOfTime         5    the time that was given is spent; finished batches are kept
    ├── BusyError             75   another process is working on the same key
    ├── InvalidSelfEdit       row  the policy's fault: the row gets status `invalid`
    └── RowFailure            row  our fault: the row gets status `failed`

A message says what is wrong in one sentence; `hint` says what to do next. The last two are caught
by the stages, where one item fails and its siblings go on; all others end the command and are
rendered by the one boundary, `seal_cli.boundary`. A traceback in Python has the hint as a note.
"""


class SealError(Exception):
    """Base of the tree; `exit_code` is what the command ends with."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)


class ConfigError(SealError):
    """An option, a setting or a combination of them is not usable."""

    exit_code = 2


class InputError(SealError):
    """An artifact or a file is missing, corrupt or not understood."""

    exit_code = 3


class RowsFailed(SealError):
    """All rows failed, or some and --strict was given; the artifact is published all the same."""

    exit_code = 4


class ResourceError(SealError):
    """Disk or memory ran out; what was finished is kept."""

    exit_code = 5


class OutOfTime(ResourceError):
    """The time that was given (`--budget`) is spent; what was finished is kept."""


class BusyError(SealError):
    """Another process holds the lock of the same artifact."""

    exit_code = 75


class InvalidSelfEdit(SealError):
    """The policy wrote something that cannot or may not be trained on."""


class RowFailure(SealError):
    """One item could not be processed, through no fault of the policy."""
