"""How long `seal update` trains, beside one row after another with PEFT (as it was before).

    python examples/benchmarks/update.py [--runs 5]

The tiny model learns from 60 self-edits of its own by its own settings. Both trainers take turns;
printed are the ratio of process seconds of each run, their median, and by how much the LoRAs
differ, relative to the update.
"""

import argparse
import json
import statistics
import tempfile
import time

import torch

from seal_cli.api import Seal
from seal_cli.pipeline.resolve import Resolver
from stages import update as stage
from stages.bench.adapters import distance
from stages.config import UpdateConfig
from stages.records import SelfEdit
from stages.training import Trained
from stages.training.reference import ReferenceTrainer

N_CONTEXTS, N_SAMPLES = 12, 5


def main() -> None:
    """Train, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        seal = Seal(folder)
        contexts = seal.import_contexts("tiny", split="train")
        made = seal.generate(contexts, "tiny", samples=N_SAMPLES, limit=N_CONTEXTS)
        edits = [row for row in made.artifact.rows(SelfEdit) if row.status == "ok"]
        print(json.dumps(measured(seal, seal.resolver(), edits, runs), indent=1))


def measured(seal: Seal, resolve: Resolver, edits: list[SelfEdit], runs: int) -> dict[str, object]:
    """The ratios of all runs."""
    model = resolve.model("tiny")
    config = resolve.config(UpdateConfig, model)
    reference = resolve.reference(model, "auto", config.targets)
    lm = seal.runtime.model(reference)
    trainers = {
        "before": ReferenceTrainer(lm),
        "now": seal.runtime.trainer(reference, slots=1, packed=True),
    }
    ratios, results = [], dict[str, Trained]()
    for _ in range(runs):
        seconds = {}
        for name, trainer in trainers.items():
            begun = time.process_time()
            results[name], _ = stage.update(
                edits,
                policy=reference.policy,
                tokenizer=lm.tokenizer,
                targets=reference.targets,
                trainer=trainer,
                config=config,
            )
            seconds[name] = time.process_time() - begun
        ratios.append(seconds["before"] / seconds["now"])
    return {
        "self_edits": len(edits),
        "threads": torch.get_num_threads(),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "median": round(statistics.median(ratios), 2),
        "difference": distance(results["now"], results["before"]),
    }


if __name__ == "__main__":
    main()
