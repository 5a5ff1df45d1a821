"""How runs are worked off. A run is a value (`spec`); what it does is in `seal_cli.pipeline`.

spec.py       the protocol: StageSpec, Plan, Batch, Job, Done, Executor
runner.py     key -> hit or resume -> batches -> commit: lock, journal, attempts, deadline
local.py      the executor that works in this process
runtime.py    what one process has loaded: models, engines, trainers, graders
models.py     a model as a spec holds it
"""
