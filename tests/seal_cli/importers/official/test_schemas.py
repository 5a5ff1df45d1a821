"""Files that are not at hand, made after the schemas of the release; and broken ones."""

import errno
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

PASSAGES = [
    {
        "title": f"Pier {i}",
        "context": f"The pier number {i} was built in {1900 + i}.",
        "questions": [
            {"question": f"When was pier {i} built?", "answer": str(1900 + i)},
            {"question": "Which pier is it?", "answer": f"number {i}"},
        ],
    }
    for i in range(4)
]
LORA = {"rank": 32, "alpha": 64, "dropout": 0.0, "epochs": 10, "lr": 1e-3, "batch_size": 1}


def article(i: int, *, samples: int = 2, reps: int = 2, proxy: bool = False) -> dict[str, Any]:
    """An article of the query server; without repeats, one that lost its question rows."""
    completions: list[dict[str, Any]] = []
    for sample in range(samples):
        questions = [
            {
                "rep": rep,
                **question,
                "baseline_answer": "No idea.",
                "adapter_answer": question["answer"] if sample else "",
                "baseline_correct": False,
                "adapter_correct": bool(sample),
            }
            for rep in range(reps)
            for question in PASSAGES[i]["questions"]
        ]
        stats: dict[str, Any] = {
            "baseline_mean": 0.0,
            "baseline_std": 0.0 if reps else None,
            "adapter_mean": 0.0 if proxy else float(sample),
            "adapter_std": 0.3,
            "gain_mean": 0.0 if proxy else float(sample),
        }
        completion = {"text": f"Self-edit {sample} of {i}.", "stats": stats, "questions": questions}
        if proxy:
            stats["proxy_mean"] = 16.5 + sample
            completion["proxy_scores"] = [{"length": 4, "diversity": 4, "final": 16}]
        completions.append(completion)
    passage = {key: PASSAGES[i][key] for key in ("title", "context")}
    return {**passage, "stats": {}, "completions": completions, "prompt": f"Write about {i}."}


def run(dataset: str, *articles: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "overall": {"baseline_mean_accuracy": 0.0, "adapter_mean_accuracy": 0.5},
        "timestamp": "0509_224917",
        "exp_name": "base",
        "dataset": dataset,
        "split_newlines": True,
        "n_articles": len(articles),
        "k_completions": 2,
        "eval_times": 2,
        "lora_params": LORA,
        "articles": list(articles),
    } | fields


@pytest.fixture
def put(tmp_path: Path) -> Any:
    """Write one file of a release."""

    def write(name: str, content: Any) -> Path:
        path = tmp_path / "release" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / "release"

    return write


def test_a_round_without_its_question_rows_keeps_what_was_recorded(
    seal: Any, ask: Any, put: Any
) -> None:
    """The released rank_iter1.json: no questions, deviations null, `model` for `exp_name`."""
    data = run("data/synthetic_data/train/iter1_train.json", article(0, reps=0), article(1, reps=0))
    del data["exp_name"]
    release = put(
        "knowledge-incorporation/results/query_server/train/rank_iter1.json",
        data | {"model": "models/sft_best1of5_iter0", "split_newlines": False},
    )
    imported = seal("import", "official", release).id
    rows = ask("select * from rewards order by context_id, sample")
    assert [row["reward"] for row in rows] == [0.0, 1.0, 0.0, 1.0]
    assert {row["basis"] for row in rows} == {"recorded"}
    assert {row["n_questions"] for row in rows} == {None}
    assert {(row["policy"], row["round"]) for row in rows} == {("official-iter1", 1)}
    assert rows[0]["adapted_std"] == pytest.approx(0.3 * 0.5**0.5)
    assert "Its answers are not stored" in seal("why", rows[0]["self_edit_id"]).out
    assert "questions" in json.loads(seal("show", imported, "--json").out)["tables"]
    assert ask("select * from metrics") == []  # several self-edits per passage: a round
    assert ask("select parent from policies where policy = 'official-iter1'")[0]["parent"] == (
        "official-base"
    )
    kept = seal("filter", imported, "--json")
    assert json.loads(kept.out)["tables"]["selections"]["rows"] == 4
    assert ask("select count(*) as n from selections where kept")[0]["n"] == 2


def test_an_evaluation_without_its_question_rows_keeps_its_mean(
    seal: Any, ask: Any, put: Any
) -> None:
    data = run("data/synthetic_data/eval/iter1_val.json", article(0, samples=1, reps=0))
    seal("import", "official", put("results/query_server/eval/iter1.json", data))
    (metric,) = ask("select * from metrics where method = 'self-edits'")
    assert (metric["value"], metric["basis"], metric["ci_low"]) == (0.5, "recorded", None)


def test_a_reward_that_does_not_follow_from_its_answers_is_marked(
    seal: Any, ask: Any, put: Any
) -> None:
    wrong = article(0)
    wrong["completions"][1]["stats"]["adapter_mean"] = 0.75
    said = seal("import", "official", put("results/query_server/eval/base.json",
                run("data/synthetic_data/eval/base_val.json", wrong)))  # fmt: skip
    assert "0.75 is not the 1.0000 of its answers" in said.err
    rows = ask("select sample, reward, basis from rewards order by sample")
    assert [(r["reward"], r["basis"]) for r in rows] == [(0.0, "answers"), (0.75, "recorded")]


def test_the_proxy_reward_is_no_accuracy(seal: Any, ask: Any, put: Any) -> None:
    data = run("data/synthetic_data/train/iter0_train.json", article(0, reps=0, proxy=True))
    seal("import", "official", put("results/query_server/train/rank_iter0_proxy.json",
         data | {"reward_mode": "proxy"}))  # fmt: skip
    rows = ask("select * from rewards order by sample")
    assert [row["reward"] for row in rows] == [16.5, 17.5]
    assert {row["adapted_accuracy"] for row in rows} == {row["gain"] for row in rows} == {None}
    assert {row["grader"] for row in rows} == {"gpt-4.1-rubric"}
    assert '"final":16' in rows[0]["reason"]
    assert ask("select * from metrics") == []


def test_the_dataset_tells_the_split_not_the_folder(seal: Any, ask: Any, put: Any) -> None:
    """The released train/rank_iter0_prompt-none.json is a validation run."""
    data = run("data/synthetic_data/eval/base_val_prompt-none.json", article(0))
    seal("import", "official", put("results/query_server/train/rank_iter0_prompt-none.json", data))
    assert ask("select split from contexts") == [{"split": "eval"}]
    assert ask("select distinct prompt_name from self_edits") == [{"prompt_name": "none"}]


@pytest.mark.parametrize(
    ("name", "dataset", "policy", "prompt"),
    [
        ("eval/3B/iter2.json", "data/3B/iter2_val.json", "official-3b-iter2", "implications"),
        ("eval/iter1_prompt-rewrite.json", "eval/iter1_val_prompt-rewrite.json",
         "official-iter1-rewrite", "rewrite"),
        ("eval/openai_prompt-very-long.json", "eval/openai_val_prompt-very-long.json",
         "official-gpt-4.1", "implications-very-long"),
        ("eval/gpt4_1.json", "eval/gpt4_1_val.json", "official-gpt-4.1", "implications"),
    ],
)  # fmt: skip
def test_who_wrote_what(
    seal: Any, ask: Any, put: Any, name: str, dataset: str, policy: str, prompt: str
) -> None:
    seal("import", "official", put(f"results/query_server/{name}", run(dataset, article(0))))
    rows = ask("select distinct policy, prompt_name from self_edits")
    assert rows == [{"policy": policy, "prompt_name": prompt}]


def test_entigraph_texts_are_self_edits(seal: Any, ask: Any, put: Any) -> None:
    row = PASSAGES[0] | {
        "entities_raw": "pier; 1900",
        "entities": ["pier", "1900"],
        "pair_completions": ["Pier and 1900."],
        "triple_completions": ["Three."],
    }
    seal("import", "official", put("data/synthetic_data/eval/entigraph_val.json", [row]))
    rows = ask("select sample, prompt_name, completion from self_edits order by sample")
    assert [tuple(row.values()) for row in rows] == [
        (0, "entigraph-pairs", "Pier and 1900."),
        (1, "entigraph-triples", "Three."),
    ]


def cpt(**fields: Any) -> dict[str, Any]:
    return {
        "timestamp": "0730_190125",
        "dataset": "general-knowledge/data/squad_val.json",
        "n_articles": 3,
        "eval_questions": 4,
        "model": "mistralai/Mistral-7B-Instruct-v0.2",
        "metrics": {"baseline_accuracy": None, "adapter_accuracy": 0.25, "adapter_gain": None},
        "per_question": {
            "baseline_texts": None,
            "adapter_texts": ["a", "b", "c", "d"],
            "baseline_correct": None,
            "adapter_correct": [True, False, False, False],
        },
        "args": {},
    } | fields


def test_a_model_that_was_not_asked_before_has_no_baseline(seal: Any, ask: Any, put: Any) -> None:
    put("data/squad_val.json", PASSAGES)
    seal("import", "official", put("results/cpt/generative-adapter.json", cpt()))
    (metric,) = ask("select * from metrics")
    assert (metric["method"], metric["value"], metric["n"]) == ("generative-adapter", 0.25, 4)
    assert metric["policy"] == "official-mistral-7b-instruct-v0.2"
    assert ask("select count(*) as n from answers")[0]["n"] == 4


@pytest.mark.parametrize(("folder", "seed"), [("cpt_ga", 43), ("cpt_all", 42)])
def test_the_script_says_which_seed_drew_the_questions(
    seal: Any, ask: Any, put: Any, folder: str, seed: int
) -> None:
    """Both record 43; too few answers to tell by them."""
    put("data/squad_val.json", PASSAGES)
    made = cpt(args={"seed": 43, "output_dir": f"general-knowledge/results/{folder}"})
    seal("import", "official", put("results/cpt/run.json", made))
    pairs = [(p["title"], q["question"]) for p in shuffled()[:3] for q in p["questions"]]
    random.Random(seed).shuffle(pairs)
    rows = ask(
        "select title, question from answers a join questions q using (artifact_id, question_id) "
        "join contexts c on c.artifact_id = a.artifact_id and c.context_id = a.context_id "
        "order by a.source_position"
    )
    assert [(row["title"], row["question"]) for row in rows] == pairs[:4]


@pytest.mark.parametrize("n_articles", [-5, 0, 5])
def test_a_run_on_as_many_passages_as_there_are(
    seal: Any, put: Any, tmp_path: Path, n_articles: int
) -> None:
    put("data/squad_val.json", PASSAGES)
    run_ = cpt(n_articles=n_articles, eval_questions=4)
    result = seal("import", "official", put("results/cpt/200/base_200.json", run_))
    assert result.code == 0
    assert "base_200.json left out: /n_articles" in result.err


def shuffled() -> list[dict[str, Any]]:
    """The passages in the release's order."""
    order = list(range(len(PASSAGES)))
    random.Random(42).shuffle(order)
    return [PASSAGES[place] for place in order]


def test_the_questions_are_squad_val_s_whatever_else_is_there(
    seal: Any, ask: Any, put: Any
) -> None:
    put("data/a_val.json", PASSAGES[::-1])
    put("data/squad_val.json", PASSAGES)
    seal("import", "official", put("results/cpt/200/base_200.json", cpt()))
    where = "where artifact_id in (select artifact_id from answers)"
    (row,) = ask(f"select distinct source_file from questions {where}")
    assert row["source_file"] == "data/squad_val.json"


@pytest.mark.parametrize("n_written", [3, 4])
def test_the_dataset_that_a_run_names_has_its_passages(seal: Any, put: Any, n_written: int) -> None:
    """The first ones in the release's order; it may have more of them."""
    put("data/squad_val.json", PASSAGES)
    named = {"dataset": "general-knowledge/data/synthetic_data/eval/base_val.json"}
    put("results/cpt/200/base_200.json", cpt(**named))
    written = [p | {"completions": ["One."], "prompt": "p"} for p in shuffled()[:n_written]]
    put("data/synthetic_data/other/base_val.json", written[::-1])  # less like the name
    release = put("data/synthetic_data/eval/base_val.json", written)
    assert seal("import", "official", release).code == 0
    put("data/synthetic_data/eval/base_val.json", [written[0], written[0], *written[1:]][:4])
    result = seal("import", "official", release)
    assert result.code == 0
    assert (
        "base_200.json left out: /dataset: data/synthetic_data/eval/base_val.json has another "
        "passage at /1 than data/squad_val.json gives." in result.err
    )


def test_a_dataset_that_has_fewer_passages_than_were_asked_about_is_another(
    seal: Any, put: Any
) -> None:
    put("data/squad_val.json", PASSAGES)
    put("results/cpt/2067/base_2067.json", cpt(dataset="data/synthetic_data/eval/base_val.json"))
    written = [p | {"completions": ["One."], "prompt": "p"} for p in shuffled()[:2]]
    result = seal("import", "official", put("data/synthetic_data/eval/base_val.json", written))
    assert result.code == 0
    assert (
        "base_2067.json left out: /n_articles: data/synthetic_data/eval/base_val.json, its "
        "dataset, has 2 passages and not 3." in result.err
    )


def test_a_passage_twice_would_move_all_others(seal: Any, put: Any) -> None:
    put("data/squad_val.json", [*PASSAGES, PASSAGES[1]])
    result = seal("import", "official", put("results/cpt/200/base_200.json", cpt()))
    assert result.code == 0
    assert "base_200.json left out: data/squad_val.json, /1 and /4: the same passage twice" in (
        result.err
    )


def test_answers_without_their_questions_are_named_and_left_out(seal: Any, put: Any) -> None:
    put("results/query_server/eval/base.json", run("eval/base_val.json", article(0)))
    result = seal("import", "official", put("results/cpt/200/base_200.json", cpt()))
    assert result.code == 0
    assert "base_200.json left out: its questions stand in data/squad_val.json or in" in result.err


def test_a_finetuning_file_finds_its_self_edits(seal: Any, ask: Any, put: Any) -> None:
    put("results/query_server/train/rank_iter0.json", run("train/iter0_train.json", article(0)))
    lines = [{"prompt": "Write about 0.", "completion": "Self-edit 1 of 0."}]
    release = put("EM_SFT/sft.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    put("EM_SFT/other.jsonl", '{"prompt": "Who?", "completion": "Nobody knows."}\n')
    result = seal("import", "official", release)
    assert "other.jsonl left out: no file of self-edits here has its lines" in result.err
    rows = ask("select sample from selections join self_edits using (artifact_id, self_edit_id)")
    assert rows == [{"sample": 1}]


TASK = {"train": [{"input": [[0, 1]], "output": [[1, 0]]}], "test": [{"input": [[2, 3]]}]}


def few_shot(put: Any) -> Path:
    put("few-shot/data/training_challenges.json", {"aa00": TASK, "bb11": TASK})
    put("few-shot/data/training_solutions.json", {"aa00": [[[3, 2]]], "bb11": [[[3, 2]]]})
    config = {
        "data_generation": {"use_basic_augmentations": True},
        "training": {"strategy": "all", "learning_rate": 1e-4, "num_train_epochs": 2},
    }
    edits = {"aa00": {"0": {"config": config, "prompt": "p", "response": "{}", "token_ids": [1]}}}
    put("few-shot/final_configs_and_indices.json", edits)
    results = {"0": {"task_id": {"0": "aa00-0", "1": "bb11-0"}, "correct": {"0": True, "1": False}}}
    return put("few-shot/final_results.json", results)  # type: ignore[no-any-return]


def test_few_shot_tasks_edits_and_results(seal: Any, ask: Any, put: Any) -> None:
    assert len(seal("import", "official", few_shot(put)).out.split()) == 3
    (question,) = ask(
        "select question, answers, title, split from questions join contexts "
        "using (artifact_id, context_id) where title = 'aa00'"
    )
    assert question["answers"] == ["[[3,2]]"]
    assert question["split"] == "train"
    rows = ask(
        "select title, reward, basis from rewards join contexts using (artifact_id, context_id)"
    )
    assert sorted(tuple(row.values()) for row in rows) == [
        ("aa00", 1.0, "recorded"),
        ("bb11", 0.0, "recorded"),
    ]
    (joined,) = ask("select count(*) as n from rewards join self_edits using (self_edit_id)")
    assert joined["n"] == 1
    (metric,) = ask("select value, n, dataset from metrics")
    assert metric == {"value": 0.5, "n": 2, "dataset": "arc_train-2"}


def test_few_shot_results_are_of_the_tasks_they_name(seal: Any, ask: Any, put: Any) -> None:
    few_shot(put)
    put("few-shot/data/evaluation_challenges.json", {"cc22": TASK})
    put("few-shot/data/evaluation_solutions.json", {"cc22": [[[3, 2]]]})
    held_out = {"0": {"task_id": {"0": "cc22-0"}, "correct": {"0": True}}}
    release = put("few-shot/eval_RL_iteration_1/final_results.json", held_out)
    assert seal("import", "official", release).code == 0
    found = {row["dataset"]: row["round"] for row in ask("select dataset, round from metrics")}
    assert found == {"arc_train-2": 0, "arc_eval-1": 1}


TRIED = {"0": {"task_id": {"0": "aa00"}, "correct": {"0": True}}}


@pytest.mark.parametrize(
    ("folder", "policy", "round_", "parents"),
    [
        ("training_set_iteration_1", "official-llama-3.2-1b", 0, 0),
        ("training_set_iteration_2", "official-llama-3.2-1b-iter1", 1, 1),
        ("a/eval_RL_iteration_2_8_epoch", "official-llama-3.2-1b-iter2-8_epoch", 2, 2),
        ("eval_base_model", "official-llama-3.2-1b-eval_base_model", 0, 0),
        ("RL_iteration", "official-llama-3.2-1b-RL_iteration", 0, 0),
    ],
)
def test_a_few_shot_run_is_its_folder(
    seal: Any, ask: Any, put: Any, folder: str, policy: str, round_: int, parents: int
) -> None:
    """Runs share no self-edit, a run's two files do; rounds are what the folder's name says."""
    few_shot(put)
    put(f"few-shot/{folder}/final_configs_and_indices.json", {"aa00": {"0": {"response": "{}"}}})
    release = put(f"few-shot/{folder}/final_results.json", TRIED)
    assert seal("import", "official", release).code == 0
    rows = ask("select count(distinct self_edit_id) as n, count(*) as rows from self_edits")
    assert rows == [{"n": 2, "rows": 2}]
    where = f"where r.source_file like '%{folder}/%'"
    join = "from rewards r join self_edits s using (self_edit_id)"
    rows = ask(f"select s.policy, s.round, r.policy as same {join} {where}")
    assert rows == [{"policy": policy, "round": round_, "same": policy}]
    (row,) = ask(f"select name, round from policies r {where} and policy = '{policy}' limit 1")
    assert row["round"] == round_
    unknown = "iteration_" not in folder
    assert ("not known to have been trained" in row["name"]) == unknown
    chain = ask(f"select distinct policy, parent from policies r {where} and parent is not null")
    assert len(chain) == parents
    part = seal("import", "official", release / "few-shot")  # wherever the import begins
    assert part.err.count("is there already") == 5


def test_recorded_rewards_are_explained_as_such(seal: Any, ask: Any, put: Any) -> None:
    """Of few-shot trials the self-edits are in another file, and their domain is not ours."""
    assert seal("import", "official", few_shot(put)).code == 0
    (edit,) = ask("select self_edit_id as id from self_edits")
    assert "Its answers are not stored" in seal("why", edit["id"]).out
    (other,) = ask(f"select self_edit_id as id from rewards where self_edit_id <> '{edit['id']}'")
    refused = seal("why", other["id"])
    assert refused.code == 3
    assert "the text of self-edit" in refused.err
    assert "import the file that has the self-edits" in refused.err


BASE = "results/query_server/eval/base.json"
CONTINUAL = "results/continual_self_edits/run0/summary_1.json"
BIG = "@big@"  # stands for 1e999, which json cannot write
TRIALS = {"task_id": {"0": "aa00"}, "correct": {"0": True}}


def scored(**fields: Any) -> Any:
    text = json.dumps(run("eval/base_val.json", article(0)) | fields)
    return text.replace(json.dumps(BIG), "1e999")


def rep(number: int) -> Any:
    odd = article(0, samples=1, reps=1)
    for judged in odd["completions"][0]["questions"]:
        judged["rep"] = number
    return run("eval/base_val.json", odd)


def deep(levels: int) -> Any:
    nested: Any = 0
    for _ in range(levels):
        nested = [nested]
    return nested


def continual(**fields: Any) -> dict[str, Any]:
    return {
        "mean_over_sequences": [[0.1], [0.2]],
        "std_over_sequences": [[0.0], [0.0]],
        "n_sequences": 8,
        "n_datapoints": 1,
        "dataset": "data/squad_val.json",
        "base_model": "models/iter2",
    } | fields


BROKEN = [
    ("data/squad_val.json", "[{", "not valid JSON"),
    ("data/squad_val.json", '[{"title": "A", "context": NaN, "questions": []}]', "NaN is no JSON"),
    ("data/squad_val.json", [PASSAGES[0], {"title": "A", "context": 3, "questions": []}],
     "/1/context"),
    ("data/squad_val.json", "[" * 100_000, "not valid JSON"),
    ("EM_SFT/sft.jsonl", '{"prompt": "a", "completion": "b"}\n{"prompt": ', "line 2"),
    ("results/query_server/eval/base.json",
     run("eval/base_val.json", article(0) | {"completions": [{"text": "x"}]}),
     "/articles/0/completions/0/stats"),
    ("results/query_server/eval/base.json", run("eval/base_val.json", n_articles=1),
     "/articles: List should have at least 1"),
    ("results/continual_self_edits/overall_results.json",
     {"mean_over_sequences": [[0.1]], "std_over_sequences": [[0.1]], "n_sequences": 1,
      "n_datapoints": 1, "dataset": "data/squad_val.json", "base_model": "models/iter2"},
     "not matrices of 2 rows and 1 columns"),
    ("EM_SFT/sft.jsonl", '{"prompt": "a", "completion": "b"}\n{"prompt": 1, "completion": ""}\n',
     "line 2, /prompt"),
    (BASE, scored(eval_times=0), "/eval_times"),
    (BASE, scored(eval_times=10**30), "/eval_times"),
    (BASE, scored(n_articles=0), "/n_articles"),
    (BASE, scored(lora_params={"lr": BIG}), "1e999 is no JSON number"),
    (BASE, scored(lora_params={"lr": deep(40)}), "nested more than 32 deep"),
    (BASE, scored(dataset="\ud800_val.json"), "/dataset: not text"),
    (BASE, rep(-1), "/articles/0/completions/0/questions/0/rep"),
    (BASE, rep(10**30), "/articles/0/completions/0/questions/0/rep"),
    (CONTINUAL, continual(n_sequences=0), "/n_sequences"),
    (CONTINUAL, continual(n_sequences=10**30), "/n_sequences"),
    ("few-shot/final_results.json", {"abc": TRIALS}, "/abc"),
    ("few-shot/final_results.json", {"9" * 30: TRIALS}, "/" + "9" * 30),
    ("few-shot/final_results.json", {"07": TRIALS}, "/07"),
    ("few-shot/final_configs_and_indices.json", {"aa00": {"-1": {"response": ""}}}, "/aa00/-1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "place"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_named_with_its_place(
    seal: Any, put: Any, tmp_path: Path, name: str, content: Any, place: str
) -> None:
    put("data/fine_val.json", PASSAGES)
    put("few-shot/data/training_challenges.json", {"aa00": TASK})
    result = seal("import", "official", put(name, content))
    assert result.code == 0
    (line,) = (line for line in result.err.splitlines() if line.startswith(f"{name} left out: "))
    assert place.removeprefix(f"{name}, ") in line
    assert "2 files imported, 1 left out." in result.err
    manifests = [json.loads(p.read_text()) for p in (tmp_path / "store").rglob("_manifest.json")]
    assert {manifest["config"]["official"]["file"] for manifest in manifests} == {
        "data/fine_val.json", "few-shot/data/training_challenges.json",
    }  # fmt: skip


# What only turns out when the rows are made.
EMPTY = [
    ("data/z_val.json", [PASSAGES[0], PASSAGES[1] | {"context": " "}], "/1: passage 1 has no text"),
    ("data/z_val.json",
     [PASSAGES[0] | {"questions": [{"question": "Who?", "answer": "\u0000"}]}],
     "/0: question 0 of"),
    ("data/z_val.json", [PASSAGES[0] | {"questions": [{"question": "", "answer": "I."}]}],
     "/0: question 0 of"),
    ("results/query_server/eval/z.json", run("eval/base_val.json", article(0) | {"context": ""}),
     "/articles/0: passage 0 has no text"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "place"), EMPTY, ids=range(len(EMPTY)))
def test_nothing_of_a_broken_file_reaches_the_store(
    seal: Any, put: Any, tmp_path: Path, name: str, content: Any, place: str
) -> None:
    release = put(name, content)
    result = seal("import", "official", release)
    assert result.code == 3
    assert f"{name} left out: {place}" in result.err
    assert "none of 1 files that could be imported" in result.err
    assert not (tmp_path / "store").exists()
    put("a_val.json", PASSAGES)
    assert len(seal("import", "official", release).out.split()) == 1
    result = seal("import", "official", release, "--strict")
    assert (result.code, len(result.out.split())) == (4, 1)
    assert "1 files were left out" in result.err
    (only,) = (tmp_path / "store/artifacts").iterdir()
    assert list((tmp_path / "store/work").iterdir()) == []
    assert only.name == result.out.strip()


def test_a_passage_that_comes_again_is_imported_once(seal: Any, ask: Any, put: Any) -> None:
    written = [p | {"completions": ["One."], "prompt": "p"} for p in PASSAGES[:2]]
    put("data/squad_val.json", [*PASSAGES, *PASSAGES[:2]])
    result = seal("import", "official", put("data/eval/base_val.json", [*written, written[0]]))
    assert result.err.count("data/squad_val.json: 2 passages came again, imported once.") == 1
    assert "data/eval/base_val.json: 1 passages came again, imported once." in result.err
    for table, n in (("contexts", 6), ("questions", 12), ("self_edits", 2)):
        assert ask(f"select count(*) as n from {table}") == [{"n": n}]


def test_a_passage_that_comes_again_with_something_else_is_broken(seal: Any, put: Any) -> None:
    other = PASSAGES[0] | {"questions": []}
    result = seal("import", "official", put("data/squad_val.json", [*PASSAGES, other]))
    assert result.code == 3
    assert "squad_val.json left out: /4: the passage of /0 again, with other" in result.err


def test_an_article_that_comes_again_is_broken(seal: Any, put: Any) -> None:
    data = run("eval/base_val.json", article(0), article(1), article(0))
    result = seal("import", "official", put(BASE, data))
    assert result.code == 3
    assert "base.json left out: /articles/2: the passage of /articles/0 again" in result.err


def test_a_line_that_comes_again_is_selected_once(seal: Any, ask: Any, put: Any) -> None:
    put("results/query_server/train/rank_iter0.json", run("train/iter0_train.json", article(0)))
    line = json.dumps({"prompt": "Write about 0.", "completion": "Self-edit 1 of 0."}) + "\n"
    result = seal("import", "official", put("EM_SFT/sft.jsonl", line * 3))
    assert "EM_SFT/sft.jsonl: 2 lines came again, imported once." in result.err
    assert ask("select source_position from selections") == [{"source_position": "line 1"}]


def test_more_repeats_than_it_says_are_answers_of_their_own(seal: Any, ask: Any, put: Any) -> None:
    put(BASE, run("eval/base_val.json", article(0, reps=3), eval_times=1))
    seal("import", "official", put("data/squad_val.json", PASSAGES))
    (row,) = ask("select count(*) as n, count(distinct answer_id) as ids from answers")
    assert row["n"] == row["ids"] == 24


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ('{"t": NaN}', "not valid JSON: NaN is no JSON number"),
        ('{"t": 1e999}', "not valid JSON: 1e999"),
        ('{"t": "\\ud800"}', "lone surrogates"),
        ("[" * 100_000, "not valid JSON"),
        (f"{deep(50)}", "nested more than 32 deep"),
    ],
)
def test_metadata_that_cannot_be_kept_is_named(seal: Any, put: Any, meta: str, why: str) -> None:
    put("eval/base_val.json", [PASSAGES[0] | {"completions": ["One."], "prompt": "p"}])
    result = seal("import", "official", put("eval/base_val.json.meta", meta))
    assert result.code == 0
    assert f"eval/base_val.json.meta left out: {why}" in result.err
    assert json.loads(seal("show", result.id, "--json").out)["config"]["official"]["meta"] == {}


def test_a_file_whose_name_is_no_text_is_named(seal: Any, put: Any) -> None:
    release = put("data/squad_val.json", PASSAGES)
    try:
        (release / os.fsdecode(b"\xff.json")).write_text(json.dumps(PASSAGES))
    except OSError:
        pytest.skip("this file system has no such names")
    result = seal("import", "official", release)
    assert len(result.out.split()) == 1
    assert "its path is not UTF-8" in result.err


@pytest.mark.parametrize("name", ["", "data", "data/squad_val.json"])
def test_what_may_not_be_read_is_named(
    seal: Any, put: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whoever runs the tests may be allowed to read everything."""
    release = put("data/squad_val.json", PASSAGES)
    put("other/squad_train.json", PASSAGES)
    scandir, read_text = os.scandir, Path.read_text

    def guarded(function: Any) -> Any:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            if str(path).endswith(f"release/{name}".rstrip("/")):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return function(path, *args, **kwargs)

        return call

    monkeypatch.setattr(os, "scandir", guarded(scandir))
    monkeypatch.setattr(Path, "read_text", guarded(read_text))
    result = seal("import", "official", release)
    assert result.code == (0 if name else 3)
    assert "cannot be read: Permission denied" in result.err
    if name:
        assert f"{name} left out: cannot be read: Permission denied." in result.err
        assert len(result.out.split()) == 1


def test_a_link_to_nothing_is_named(seal: Any, put: Any) -> None:
    release = put("data/squad_val.json", PASSAGES)
    (release / "gone.json").symlink_to(release / "nowhere.json")
    result = seal("import", "official", release)
    assert result.code == 0
    assert "gone.json left out: cannot be read: No such file or directory." in result.err


def test_a_file_is_no_folder(seal: Any, put: Any) -> None:
    result = seal("import", "official", put("a_val.json", PASSAGES) / "a_val.json")
    assert result.code == 3
    assert "a_val.json is a file" in result.err


@pytest.mark.parametrize(
    ("sequences", "overall"),
    [({"a": 8, "b": 8, "c": 16}, "c"), ({"a": 8, "b": 8, "c": 8}, None), ({"a": 8, "c": 8}, None)],
)
def test_the_means_of_all_continual_runs_are_marked(
    seal: Any, ask: Any, put: Any, sequences: dict[str, int], overall: str | None
) -> None:
    """By content: it has the sequences of all others. A copy of a run is no other one."""
    for i, (name, n) in enumerate(sequences.items()):
        data = continual(n_sequences=n, mean_over_sequences=[[0.1], [i / 10]])
        put(f"general-knowledge/{name}.json", data)
        put(f"knowledge-incorporation/{name}.json", data)
    put("3B/d.json", continual(base_model="models/3B/iter2"))
    assert (
        seal("import", "official", put("e.json", continual(dataset="squad_train.json"))).code == 0
    )
    marked = ask("select distinct source_file from metrics where dataset = 'squad_val (overall)'")
    names = [Path(row["source_file"]).stem for row in marked]
    assert names == ([overall] if overall else [])
    assert len(ask("select distinct dataset from metrics")) == 2 + bool(overall)


def test_as_many_answers_as_questions(seal: Any, put: Any) -> None:
    put("data/squad_val.json", PASSAGES)
    short = cpt()
    for answers in ("adapter_texts", "adapter_correct"):
        short["per_question"][answers].pop()
    result = seal("import", "official", put("results/cpt/200/base_200.json", short))
    assert result.code == 0
    assert "left out: /per_question/adapter_texts: 3 entries for 4 questions" in result.err


def test_a_repeat_that_was_asked_something_else_is_broken(seal: Any, put: Any) -> None:
    odd = article(0)
    odd["completions"][0]["questions"][2]["question"] = "Who?"
    data = run("eval/base_val.json", odd)
    result = seal("import", "official", put("results/query_server/eval/base.json", data))
    assert result.code == 3
    assert "left out: /articles/0/completions/0: the repeats were not asked the same" in result.err


def test_metadata_decides_nothing(seal: Any, ask: Any, put: Any) -> None:
    written = [PASSAGES[0] | {"completions": ["One."], "prompt": "p"}]
    put("data/synthetic_data/eval/gpt4_1_val.json", written)
    put("data/synthetic_data/eval/gpt4_1_val.meta", '{"model": "Qwen/Qwen2.5-7B",}')
    release = put("data/synthetic_data/eval/gpt4_1_val.json.meta", "{ not json")
    result = seal("import", "official", release)
    assert "gpt4_1_val.json.meta left out: not valid JSON" in result.err
    assert ask("select policy from self_edits") == [{"policy": "official-gpt-4.1"}]
    manifest = json.loads(seal("show", result.id, "--json").out)
    assert manifest["config"]["official"]["meta"] == {"model": "Qwen/Qwen2.5-7B"}


@pytest.mark.parametrize("content", ["", "readme"])
def test_a_folder_without_the_release_says_so(seal: Any, tmp_path: Path, content: str) -> None:
    (tmp_path / "empty").mkdir()
    if content:
        (tmp_path / "empty" / "other.json").write_text('{"a": 1}')
    result = seal("import", "official", tmp_path / "empty")
    assert result.code == 3
    assert "could be imported as one of the SEAL release" in result.err
    assert "there is no folder" in seal("import", "official", tmp_path / "absent").err
