"""Named places where a test can kill the process or make the disk fail.

`SEAL_FAILPOINT=batch-written:kill` ends the process with SIGKILL there; `:error` raises an I/O
error; `:kill@3` waits for the third time. Unset, a fail point is one dictionary look-up.
"""

import errno
import os
import signal

FAILPOINTS = (
    "attempt-written",  # the run is recorded, nothing is done yet
    "batch-written",  # a batch's rows are on disk under a temporary name
    "batch-renamed",  # they count now
    "parts-written",  # the artifact's Parquet files are made
    "manifest-written",  # and its manifest, all still in the work folder
    "published",  # the one rename has happened
    "index-written",  # the new index is made under a temporary name
    "index-replaced",  # and in place; the work folder is still there
)
FAR = ("file-sent", "file-received")  # of push and pull; a run passes none of them
_seen = dict.fromkeys((*FAILPOINTS, *FAR), 0)


def failpoint(name: str) -> None:
    """Die or fail here if the environment asks for it."""
    wanted = os.environ.get("SEAL_FAILPOINT")
    if not wanted:
        return
    place, _, action = wanted.partition(":")
    action, _, count = action.partition("@")
    if place not in _seen or action not in ("kill", "error"):
        raise ValueError(f"SEAL_FAILPOINT={wanted}: use name:kill or name:error, names {[*_seen]}")
    if place != name:
        return
    _seen[name] += 1
    if _seen[name] != int(count or 1):
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(errno.EIO, f"fail point {name}")
