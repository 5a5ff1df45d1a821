"""Generation by a server that speaks OpenAI's protocol: vLLM, Ollama, hosted models.

Asks many requests at once, tries again where that can help, keeps to a rate and a budget, and never
pays twice for what a ledger has. Knows no store, no key's origin, and adapts nothing.
"""

import asyncio
import importlib.util
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from stages.engines import Completion, Request, Seat, given, stop_at, told
from stages.engines.background import in_background
from stages.engines.guarded import Elsewhere, guarded_client
from stages.engines.pace import Pace, retry_after
from stages.engines.reply import Usage, reply_of, usage_of
from stages.engines.settings import EndpointConfig, ServerConfig
from stages.errors import ConfigError, ResourceError
from stages.fields import Config
from stages.identity import canonical, digest
from stages.tokens import plain

if TYPE_CHECKING:
    from stages.training import Lora

# 408 timeout, 409 conflict, 429 too many: worth another try, as is anything from 500 on.
_AGAIN = (408, 409, 429)
_LOCKED_OUT = (401, 403)
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds; doubled from one attempt to the next
_LONGEST_ASKED = 600.0  # a server that asks to wait longer than this has nothing left for us
_SENTENCE = 200  # characters of what a server says that a reason repeats
_SECRET = 8  # characters from which a part of an address may be a secret
_SEEDS = 2**31  # some servers read a seed as a 32-bit number


def build(seat: Seat, settings: Config | None) -> "OpenAIEngine":
    """The engine for a model of a server."""
    assert isinstance(settings, ServerConfig)
    access = seat.access()
    return OpenAIEngine(
        seat.name,
        settings,
        key=access.key,
        secrets=access.secrets,
        ledger=access.ledger,
        structured=settings.structured if isinstance(settings, EndpointConfig) else "none",
    )


class Ledger(Protocol):
    """What was answered before, by the digest of everything that was sent; a dict is one."""

    def get(self, key: str, /) -> Completion | None:
        """The answer, if there is one."""

    def __setitem__(self, key: str, completion: Completion, /) -> None:
        """Keep an answer."""


class OpenAIEngine:
    """Asks one model behind one address. `config.api` says how; auto counts as chat.

    `secrets` (the key is one) are blotted out of everything a server says.

    Raises:
        ConfigError: the openai library or the address is missing.

    """

    def __init__(
        self,
        model: str,
        config: ServerConfig,
        *,
        key: str | None = None,
        secrets: Sequence[str] = (),
        ledger: Ledger | None = None,
        structured: str = "none",
    ) -> None:
        if importlib.util.find_spec("openai") is None:
            raise ConfigError(
                "asking a server needs the openai library, which is not installed.",
                "pip install 'seal-adapt[openai]'",
            )
        if not config.base_url:
            raise ConfigError(
                f"no address is known for {model}.",
                "Give its address with --base-url, e.g. http://127.0.0.1:8000/v1.",
            )
        self.model, self.config, self.key = model, config, key
        self.chat = config.api != "completions"
        self.structured = structured
        path = (part for part in urlsplit(config.base_url).path.split("/") if len(part) >= _SECRET)
        self.secrets = tuple(secret for secret in (key, *secrets, *path) if secret)
        self.ledger: Ledger = {} if ledger is None else ledger
        self.usage = Usage()
        self._pace, self._limit = Pace(config.requests_per_minute), "max_tokens"
        self._under_way, self._spent = 0, False  # requests; the budget
        self._locked_out = ""  # what a server said that does not take the key
        self._silent = False  # no answer at all was the last that was heard

    def rest(self) -> None:
        """Nothing: the model is elsewhere."""

    def used(self) -> str | None:
        """What was asked since the last call."""
        done, self.usage = self.usage, Usage()
        return None if done == Usage() else f"{self.model}: {done}."

    def complete(
        self, requests: Sequence[Request], loras: "Sequence[Lora | None]" = ()
    ) -> list[Completion]:
        """One completion per request, in order; the same request is asked once.

        Raises:
            ConfigError: a request has an adapter or a grammar, which this server cannot take.
                Or the server does not take the key: no other request would fare better.
            ResourceError: the budget is spent; what was answered is in the ledger.

        """
        if any(lora is not None for lora in loras):
            raise ConfigError(
                "a server cannot apply the adapters that are trained here.",
                "Use the engine transformers.",
            )
        bodies = [self._body(request) for request in requests]
        keys = [digest(self.chat, canonical(body), length=32) for body in bodies]
        answers = in_background(self._ask(dict(zip(keys, bodies, strict=True))))
        if self._locked_out:
            raise ConfigError(
                f"{self._locked_out}.",
                "Set SEAL_API_KEY (a judge's: SEAL_JUDGE_API_KEY) and run the same command again; "
                "what was answered is kept.",
            )
        if self._spent:
            raise ResourceError(
                f"the budget is spent: {self.usage}.",
                "Run the same command to go on (what was answered is kept), with a larger "
                "--request-budget or --token-budget or after a while.",
            )
        done = [_cut(answers[key], r.stop) for key, r in zip(keys, requests, strict=True)]
        return told(requests, given(requests, None, chat=False), done)

    def _body(self, request: Request) -> dict[str, Any]:
        """What is sent, as JSON. A stop string is not: leading blanks do not end an answer here."""
        asked: dict[str, Any] = {"prompt": plain(request.prompt, request.system)}
        if self.chat:
            system = [{"role": "system", "content": request.system}] if request.system else []
            asked = {"messages": [*system, {"role": "user", "content": request.prompt}]}
        body = asked | {
            "model": self.model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed % _SEEDS,
        }
        if request.top_p < 1 and request.temperature > 0:
            body["top_p"] = request.top_p
        if request.grammar is not None:
            if self.structured != "vllm":
                raise ConfigError(
                    "--constrained is not part of OpenAI's protocol.",
                    "Leave it out, or say --structured vllm for a vLLM server.",
                )
            body["extra_body"] = {"structured_outputs": {"grammar": request.grammar}}
        return body

    async def _ask(self, asked: Mapping[str, dict[str, Any]]) -> dict[str, Completion]:
        """Every request, `concurrency` at once."""
        import openai

        self._spent, self._locked_out = False, ""
        room = asyncio.Semaphore(self.config.concurrency)
        client = openai.AsyncOpenAI(
            base_url=self.config.base_url,
            api_key=self.key or "none",  # local servers want none, the library wants some
            max_retries=0,  # `_one` tries again itself
            timeout=openai.Timeout(self.config.timeout, connect=min(10.0, self.config.timeout)),
            http_client=guarded_client(),
        )

        async def one(key: str) -> Completion:
            async with room:
                return await self._one(client, key, asked[key])

        async with client:
            answers = await asyncio.gather(*map(one, asked))
        return dict(zip(asked, answers, strict=True))

    async def _one(self, client: Any, key: str, body: dict[str, Any]) -> Completion:
        """One answer: from the ledger, or paid for and kept there, or why there is none."""
        known = self.ledger.get(key)
        if known is not None:
            self.usage.found += 1
            return known
        if self._locked_out:
            return Completion("", None, None, self._locked_out)
        if not self._within_budget():
            self._spent = True
            return Completion("", None, None, "the budget is spent")
        self._under_way += 1
        try:
            answer = await self._tried(client, body)
        finally:
            self._under_way -= 1
        if answer.error is None:
            self.usage.answered += 1
            self.ledger[key] = answer
        return answer

    def _within_budget(self) -> bool:
        """Whether one more request may be paid for. Tokens are known when they are spent."""
        requests, tokens = self.config.request_budget, self.config.token_budget
        if requests and self.usage.answered + self._under_way >= requests:
            return False
        return not tokens or self.usage.tokens < tokens

    async def _tried(self, client: Any, body: dict[str, Any]) -> Completion:
        """An answer, after as many attempts as it takes and may take."""
        attempt, wait = 1, _FIRST_WAIT
        while True:
            await self._pace.wait()
            result = await self._once(client, body)
            if isinstance(result, Completion):
                self._silent = False
                return result
            self.usage.in_vain += 1
            # Where others found nobody after all their attempts, one is enough.
            if not result.again or self._silent or attempt == self.config.attempts:
                break
            await asyncio.sleep(max(result.asked, wait * random.uniform(0.5, 1)))
            attempt, wait = attempt + 1, min(2 * wait, _LONGEST_WAIT)
        self._silent = result.nobody
        tries = f" ({attempt} attempts)" if attempt > 1 else ""
        return Completion("", None, None, result.reason + tries)

    async def _once(self, client: Any, body: dict[str, Any]) -> "Completion | _Failure":
        """One attempt: an answer, or what went wrong and whether another may go better."""
        try:
            async with asyncio.timeout(self.config.timeout):  # the whole of it, not each read
                return self._read(await self._send(client, body))
        except Exception as error:  # noqa: BLE001  # a server can answer anything
            return self._failure(error)

    def _failure(self, error: Exception) -> "_Failure":
        """What an attempt ended with."""
        import openai

        if isinstance(error, openai.APIStatusError):
            self._silent = False
            if error.status_code in _LOCKED_OUT:
                self._locked_out = self._refusal(error)
            asked = retry_after(error.response.headers)
            again = error.status_code in _AGAIN or error.status_code >= 500
            again = again and asked <= _LONGEST_ASKED
            if again:
                self._pace.pause(asked)
            return _Failure(self._refusal(error), again, asked)
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            reason = f"the server did not answer within {self.config.timeout:g} seconds"
            return _Failure(reason, again=True, nobody=True)
        if isinstance(error, openai.APIConnectionError):
            reason = f"the server did not answer: {self._said(error.__cause__ or error)}"
            return _Failure(reason, again=True, nobody=True)
        reason = f"the server's answer is not understood: {self._said(error)}"
        return _Failure(reason, again=not isinstance(error, Elsewhere))

    async def _send(self, client: Any, body: dict[str, Any]) -> Any:
        """The library's answer. Newer models of OpenAI's have another name for the limit."""
        import openai

        create = client.chat.completions.create if self.chat else client.completions.create
        if self._limit == "max_tokens":
            try:
                return await create(**body)
            except openai.BadRequestError as refusal:
                if "max_completion_tokens" not in self._refusal(refusal):
                    raise
                self._limit = "max_completion_tokens"
        rest = {name: value for name, value in body.items() if name != "max_tokens"}
        return await create(**rest, max_completion_tokens=body["max_tokens"])

    def _read(self, answer: Any) -> Completion:
        """The library's answer as ours. Raises ValueError for what cannot be used."""
        prompt, written = usage_of(answer)
        self.usage.prompt_tokens += prompt or 0
        self.usage.completion_tokens += written or 0
        reply = reply_of(answer, chat=self.chat)
        if reply.finish == "content_filter":
            return Completion("", written, None, "the server's content filter stopped the answer")
        if reply.text is None:
            refused = self._said(reply.refusal or "")
            said = f"the model refused: {refused}" if refused else "the model wrote no text"
            more = ": more --max-tokens may help" if reply.finish == "length" else ""
            return Completion("", written, None, said + more)
        finish = reply.finish if reply.finish in ("stop", "length") else None
        return Completion(reply.text, written, finish)

    def _refusal(self, refusal: Any) -> str:
        """A status with the server's own sentence."""
        if refusal.status_code in _LOCKED_OUT:  # servers like to repeat the key in such a sentence
            return f"the server did not accept the key ({refusal.status_code})"
        body = refusal.body
        if isinstance(body, dict):
            inner = body.get("error", body)
            body = inner.get("message", inner) if isinstance(inner, dict) else inner
        return f"the server refused with {refusal.status_code}: {self._said(body or 'no reason')}"

    def _said(self, words: object) -> str:
        """Somebody else's words in one short line, without our secrets."""
        try:
            line = re.sub(r"\s+", " ", str(words)).strip()
        except RecursionError:  # JSON nested to the edge
            line = "too deeply nested"
        for secret in self.secrets:
            line = line.replace(secret, "[secret]")
        return line if len(line) <= _SENTENCE else line[:_SENTENCE] + "…"


@dataclass(frozen=True, slots=True)
class _Failure:
    """One attempt that gave no answer. `asked` are the seconds a server wants us to wait."""

    reason: str
    again: bool
    asked: float = 0.0
    nobody: bool = False  # the server said nothing at all


def _cut(completion: Completion, stop: str | None) -> Completion:
    """The text up to the stop string, blanks at the front aside."""
    place = stop_at(completion.text, stop)
    if place is None:
        return completion
    return replace(completion, text=completion.text[:place], finish="stop")
