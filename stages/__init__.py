"""What the model goes through, one module per stage of SEAL (Zweiger et al., arXiv 2506.10943).

  contexts ─generate▶ self_edits ─adapt▶ adapters ─score▶ rewards ─filter▶ selection ─update▶ policy
     ▲                                                                                   │
     └────────────────────────────── next round ◀────────────────────────────────────────┘
                                                metrics ◀──eval── policy

Records in, records out. Nothing here knows the command line, the console, a file format or the
store: those are `seal_cli`. Importing this package imports nothing heavy.
"""

PIPELINE = ("generate", "adapt", "score", "filter", "update", "eval")

# `stages` is a generic name: another distribution that ships one would overwrite this file without
# a word from pip. `seal_cli` refuses to start when this marker is not the one it expects.
OWNER = "seal-adapt"
