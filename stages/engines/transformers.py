"""Generation with a transformers model: batched, left-padded, every row with a seed of its own.

The random numbers of a row are drawn from its seed before decoding, so a row's text does not depend
on its neighbours (up to the floating point of a batched product). No generate(): it has one seed
for a whole batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from stages.engines import Completion, Request, Seat, given, misfit, stop_at, told
from stages.fields import Config
from stages.models import LanguageModel
from stages.tokens import encode
from stages.training import Lora
from stages.training.stack import Worn, stackable, wearing

MOST_ON_GPU = 512  # rows decoded at once


def build(seat: Seat, settings: Config | None) -> "TransformersEngine":
    """The engine on a model of this process."""
    return TransformersEngine(seat.load(), seat.batch, chat=seat.chat)


class TransformersEngine:
    """Decodes on one model, `batch` rows at a time, fewer when memory runs out.

    With `chat` every prompt goes into the model's chat template.
    """

    def __init__(
        self, language_model: LanguageModel, batch: int = 16, *, chat: bool = False
    ) -> None:
        self.lm = language_model
        self.batch = batch
        self.chat = chat

    def complete(
        self, requests: Sequence[Request], loras: Sequence[Lora | None] = ()
    ) -> list[Completion]:
        """One completion per request, in order."""
        put = given(requests, self.lm.tokenizer, chat=self.chat)
        rows = [
            _Row(request, encode(self.lm.tokenizer, request.prompt), lora)
            for request, lora in zip(put, loras or [None] * len(requests), strict=True)
        ]
        done: dict[int, Completion] = {}
        for i, row in enumerate(rows):
            if unfit := misfit(len(row.prompt), self.lm.window):
                done[i] = unfit
        for chunk in self._chunks(rows, [i for i in range(len(rows)) if i not in done]):
            written = self._decode([rows[i] for i in chunk])
            done |= dict(zip(chunk, written, strict=True))
        return told(requests, put, [done[i] for i in range(len(rows))])

    def rest(self) -> None:
        """Nothing: the trainer uses the same model."""

    def used(self) -> None:
        """Nothing: no server is asked."""

    def _chunks(self, rows: Sequence["_Row"], chosen: Sequence[int]) -> Iterator[list[int]]:
        """Rows to decode together: those of one LoRA side by side, those without apart."""
        place = {id(lora): i for i, lora in enumerate(row.lora for row in rows)}
        for adapted in (False, True):
            # Rows of like length share a batch: padding is what left-padded decoding wastes.
            order = sorted(
                (i for i in chosen if (rows[i].lora is not None) == adapted),
                key=lambda i: (place[id(rows[i].lora)], len(rows[i].prompt)),
            )
            targets = {name for i in order if (lora := rows[i].lora) for name in lora.targets}
            together = stackable(self.lm.model, sorted(targets))
            for _, group in groupby(order, key=lambda i: together or place[id(rows[i].lora)]):
                alike = list(group)
                batch = self._at_once([rows[i] for i in alike])
                for start in range(0, len(alike), batch):
                    yield alike[start : start + batch]

    def _at_once(self, rows: Sequence["_Row"]) -> int:
        """How many of these: on a GPU at least as many as half of its free memory has room for."""
        if self.lm.device.type != "cuda":
            return self.batch
        longest = max(len(row.prompt) + row.request.max_tokens for row in rows)
        free, _ = torch.cuda.mem_get_info(self.lm.device)
        return max(self.batch, min(MOST_ON_GPU, free // 2 // row_bytes(self.lm, longest)))

    def _decode(self, rows: list["_Row"]) -> list[Completion]:
        """Completions of rows that all wear a LoRA, or none of them; fewer at once if need be."""
        try:
            with wearing(self.lm.model, [r.lora for r in rows]) as worn, torch.inference_mode():
                return _Batch(self.lm, rows, worn).run()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if len(rows) == 1:
                error = f"out of memory on {len(rows[0].prompt)} prompt tokens"
                return [Completion("", 0, None, error)]
        half = len(rows) // 2
        return self._decode(rows[:half]) + self._decode(rows[half:])


@dataclass(frozen=True)
class _Row:
    """A request, its prompt as tokens, and who answers it."""

    request: Request
    prompt: list[int]
    lora: Lora | None


class _Batch:
    """One left-padded batch being decoded: grows a token per live row and step."""

    def __init__(self, lm: LanguageModel, rows: list[_Row], worn: Worn | None) -> None:
        self.lm, self.worn, device = lm, worn, lm.device
        self.requests, prompts = [row.request for row in rows], [row.prompt for row in rows]
        width = max(map(len, prompts))
        pad = lm.tokenizer.eos_token_id  # hidden by the mask: which token it is does not matter
        self.ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=device)
        self.mask = torch.tensor(
            [[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device
        )
        self.written: list[list[int]] = [[] for _ in prompts]
        self.finish: list[Any] = [None] * len(prompts)
        self.room = [min(row.request.max_tokens, lm.window - len(row.prompt)) for row in rows]
        self.temperature = torch.tensor([r.temperature for r in self.requests], device=device)[
            :, None
        ]
        self.top_p = torch.tensor([r.top_p for r in self.requests], device=device)[:, None]
        self.sampled = any(r.temperature > 0 for r in self.requests)
        self.draws = _draws(self.requests).to(device) if self.sampled else None
        self.guide = _guide(lm, self.requests)
        # A guide is done with a row that has ended.
        self.worth = 1.0 if device.type == "cpu" or self.guide is not None else 0.75
        self.ending: dict[tuple[int, str], bool] = {}  # by token and stop string

    def run(self) -> list[Completion]:
        """Decode until every row has ended."""
        live = list(range(len(self.requests)))
        ids, cache = self.ids, None
        position = (self.mask.cumsum(1) - 1).clamp(min=0)
        for step in range(max(self.room)):
            if self.worn is not None:
                self.worn.arrange(live, ids.shape[1])
            out = self.lm.model(
                input_ids=ids,
                attention_mask=self.mask,
                position_ids=position,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = out.past_key_values
            logits = out.logits[:, -1].float()
            if self.guide is not None:
                logits = self.guide.mask(logits, live)
            chosen = self._choose(logits, live, step)
            ended = [
                self.finish[row] is not None or self._push(row, token)
                for row, token in zip(live, chosen.tolist(), strict=True)
            ]
            keep = [i for i, end in enumerate(ended) if not end]
            if not keep:
                break
            # Finished rows stop costing; on a GPU that copies the cache, so not for each of them.
            if len(keep) < len(live) and len(keep) <= self.worth * len(live):
                index = torch.tensor(keep, device=chosen.device)
                cache.batch_select_indices(index)
                live, chosen = [live[i] for i in keep], chosen[index]
                self.mask, position = self.mask[index], position[index]
            ids, position = chosen[:, None], position[:, -1:] + 1
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(live), 1)], dim=1)
        return [self._completion(i) for i in range(len(self.requests))]

    def _choose(self, logits: torch.Tensor, live: list[int], step: int) -> torch.Tensor:
        """Logits [rows, vocabulary] -> token ids [rows]: greedy, or nucleus sampling."""
        greedy = logits.argmax(dim=1)
        if self.draws is None:
            return greedy
        rows = torch.tensor(live, device=logits.device)
        temperature = self.temperature[rows]
        probability = (logits / temperature.clamp(min=1e-6)).softmax(dim=1)
        ranked, token = probability.sort(dim=1, descending=True, stable=True)
        below = ranked.cumsum(dim=1)
        in_nucleus = below - ranked < self.top_p[rows]
        mass = torch.where(in_nucleus, below, 0).amax(dim=1, keepdim=True)
        index = torch.searchsorted(below, self.draws[rows, step : step + 1] * mass)
        index = index.clamp(max=in_nucleus.sum(dim=1, keepdim=True) - 1)
        sampled = token.gather(1, index).squeeze(1)
        return torch.where(temperature.squeeze(1) > 0, sampled, greedy)

    def _push(self, row: int, token: int) -> bool:
        """Append one token to a row; True when that ended it."""
        if token in self.lm.end_ids:
            self.finish[row] = "stop"
            return True
        if self.guide is not None:
            self.guide.accept(row, token)
        written = self.written[row]
        written.append(token)
        if self._may_stop(row, token) and self._stop_at(row) is not None:
            self.finish[row] = "stop"
            return True
        if len(written) >= self.room[row]:
            self.finish[row] = "length"
            return True
        return False

    def _text(self, row: int) -> str:
        return str(self.lm.tokenizer.decode(self.written[row], skip_special_tokens=True))

    def _may_stop(self, row: int, token: int) -> bool:
        """Whether this token can be the end of the row's stop string.

        By its last character, where that is one that no token shares with a neighbour and no
        decoder puts between tokens: else always.
        """
        stop = self.requests[row].stop
        if stop is None:
            return False
        if not stop or not stop[-1].isascii() or stop[-1] == " ":
            return True
        if (token, stop) not in self.ending:
            text = str(self.lm.tokenizer.decode([token], skip_special_tokens=True))
            self.ending[token, stop] = stop[-1] in text
        return self.ending[token, stop]

    def _stop_at(self, row: int) -> int | None:
        """Where the row's text ends by its stop string."""
        stop = self.requests[row].stop
        return None if stop is None else stop_at(self._text(row), stop)

    def _completion(self, row: int) -> Completion:
        text = self._text(row)[: self._stop_at(row)]
        return Completion(text, len(self.written[row]), self.finish[row])


def row_bytes(lm: LanguageModel, tokens: int) -> int:
    """What a row of so many tokens takes while it is decoded: keys, values, and its logits.

    Logits stand there in float32 four times while a token is drawn: scaled, sorted, summed up.
    """
    config = lm.model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    kept = 2 * config.num_hidden_layers * heads * width * lm.model.dtype.itemsize
    return int(tokens * kept + 4 * 4 * config.vocab_size)


def _guide(lm: LanguageModel, requests: list[Request]) -> Any:
    """What keeps the rows inside their grammars; None when none has one."""
    grammars = [request.grammar for request in requests]
    if not any(grammars):
        return None
    from stages.engines.grammar import Guide

    return Guide(lm, grammars)


def _draws(requests: list[Request]) -> torch.Tensor:
    """Uniform numbers [rows, most tokens], each row from its own seed: the same on every device."""
    rows = [
        torch.rand(request.max_tokens, generator=torch.Generator().manual_seed(request.seed))
        for request in requests
    ]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
