"""The whole SEAL release, made of the part that is at hand: copies with other names and datasets.

What a copy holds are real passages, questions, answers and verdicts of another run; each copy's
self-edits begin with its name, so that no two files have the same ones. The names are those that
the research notes and the released files use; three of the prompts stand for all.
"""

import copy
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROMPTS = ("long", "rewrite", "none")
FEW = 4  # passages of a copied round of RL
V2, V1 = "general-knowledge", "knowledge-incorporation"


class Maker:
    """Writes the copies into a folder that has the files at hand, of either layout's names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = self._read(V2, "results/query_server/eval/base.json")
        self.rank = self._read(V2, "results/query_server/train/rank_iter0.json")
        self.cpt = self._read(V2, "results/cpt/200/base_200.json")

    def _read(self, *name: str) -> Any:
        return json.loads(self.root.joinpath(*name).read_text(encoding="utf-8"))

    def put(self, name: str, content: Any) -> None:
        """Write one file of the second layout; what the first has of it as well."""
        path = self.root / V2 / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")

    def run(
        self, source: Any, name: str, dataset: str, n: int | None = None, **fields: Any
    ) -> None:
        """A run of the query server; every answer after the first third is turned."""
        made = copy.deepcopy(source)
        made["articles"] = made["articles"][:n]
        made |= {"dataset": dataset, "n_articles": len(made["articles"])} | fields
        turned = random.Random(name)
        for article in made["articles"]:
            for completion in article["completions"]:
                completion["text"] = f"[{name}] {completion['text']}"
                for question in completion["questions"]:
                    if turned.random() < 0.3:
                        question["adapter_correct"] = not question["adapter_correct"]
        self.put(name, made)

    def evaluations(self) -> None:
        """One passage at a time: rounds 1 and 2, all prompts, 3B, GPT-4.1, the adapter."""
        data, out = "data/synthetic_data/eval", "results/query_server"
        for number in (1, 2):
            name = f"{out}/eval/iter{number}.json"
            self.run(self.base, name, f"{data}/iter{number}_val.json", exp_name="eval_base")
        for prompt in PROMPTS:
            for who in ("base", "iter1", "iter2", "openai"):
                if (who, prompt) == ("base", "long"):
                    continue  # at hand
                stem = f"{who}_val_prompt-{prompt}"
                name = f"{out}/alternate_prompts/eval/{who}_prompt-{prompt}.json"
                dataset = f"{data}/alternate_prompts/{who}/{stem}.json"
                exp = "eval_gpt" if who == "openai" else f"{prompt}_eval"
                self.run(self.base, name, dataset, exp_name=exp)
        for who in ("base", "iter1", "iter2"):
            dataset = f"{V2}/data/synthetic_data/3B/eval/{who}_val.json"
            self.run(self.base, f"{out}/3B/eval/{who}.json", dataset, exp_name="eval_base")
        self.run(self.base, f"{out}/eval/generative-adapter.json", f"{data}/base_val.json",
                 exp_name="eval_ga")  # fmt: skip

    def rounds(self) -> None:
        """Rounds of RL: every prompt, the validation run, the proxy, one without answers."""
        data, out = "data/synthetic_data/train", "results/query_server"
        for prompt in PROMPTS[:-1]:
            name = f"{out}/alternate_prompts/train/rank_iter0_prompt-{prompt}.json"
            self.run(self.rank, name, f"{data}/iter0_train_prompt-{prompt}.json", FEW)
        name = f"{out}/alternate_prompts/train/rank_iter0_prompt-none.json"
        dataset = "data/synthetic_data/eval/alternate_prompts/base/base_val_prompt-none.json"
        self.run(self.base, name, dataset)
        self.run(self.rank, f"{out}/3B/train/rank_iter0.json", f"{data}/3B/iter0_train.json", FEW)
        proxied = copy.deepcopy(self.rank) | {"reward_mode": "proxy"}
        bare = copy.deepcopy(self.rank)
        for each, proxy in ((proxied, True), (bare, False)):
            for i, article in enumerate(each["articles"]):
                for j, completion in enumerate(article["completions"]):
                    completion["questions"] = []
                    if proxy:
                        completion["stats"] = {
                            "adapter_mean": 0.0,
                            "proxy_mean": 14.0 + (i + j) % 4,
                        }
                        completion["proxy_scores"] = [{"final": 14}]
        # The proxy's self-edits are those of rank_iter0.
        self.put(f"{out}/proxy/rank_iter0_proxy.json", proxied | {"exp_name": "train_proxy"})
        del bare["model"]
        self.run(bare, f"{out}/train/rank_iter1.json", f"{data}/iter1_train.json", FEW,
                 model="models/sft_best1of5_iter0")  # fmt: skip

    def pretraining(self) -> None:
        """Many passages: round 2, GPT-4.1 at 2067, EntiGraph with triples, the first release's."""
        data = "data/synthetic_data"
        pair = self._read(V2, "results/cpt/200/enti-pair_200.json")
        many = self._read(V2, "results/cpt/2067/base_2067.json")
        old = self._read(V2, "results/cpt/old/cpt_base.json")
        model = {"model": "Qwen/Qwen2.5-7B"}
        for name, source, dataset, fields in (
            ("200/iter2_200", self.cpt, "eval/iter2_val", model),
            ("200/enti-all_200", pair, "eval/alternate_prompts/base/base_val_entigraph",
             model | {"k_completions": 10, "train_sequences": 2247}),
            ("2067/iter2_2067", many, "eval_full/iter2_val", model),
            ("2067/gpt4_1_2067", many, "eval_full/gpt4_1_val", model),
            ("2067/enti-all_2067", many, "eval_full/base_val_entigraph",
             model | {"k_completions": 10}),
            ("old/cpt_iter2", old, "eval/iter2_val", {}),
            ("old/cpt_gpt4_1", old, "eval/gpt4_1_val", {}),
        ):  # fmt: skip
            made = copy.deepcopy(source) | {"dataset": f"{data}/{dataset}.json"} | fields
            answers = made.get("per_question") or made["server_reply"]
            if name != "200/iter2_200":  # there the unadapted model was asked again
                answers |= {"baseline_texts": None, "baseline_correct": None} if fields else {}
            turned = random.Random(name)
            right = answers["adapter_correct"]
            answers["adapter_correct"] = [mark and turned.random() < 0.9 for mark in right]
            self.put(f"results/cpt/{name}.json", made)

    def continual(self) -> None:
        """The same sequences by a 3B model."""
        made = self._read(V2, "results/continual_self_edits/run0/summary_1748902664.json")
        name = "results/continual_self_edits/3B/run0/summary_1.json"
        self.put(name, made | {"base_model": "models/3B/iter2"})

    def first_layout(self, names: Sequence[str]) -> None:
        """The same files under the first release's names."""
        for name in names:
            target = self.root / V1 / name.replace("cpt/old", "cpt")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / V2 / name, target)


def make(root: Path, *parts: Path) -> None:
    """The whole release in an empty folder, of the folders with the parts that are at hand."""
    for part in parts:
        shutil.copytree(part, root, dirs_exist_ok=True)
    for path in root.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    maker = Maker(root)
    maker.evaluations()
    maker.rounds()
    maker.pretraining()
    maker.continual()
    maker.first_layout(
        [
            "data/squad_val.json",
            "data/synthetic_data/eval/base_val.json",
            "results/query_server/eval/base.json",
            "results/query_server/eval/iter2.json",
            "results/query_server/train/rank_iter0.json",
            "results/cpt/old/cpt_base.json",
            "results/cpt/old/cpt_iter2.json",
        ]
    )
