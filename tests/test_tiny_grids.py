"""The grid model that comes with the package, and the world it lives in."""

import json
from pathlib import Path
from typing import Any

from tiny_grids import world

from seal_cli.pipeline.models import TINY_GRIDS
from stages.domains.arc import Arc
from stages.domains.arc.tool_call import parse

arc = Arc()

EXAMPLE = Path(__file__).parent.parent / "examples/tiny_grids"


def tasks(split: str) -> list[dict[str, Any]]:
    lines = (TINY_GRIDS / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_it_is_small_and_loads_without_us() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert sum(file.stat().st_size for file in TINY_GRIDS.glob("*")) < 10_000_000
    model = AutoModelForCausalLM.from_pretrained(TINY_GRIDS)
    tokenizer = AutoTokenizer.from_pretrained(TINY_GRIDS)
    assert model.config.head_dim >= 32  # vLLM runs no smaller ones on a CPU
    assert len(tokenizer) == model.config.vocab_size


def test_its_tokenizer_gives_every_text_of_its_world_back() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY_GRIDS)
    texts = ["Ünïcode 日本\t  two  spaces\n"]
    for row in tasks("train") + tasks("eval"):
        context, questions = arc.read(row, ordinal=0, split="")
        texts += [arc.prompt(context, arc.recipe(name).steps[0].prompt) for name in arc.PRESETS]
        texts += [arc.ask(context, questions[0], view) for view in range(arc.VIEWS)]
    for text in texts:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_its_tasks_are_the_worlds_and_none_is_in_both_splits() -> None:
    for split in ("train", "eval"):
        assert json.loads(json.dumps(world.tasks(split))) == tasks(split)
    train, held_out = ({json.dumps(t["train"]) for t in tasks(s)} for s in ("train", "eval"))
    assert len(held_out) >= 40
    assert not train & held_out


def test_a_rule_is_what_its_name_says() -> None:
    found = {rule.name: rule for rule in world.rules()}
    cells = tuple(range(1, 10))
    turned = found["corner before, edge before, centre stays"].apply(cells)
    assert turned == (7, 4, 1, 8, 5, 2, 9, 6, 3)  # a quarter turn, clockwise
    assert found["corner stays, edge emptied, centre emptied"].apply(cells) == (
        (1, 0, 3, 0, 0, 0, 7, 0, 9)
    )
    assert len({rule.sources for rule in found.values()}) == len(found) == 49


def test_the_habit_writes_what_the_domain_reads() -> None:
    import random

    chance = random.Random(0)
    calls = [parse(world.self_edit(chance)) for _ in range(300)]
    rates = {call.training.learning_rate for call in calls}
    assert rates == set(world.HABIT["learning_rate"])
    parse((EXAMPLE / "oracle.json").read_text())


def test_it_writes_tool_calls_of_many_kinds(seal: Any) -> None:
    contexts = seal("import", "contexts", "tiny-grids", "--limit", 8).id
    seal("generate", contexts, "--policy", "tiny-grids")
    query = "select count(*), count(distinct completion) > 25 from self_edits where status = 'ok'"
    n, many = seal("sql", query, "-f", "csv").out.splitlines()[1].split(",")
    assert (int(n) >= 38, many) == (True, "True")


def test_training_on_a_task_helps_as_the_oracle_says(seal: Any) -> None:
    contexts = seal("import", "contexts", "tiny-grids", "--limit", 8).id
    seal("eval", "tiny-grids", contexts, "--oracle", EXAMPLE / "oracle.json")
    query = "select method, value from metrics where metric = 'accuracy'"
    rows = seal("sql", query, "-f", "csv").out.splitlines()[1:]
    values = dict(row.split(",") for row in rows)
    assert float(values["oracle"]) > float(values["in-context"]) + 0.1
