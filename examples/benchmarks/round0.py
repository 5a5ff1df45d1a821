"""The lengths of the released round-0 self-edits, counted: makes stages/bench/round0.json.

    python examples/benchmarks/round0.py ../shared/data/official/general-knowledge

The first 5 self-edits of each of the first 50 passages in `synthetic_data/train/iter0_train.json`
of the SEAL release (MIT licence; written by Qwen2.5-7B before any RL), made into rows as
`stages.domains.knowledge` makes them. Tokens are counted as 1.35 a word, which agreed with
Qwen2.5's tokenizer within 5 % on these texts; every row ends with one end token more.
"""

import json
import sys
from pathlib import Path

from stages.domains import knowledge

TOKENS_PER_WORD = 1.35
N_PASSAGES, N_SAMPLES = 50, 5
SAID = "token counts of 250 self-edits of the SEAL release, by examples/benchmarks/round0.py"


def tokens(text: str) -> int:
    """About how many tokens a text has."""
    return max(1, round(TOKENS_PER_WORD * len(text.split())))


def main(folder: Path) -> None:
    """Write the table."""
    articles = json.loads((folder / "data/synthetic_data/train/iter0_train.json").read_text())
    table = []
    for i, article in enumerate(articles[:N_PASSAGES]):
        context, questions = knowledge.read(article, ordinal=i, split="train")
        asked = [tokens(knowledge.ask(context, question)) for question in questions]
        for completion in article["completions"][:N_SAMPLES]:
            examples = knowledge.lessons(context, completion, "implications", limit=10**9)
            rows = [tokens(example.completion) + 1 for example in examples]
            table.append({"rows": rows, "questions": asked})
    lines = ",\n".join(json.dumps(entry) for entry in table)
    target = Path(__file__).parent.parent.parent / "stages/bench/round0.json"
    target.write_text(f'{{"source": "{SAID}",\n"self_edits": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
