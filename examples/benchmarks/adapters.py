"""`seal bench adapters` without the command line: torch, transformers, peft and safetensors alone.

    python examples/benchmarks/adapters.py --shape qwen2.5-7b --device cuda --slots 16,32,64 -n 128

For a bare GPU image: run it from the root of a checkout. Prints one JSON object.
"""

import argparse
import json
from dataclasses import asdict

from stages.bench import adapters as bench
from stages.config import AdaptConfig

# As the shipped model is trained; the other shapes are trained as the paper's model.
LITTLE = AdaptConfig(rank=16, alpha=32, targets="all-linear", epochs=4, learning_rate=3e-3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=bench.SHAPES, default="tiny")
    parser.add_argument("--slots", default="8,16,32,64")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-n", "--number", type=int, default=64)
    parser.add_argument("--answer-tokens", type=int, default=64)
    given = parser.parse_args()
    lm = bench.random_model(given.shape, given.device)
    config = LITTLE if given.shape in ("tiny", "small") else AdaptConfig()
    work = bench.round0(lm, config, given.number, given.answer_tokens)
    results = list(bench.measure(lm, work, [int(k) for k in given.slots.split(",")]))
    print(json.dumps({"results": [asdict(r) for r in results], **bench.ratios(results)}, indent=1))


if __name__ == "__main__":
    main()
