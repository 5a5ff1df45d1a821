"""Generation by vLLM, in this process: all requests at once, each row with a seed of its own.

Texts end as `stages.engines.Request` says and as the transformers engine ends them; in float32 the
greedy ones are the same. Which engine runs, and what it wears, is `vllm_process`'s business.
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.engines import Completion, Request, Seat, given, misfit, stop_at, told
from stages.engines import vllm_process as process
from stages.engines.settings import VllmConfig
from stages.engines.vllm_process import Running, Served, first_line
from stages.errors import ConfigError, RowFailure
from stages.fields import Config
from stages.models import LanguageModel, end_ids_of, unloadable, window_of
from stages.tokens import encode
from stages.training import Lora


def build(seat: Seat, settings: Config | None) -> "VllmEngine":
    """The engine, started when it is first asked. Raises ConfigError when vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            "--engine vllm needs vLLM, which is not installed.",
            "pip install 'seal-adapt[vllm]' on a machine with a GPU; `make test-vllm` shows how to "
            "on a CPU.",
        )
    assert isinstance(settings, VllmConfig)
    assert seat.folder is not None  # only models of this machine come here
    served = Served(seat.folder, seat.model_id, seat.dtype)
    return VllmEngine(served, settings, seat.load, seat.rank, chat=seat.chat)


@dataclass(frozen=True)
class _Row:
    """A request, its place in the answer, its prompt as tokens, and who answers it."""

    place: int
    request: Request
    prompt: list[int]
    lora: Lora | None


class VllmEngine:
    """Asks the vLLM of this process, which is started when the first request comes.

    `reference` gives the same model in transformers, for the canary: called when an adapter is
    worn for the first time. `rank`: the largest adapter that is expected, 0 for none; a larger one
    makes vLLM start again. With `chat` every prompt goes into the model's chat template.
    """

    def __init__(
        self,
        served: Served,
        config: VllmConfig,
        reference: Callable[[], LanguageModel],
        rank: int = 0,
        *,
        chat: bool = False,
    ) -> None:
        self.served, self.config, self.reference, self.rank = served, config, reference, rank
        self.chat = chat
        self.tokenizer, self.end_ids, window = _read(served)
        self.window = min(window, config.max_model_len or window)

    def complete(
        self, requests: Sequence[Request], loras: Sequence[Lora | None] = ()
    ) -> list[Completion]:
        """One completion per request, in order."""
        put = given(requests, self.tokenizer, chat=self.chat)
        done: dict[int, Completion] = {}
        rows = []
        worn = loras or [None] * len(requests)
        for place, (request, lora) in enumerate(zip(put, worn, strict=True)):
            row = _Row(place, request, encode(self.tokenizer, request.prompt), lora)
            if unfit := misfit(len(row.prompt), self.window):
                done[place] = unfit
            else:
                rows.append(row)
        rank = max((lora.rank for lora in loras if lora is not None), default=0)
        for chunk in self._chunks(rows):
            running = process.running(self.served, self.config, max(self.rank, rank))
            done |= self._answer(running, chunk)
        return told(requests, put, [done[place] for place in range(len(requests))])

    def rest(self) -> None:
        """Let the vLLM of this process sleep; on a CPU nothing."""
        process.rest()

    def used(self) -> None:
        """Nothing: no server is asked."""

    def directly(self, requests: Sequence[Request]) -> int:
        """What somebody would write who has vLLM alone; the number of tokens. For measuring."""
        from vllm import SamplingParams

        requests = given(requests, self.tokenizer, chat=self.chat)
        outputs = process.running(self.served, self.config, self.rank).llm.generate(
            [request.prompt for request in requests],
            [
                SamplingParams(
                    temperature=request.temperature,
                    top_p=request.top_p,
                    max_tokens=request.max_tokens,
                    seed=request.seed,
                )
                for request in requests
            ],
            use_tqdm=False,
        )
        written = (one.outputs[0].token_ids for one in outputs)
        return sum(len(ids) - (ids[-1] in self.end_ids) for ids in written)

    def _chunks(self, rows: Sequence[_Row]) -> Iterator[list[_Row]]:
        """Rows to hand over together: of as many adapters as can be worn at once."""
        worn = list(dict.fromkeys(id(row.lora) for row in rows if row.lora is not None))
        turn = {lora: i // self.config.adapters for i, lora in enumerate(worn)}
        for number in range(max(turn.values(), default=0) + 1):
            chunk = [row for row in rows if turn.get(id(row.lora), 0) == number]
            if chunk:
                yield chunk

    def _answer(self, running: Running, rows: Sequence[_Row]) -> dict[int, Completion]:
        distinct = {id(row.lora): row.lora for row in rows if row.lora is not None}
        worn = dict(zip(distinct, running.wear(list(distinct.values())), strict=True))
        refused = {key: failure for key, failure in worn.items() if isinstance(failure, RowFailure)}
        done = {
            row.place: Completion("", 0, None, refused[id(row.lora)].message)
            for row in rows
            if id(row.lora) in refused
        }
        fine = [row for row in rows if row.place not in done]
        self._trust(running, fine, worn)
        found = self._generate(running, fine, worn, stops=True)
        # vLLM ends a text at the first stop string, we at the first after something was written.
        early = [row for row, one in zip(fine, found, strict=True) if one is None]
        later = iter(self._generate(running, early, worn, stops=False))
        for row, one in zip(fine, found, strict=True):
            completion = one or next(later)
            assert completion is not None  # without stop strings nothing ends early
            done[row.place] = completion
        return done

    def _trust(self, running: Running, rows: Sequence[_Row], worn: dict[int, Any]) -> None:
        """Let the canary look at the first adapter that this engine wears."""
        from stages.engines.vllm_canary import check

        adapted = {id(row.lora): row for row in rows if row.lora is not None}
        for row in adapted.values():
            if running.trusted:
                return
            assert row.lora is not None
            running.trusted = check(
                running, self.reference(), row.prompt, row.lora, worn[id(row.lora)]
            )

    def _generate(
        self, running: Running, rows: Sequence[_Row], worn: dict[int, Any], *, stops: bool
    ) -> list[Completion | None]:
        """Completions of rows; None for a text that a stop string ended too early."""
        from vllm.exceptions import VLLMError

        if not rows:
            return []
        try:
            outputs = running.llm.generate(
                [{"prompt_token_ids": row.prompt} for row in rows],
                [self._sampling(row, stops=stops) for row in rows],
                lora_request=[worn.get(id(row.lora)) for row in rows] if running.rank else None,
                use_tqdm=False,
            )
        except (ValueError, RuntimeError, VLLMError) as error:
            running.abandon()
            if len(rows) == 1:
                return [Completion("", 0, None, f"vLLM: {first_line(error)}")]
        except BaseException:  # Ctrl-C: whoever catches it may ask again
            running.abandon()
            raise
        else:
            return [
                self._completion(row, o.outputs[0]) for row, o in zip(rows, outputs, strict=True)
            ]
        half = len(rows) // 2
        parts = rows[:half], rows[half:]
        return [one for part in parts for one in self._generate(running, part, worn, stops=stops)]

    def _sampling(self, row: _Row, *, stops: bool) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        request = row.request
        stop = [request.stop] if stops and request.stop is not None else None
        grammar = request.grammar and StructuredOutputsParams(grammar=request.grammar)
        return SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=min(request.max_tokens, self.window - len(row.prompt)),
            seed=request.seed if request.temperature > 0 else None,
            stop=stop,
            stop_token_ids=sorted(self.end_ids),
            detokenize=stop is not None,
            structured_outputs=grammar or None,
        )

    def _completion(self, row: _Row, output: Any) -> Completion | None:
        """What was written, by our own decoding; None if vLLM's stop is not ours."""
        ids, stop = list(output.token_ids), row.request.stop
        ended = bool(ids) and ids[-1] in self.end_ids
        if ended:
            ids.pop()
        text = self._text(ids)
        place = stop_at(text, stop)
        stopped = stop is not None and output.stop_reason == stop
        if place is None:
            return None if stopped else Completion(text, len(ids), "stop" if ended else "length")
        if not stopped:  # vLLM was not asked to: count what led to the stop string
            fewest = range(1, len(ids) + 1)
            n = next(n for n in fewest if stop_at(self._text(ids[:n]), stop) is not None)
            ids = ids[:n]
            text = self._text(ids)
            place = stop_at(text, stop)
        return Completion(text[:place], len(ids), "stop")

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))


def _read(served: Served) -> tuple[Any, frozenset[int], int]:
    """The tokenizer, the tokens that end a text, and the window, without the weights.

    Raises:
        InputError: they cannot be read.

    """
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(served.path, **local)
        config = AutoConfig.from_pretrained(served.path, **local)
        try:
            generation = GenerationConfig.from_pretrained(served.path, local_files_only=True)
        except OSError:  # as transformers does for a model without the file
            generation = GenerationConfig.from_model_config(config)
        return tokenizer, end_ids_of(generation, tokenizer), window_of(config)
    except Exception as error:  # whatever the parts of transformers raise for a broken folder
        raise unloadable(Path(served.path), error) from error
