"""The command line and the store of SEAL. What the model goes through is in `stages`."""

import stages

__version__ = "0.1.0"

if getattr(stages, "OWNER", None) != "seal-adapt":
    raise ImportError(
        f"the package 'stages' at {getattr(stages, '__file__', None)} is not seal-adapt's: "
        "another distribution overwrote it. Install seal-adapt in an environment of its own."
    )
