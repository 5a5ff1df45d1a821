"""Rows in one sequence: each comes out as it does alone, whatever lies beside it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from trace_model import Trace

from stages.models import LanguageModel
from stages.tokens import Row
from stages.training.pack import attending, n_read, pack, packs

# Longer than mistral's window of 12, short enough for a bucket of their own, and of one token.
LENGTHS = [6, 31, 2, 14, 7, 30, 14]


def rows_of(lengths: Sequence[int], first_target: int = 0) -> list[Row]:
    chance = torch.Generator().manual_seed(len(lengths))
    return [
        Row(tuple(torch.randint(3, 90, (n,), generator=chance).tolist()), first_target, n)
        for n in lengths
    ]


def together(model: Any, rows: Sequence[Row]) -> list[torch.Tensor]:
    """Logits of each row's tokens, packed."""
    packed = pack(rows)
    with torch.no_grad(), attending(model, packed):
        out = model(input_ids=packed.ids, position_ids=packed.positions, use_cache=False)
    return list(out.logits[0].split([n_read(row) for row in rows]))


def alone(model: Any, row: Row) -> torch.Tensor:
    ids = torch.tensor([row.ids])
    mask = (torch.arange(len(row.ids)) < row.n_real).long()[None]
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, :-1]


def test_every_row_comes_out_as_it_does_alone(any_model: LanguageModel) -> None:
    rows = rows_of(LENGTHS)
    packed = pack(rows)
    assert len(packed.buckets) == 4
    for row, said in zip(rows, together(any_model.model, rows), strict=True):
        assert (said - alone(any_model.model, row)).abs().max() < 2e-5


def test_tokens_of_a_row_do_not_change_another_by_a_bit(any_model: LanguageModel) -> None:
    rows = rows_of(LENGTHS)
    before = together(any_model.model, rows)
    changed = Row(tuple(reversed(rows[1].ids)), 0, 31)
    after = together(any_model.model, [rows[0], changed, *rows[2:]])
    assert not torch.equal(before[1], after[1])
    assert all(torch.equal(before[i], after[i]) for i in range(len(rows)) if i != 1)


def test_padding_is_predicted_and_not_looked_at(any_model: LanguageModel) -> None:
    plain, padded = Row((5, 6, 7, 8), 0, 4), Row((5, 6, 7, 8, 0, 0, 0, 0, 0), 0, 4)
    said = together(any_model.model, [plain, padded, *rows_of([9])])
    assert (said[1][:3] - said[0]).abs().max() < 2e-5
    assert (said[1] - alone(any_model.model, padded)).abs().max() < 2e-5


@pytest.mark.parametrize("first_target", [0, 1, 4])
def test_targets_are_what_comes_after_what_predicts_them(first_target: int) -> None:
    rows = rows_of([6, 9], first_target)
    packed = pack(rows)
    wanted = [row.ids[max(first_target, 1) :] for row in rows]
    assert packed.targets.tolist() == [i for ids in wanted for i in ids]
    assert packed.rows.tolist() == [0] * len(wanted[0]) + [1] * len(wanted[1])
    assert packed.ids[0, packed.predicting].tolist() == [
        i for row in rows for i in row.ids[max(first_target, 1) - 1 : -1]
    ]
    assert len(packed.targets) == sum(row.n_targets for row in rows)
    assert packed.positions[0].tolist() == [*range(5), *range(8)]


def test_the_model_has_its_own_attention_again(any_model: LanguageModel) -> None:
    config = any_model.model.config
    before = config.to_dict(), config._attn_implementation
    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway(any_model.model)
    assert (config.to_dict(), config._attn_implementation) == before


def fail_halfway(model: Any) -> None:
    before = model.config._attn_implementation
    with attending(model, pack(rows_of([4]))):
        assert model.config._attn_implementation != before
        raise RuntimeError("halfway")


def test_rows_of_every_family_can_be_packed(any_model: LanguageModel) -> None:
    assert packs(any_model.model)


def mix_tokens(module: Any, inputs: Any, output: Any) -> Any:
    return output + output.mean(dim=1, keepdim=True)


def count_positions_itself(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    positions = torch.arange(kwargs["input_ids"].shape[1])[None]
    return args, kwargs | {"position_ids": positions}


def test_a_model_that_mixes_tokens_in_another_way_is_found_out(
    tiny: Callable[..., LanguageModel],
) -> None:
    model = tiny("llama").model
    model.model.layers[0].mlp.register_forward_hook(mix_tokens)
    assert not packs(model)


def test_a_model_that_counts_positions_itself_is_found_out(
    tiny: Callable[..., LanguageModel],
) -> None:
    model = tiny("gpt2").model
    model.register_forward_pre_hook(count_positions_itself, with_kwargs=True)
    assert not packs(model)


def test_a_model_that_passes_a_layer_twice_is_found_out(
    tiny: Callable[..., LanguageModel],
) -> None:
    model = tiny("llama").model
    model.model.layers[1].mlp = model.model.layers[0].mlp
    assert not packs(model)


def test_the_trial_leaves_the_model_as_it_was(any_model: LanguageModel) -> None:
    before = Trace(any_model.model)
    packs(any_model.model)
    before.assert_unchanged(any_model.model)


def test_a_model_with_another_kind_of_attention_is_found_out(
    tiny: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("llama").model
    attention = type(model.model.layers[0].self_attn)
    whole = attention.forward
    monkeypatch.setattr(attention, "forward", lambda *a, **k: whole(*a, **k, softcap=30.0))
    assert not packs(model)


def test_a_model_whose_own_code_wants_a_mask_is_found_out(
    tiny: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("llama").model
    attention = type(model.model.layers[0].self_attn)
    monkeypatch.setattr(  # as Falcon's eager attention does
        attention, "forward", lambda *_, attention_mask, **__: torch.zeros(1) + attention_mask
    )
    assert not packs(model)
