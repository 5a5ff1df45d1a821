"""The outer loop: what the policy learns from a selection, and when it cannot."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stages.config import UpdateConfig
from stages.errors import ConfigError, InputError, ResourceError
from stages.models import LanguageModel
from stages.records import Context, Example, Policy, SelfEdit
from stages.training import Job, Trained
from stages.training.reference import ReferenceTrainer
from stages.update import Earlier, draw, update

Edit = Callable[..., SelfEdit]


class Watched(ReferenceTrainer):
    """The reference trainer; remembers its job, and may be made to fail."""

    outcome: Trained | None = None

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        (self.job,) = jobs
        return iter([self.outcome]) if self.outcome else super().train(jobs)


@pytest.fixture
def trainer(language_model: LanguageModel) -> Watched:
    return Watched(language_model)


@pytest.fixture
def run(trainer: Watched, policy: Policy) -> Callable[..., tuple[Trained, int]]:
    """`run(edits, **config)`: the trained LoRA and how many self-edits it learned from."""

    def go(
        edits: Sequence[SelfEdit],
        replayed: Sequence[Earlier] = (),
        chat: bool = False,
        **config: Any,
    ) -> tuple[Trained, int]:
        return update(
            edits,
            policy=policy,
            tokenizer=trainer.lm.tokenizer,
            targets=("q_proj",),
            trainer=trainer,
            config=UpdateConfig(**{"rank": 2, "alpha": 4, "max_length": 120} | config),
            replayed=replayed,
            chat=chat,
        )

    return go


@pytest.fixture
def context(contexts: dict[str, Context]) -> Context:
    return next(iter(contexts.values()))


def test_the_completion_is_learned_and_the_prompt_is_not(
    run: Any, trainer: Watched, context: Context, edit: Edit
) -> None:
    run([edit(context, "Old. Old.", prompt="Old. Imply:\n")], epochs=1)
    (row,) = trainer.job.rows
    decode = trainer.lm.tokenizer.decode
    assert decode(row.ids[: row.first_target]) == "Old. Imply:\n"
    assert decode(row.ids[row.first_target :]) == "Old. Old.<|end|>"


def test_a_completion_cut_at_its_limit_is_learned_without_end_token(
    run: Any, trainer: Watched, context: Context, edit: Edit
) -> None:
    edits = [edit(context, "Old.", finish=finish) for finish in ("stop", "length", None)]
    run(edits, epochs=1)
    end = trainer.lm.tokenizer.eos_token_id
    assert [row.ids[-1] == end for row in trainer.job.rows] == [True, False, True]


def test_it_learns_to_write_the_selection(
    run: Any, trainer: Watched, context: Context, edit: Edit
) -> None:
    edits = [edit(context, "It is old.")] * 4
    trained, n_learned = run(edits, epochs=20, learning_rate=3e-2, batch_size=2)
    assert n_learned == 4
    assert trained.error is None
    assert trained.n_steps == 40
    assert trained.last_loss < 0.8 * trained.first_loss
    assert trainer.job.targets == ("q_proj",)
    assert trained.lora.targets == ["q_proj"]


def test_the_seed_follows_the_run_and_the_policy_and_not_the_rows(
    run: Any, trainer: Watched, context: Context, edit: Edit
) -> None:
    seeds = []
    for edits, seed in [([edit(context)], 0), ([edit(context, "Other.")], 0), ([edit(context)], 1)]:
        run(edits, epochs=1, seed=seed)
        seeds.append(trainer.job.seed)
    assert seeds[0] == seeds[1] != seeds[2]


def test_nothing_to_learn_from_is_an_input_error(run: Any) -> None:
    with pytest.raises(InputError, match="no self-edit") as refused:
        run([])
    assert refused.value.hint


def test_pairs_over_the_longest_length_are_left_out_and_counted(
    run: Any, trainer: Watched, context: Context, edit: Edit, caplog: pytest.LogCaptureFixture
) -> None:
    short, long = edit(context, "Old."), edit(context, prompt="x" * 500)
    _, n_learned = run([short, long], max_length=len(short.prompt) + 10)
    assert n_learned == len(trainer.job.rows) == 1
    assert "1 of 2 examples are over max-length" in caplog.text
    with pytest.raises(ConfigError, match="every example is longer") as refused:
        run([long], max_length=40)
    assert "--max-length" in refused.value.hint


def test_a_pair_without_a_target_is_left_out_and_counted(
    run: Any, trainer: Watched, context: Context, edit: Edit, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = edit(context, "", finish="length")  # no text, and no end token after it
    _, n_learned = run([edit(context, "Old."), nothing])
    assert n_learned == len(trainer.job.rows) == 1
    assert "1 of 2 examples have no target" in caplog.text
    assert "max-length" not in caplog.text
    with pytest.raises(InputError, match="no example has a token"):
        run([nothing])


def test_the_schedule_is_the_configs(
    run: Any, trainer: Watched, context: Context, edit: Edit
) -> None:
    run([edit(context)], epochs=1)
    assert (trainer.job.schedule, trainer.job.warmup_steps) == ("linear", 0)
    run([edit(context)], epochs=1, schedule="cosine", warmup_steps=2)
    assert (trainer.job.schedule, trainer.job.warmup_steps) == ("cosine", 2)


@pytest.mark.parametrize(
    ("error", "kind"),
    [("out of memory on 99 tokens", ResourceError), ("loss is nan at step 1 of 2", ConfigError)],
)
def test_a_failed_training_is_an_error_with_its_reason(
    run: Any, trainer: Watched, context: Context, edit: Edit, error: str, kind: type[Exception]
) -> None:
    trainer.outcome = Trained(None, 0, None, None, 0.0, error)
    with pytest.raises(kind, match=error):
        run([edit(context)])


def test_weights_that_overflow_are_an_error(
    run: Any, trainer: Watched, context: Context, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Watched.train
    monkeypatch.setattr(
        Watched,
        "train",
        lambda self, jobs: whole(self, [replace(jobs[0], learning_rate=math.inf)]),
    )
    with pytest.raises(ConfigError, match="loss is nan"):
        run([edit(context)], epochs=3)


def earlier(*names: str) -> list[Earlier]:
    return [Earlier(name, f"c{name}", (Example("Old?", f" {name}."),)) for name in names]


def test_what_is_replayed_is_learned_along_with_the_selection(
    run: Any, trainer: Watched, context: Context, edit: Edit
) -> None:
    _, n_learned = run([edit(context, "New.")], epochs=1, replayed=earlier("a", "b"))
    decode = trainer.lm.tokenizer.decode
    texts = [decode(row.ids[row.first_target :]) for row in trainer.job.rows]
    assert texts == ["New.<|end|>", " a.<|end|>", " b.<|end|>"]
    assert n_learned == 3


@pytest.mark.parametrize(
    ("replay", "n_selected", "drawn"),
    [
        (0, 4, 0),
        (0.5, 4, 2),
        (0.5, 3, 2),
        (0.1, 30, 3),
        (0.01, 4, 1),
        (1, 4, 4),
        (2, 4, 2),
        (9, 4, 6),
    ],
)
def test_a_share_is_of_the_new_ones_and_more_than_one_is_a_count(
    policy: Policy, replay: float, n_selected: int, drawn: int
) -> None:
    names = [f"new {i}" for i in range(n_selected)]
    found = draw(
        earlier(*"abcdef"), selected=names, policy=policy, config=UpdateConfig(replay=replay)
    )
    assert len(found) == len({one.name for one in found}) == min(drawn, 6)


def test_what_is_selected_anew_is_not_drawn_and_nothing_is_drawn_twice(policy: Policy) -> None:
    config = UpdateConfig(replay=9)
    found = draw(earlier("a", "b", "c", "a"), selected=["b"], policy=policy, config=config)
    assert {one.name for one in found} == {"a", "c"}
    assert len(found) == 2


def test_who_is_drawn_follows_from_seed_and_round_and_not_from_the_order(policy: Policy) -> None:
    def drawn(names: str, seed: int = 0, writer: Policy = policy) -> list[str]:
        config = UpdateConfig(replay=3, seed=seed)
        found = draw(earlier(*names), selected=(), policy=writer, config=config)
        return [one.name for one in found]

    assert drawn("abcdefgh") == drawn("hgfedcba")
    assert set(drawn("abcdefgh")) - set(drawn("abcd")) <= set("efgh")
    assert drawn("abcdefgh") != drawn("abcdefgh", seed=1)
    assert drawn("abcdefgh") != drawn("abcdefgh", writer=replace(policy, round=1))
    # A change of ids moves no sample.
    assert drawn("abcdefgh") == drawn("abcdefgh", writer=replace(policy, policy="update-1"))


def test_half_an_example_is_no_count() -> None:
    with pytest.raises(ConfigError, match=r"replay is 2\.5"):
        UpdateConfig(replay=2.5)


def test_a_question_that_is_replayed_is_put_as_the_policy_is_asked(
    run: Any, trainer: Watched, context: Context, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = "[user] {{ messages[0]['content'] }}"
    monkeypatch.setattr(trainer.lm.tokenizer, "chat_template", template, raising=False)
    asked = [Earlier(n, "c", (Example(p, " So."),), asks=asks) for n, p, asks in
             [("a", "Why?", True), ("b", "Written.", False), ("c", "", True)]]  # fmt: skip
    run([edit(context, "New.")], epochs=1, replayed=asked, chat=True)
    decode = trainer.lm.tokenizer.decode
    prompts = [decode(row.ids[: row.first_target]) for row in trainer.job.rows[1:]]
    assert prompts[:2] == ["[user] Why?", "Written."]
    assert "[user]" not in prompts[2]
