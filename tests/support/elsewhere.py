"""Another process that is given pickled specs and a store, and works them off.

      python elsewhere.py STORE SPECS ROWS

SPECS is a pickle of name -> spec. ROWS becomes a pickle of name -> the rows by table, without what
differs from run to run.
"""

import pickle
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seal_cli.execution.local import Local
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, StageSpec
from seal_cli.store.schema import TABLE_OF, VOLATILE
from seal_cli.store.workspace import Workspace
from stages.records import Record


def work_off(spec: StageSpec, store: Workspace, runtime: Runtime) -> list[Record]:
    """All rows of a spec, phase by phase, cut as its plan says."""
    executor = Local(runtime, store)
    plan = executor.plan(spec)
    rows: list[Record] = []
    with tempfile.TemporaryDirectory() as folder:
        job = Job(f"{spec.STAGE}-elsewhere", plan, Path(folder))
        for phase, items in enumerate(spec.phases(store)):
            size = 1 if phase else plan.batch
            cuts = [tuple(items[i : i + size]) for i in range(0, len(items), size)]
            batches = [Batch(f"{phase}/{i}", phase, cut) for i, cut in enumerate(cuts)]
            made = list(rows)
            for done in executor.run(spec, job, batches, made):
                rows += done.rows
    return rows + spec.finish(store, rows)


def comparable(rows: list[Record]) -> dict[str, list[dict[str, Any]]]:
    """Rows by table as plain data; a new policy's own id is its artifact's, which is not known."""
    by_table, found = defaultdict(list), {}
    for row in rows:
        by_table[TABLE_OF[type(row)]].append(row)
    for table, records in by_table.items():
        volatile = {*VOLATILE.get(table, ()), *(("policy",) if table == "policies" else ())}
        plain = [{k: v for k, v in asdict(r).items() if k not in volatile} for r in records]
        found[table] = sorted(plain, key=repr)
    return found


if __name__ == "__main__":
    store, specs, out = map(Path, sys.argv[1:])
    workspace = Workspace(store)
    runtime = Runtime(workspace, "cpu")
    given = pickle.loads(specs.read_bytes())
    made = {name: comparable(work_off(spec, workspace, runtime)) for name, spec in given.items()}
    out.write_bytes(pickle.dumps(made))
