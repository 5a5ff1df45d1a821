"""One frozen dataclass per stage, checked when built. The only place where a default stands.

A field carries its help text and bounds, so that the command line, the TOML file and the
environment (`seal_cli.settings`) all derive from it. Fields marked volatile (how, not what) stay
out of an artifact's key: batch sizes and devices do not change what a stage means.
"""

import math
import re
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar
from urllib.parse import urlsplit

from stages.errors import ConfigError


def option(
    default: Any,
    text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    volatile: bool = False,
    elsewhere: bool = False,
) -> Any:
    """A dataclass field with what every front end needs to offer it.

    `volatile`: how, not what. `elsewhere`: a run holds what it stands for in a field of its own.
    Neither is in a key.
    """
    return field(
        default=default,
        compare=not (volatile or elsewhere),
        metadata={
            "help": text,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "volatile": volatile,
        },
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all: checks bounds and choices, and tells what belongs in the key."""

    SECTION: ClassVar[str]  # its table in a settings file

    # Read by seal_cli.settings; pydantic is not needed here.
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "coerce_numbers_to_str": True,  # slots = 8
    }

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None:
                continue
            low, high, choices = (item.metadata[k] for k in ("minimum", "maximum", "choices"))
            name = item.name.replace("_", "-")
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} is {value}.", "Give a finite number.")
            if choices and value not in choices:
                raise ConfigError(f"{name} is {value!r}.", f"Choose one of: {', '.join(choices)}.")
            if low is not None and not value >= low:
                raise ConfigError(f"{name} is {value}.", f"It must be at least {low}.")
            if high is not None and not value <= high:
                raise ConfigError(f"{name} is {value}.", f"It must be at most {high}.")

    def key(self) -> dict[str, Any]:
        """The fields that decide what comes out and are nowhere else in a run."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.compare}

    def shown(self) -> dict[str, Any]:
        """All that was settled: what is volatile aside."""
        known = (item.name for item in fields(self) if not item.metadata["volatile"])
        return {name: getattr(self, name) for name in known}


ENGINES = ("transformers", "vllm", "openai", "scripted")
LOCAL = ("transformers", "vllm", "scripted")  # the engines that run on this machine
WEARERS = ("transformers", "vllm")  # the engines that answer as a model with an adapter
APIS = ("auto", "chat", "completions")
CHAT_MODES = ("auto", "on", "off")
OVER_LENGTH = ("cut", "drop")
PAD_TARGETS = ("eos", "none", "official")
GRIDS = ("rows", "lists")
COLOURS = ("any", "unused")
RULES = ("best-of-n", "improves", "top-k", "threshold", "sql")
REWARDS = ("accuracy", "gain", "binary", "proxy")
RACES = ("off", "halving", "bounds")
SCHEDULES = ("linear", "cosine")
GRADERS = ("offline-2", "offline-1", "exact", "contained", "f1", "arc-grid")
OFFLINE = {"offline": "offline-2"}  # a name for the newest version; keys and rows have the version
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
JUDGE = "judge:"  # judge:MODEL is a grader, too


@dataclass(frozen=True, kw_only=True)
class ServerConfig(Config):
    """A server that speaks OpenAI's protocol: where it is and how hard it may be asked.

    Its key has no field: it comes from the environment alone and is written nowhere.
    """

    base_url: str = option(
        "", "address of an OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1", volatile=True
    )
    api: str = option(
        "auto",
        "ask it by chat or by plain completions; auto is chat, unless --chat off",
        choices=APIS,
    )
    concurrency: int = option(8, "requests under way at once", minimum=1, volatile=True)
    attempts: int = option(
        6, "times a request is sent before its row counts as failed", minimum=1, volatile=True
    )
    timeout: float = option(
        600.0, "seconds until a request without an answer is given up", minimum=0.1, volatile=True
    )
    requests_per_minute: float = option(
        0.0, "most requests a minute; 0 is no limit", minimum=0, volatile=True
    )
    request_budget: int = option(
        0, "requests this run may pay for; 0 is no limit", minimum=0, volatile=True
    )
    token_budget: int = option(
        0,
        "tokens, prompts included, that this run may pay for; 0 is no limit",
        minimum=0,
        volatile=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base_url:
            _check_url(self.base_url)


def _check_url(url: str) -> None:
    """Raise ConfigError for what is no plain address. It is not repeated: it may hold a secret."""
    try:
        parts = urlsplit(url)
        secret = "@" in parts.netloc or bool(parts.query) or bool(parts.fragment)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        secret, plain = "@" in url, False
    if secret:
        raise ConfigError(
            "base-url has more than an address in it: a user, a password or a query.",
            "Give the address alone; a key goes into the environment variable SEAL_API_KEY.",
        )
    if not plain:
        raise ConfigError(
            "base-url is not an address.", "Give one such as http://127.0.0.1:8000/v1."
        )


@dataclass(frozen=True, kw_only=True)
class EndpointConfig(ServerConfig):
    """The server behind `--engine openai`."""

    SECTION = "endpoint"

    structured: str = option(
        "none",
        "how --constrained is asked for: not at all, or as vLLM wants it",
        choices=("none", "vllm"),
    )


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(ServerConfig):
    """The server behind `--grader judge:MODEL`. What is not set here is as in [endpoint]."""

    SECTION = "judge"

    verdict_tokens: int = option(
        16, "longest verdict in tokens; a judge that thinks first needs more", minimum=1
    )


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Config):
    """How self-edits are sampled. Paper §4 (knowledge): T=1.0, top-p 0.95, 5 per context in RL."""

    SECTION = "generate"

    samples: int = option(5, "self-edits per context", minimum=1)
    prompt: str = option(
        "default",
        "prompt or recipe of the domain by name, or a file: a text with {context} or "
        "{demonstrations}, or the steps of a recipe (.toml)",
        elsewhere=True,
    )
    constrained: bool = option(
        False, "let the policy write nothing but self-edits that can be read (needs xgrammar)"
    )
    engine: str = option("transformers", "who generates", choices=ENGINES, elsewhere=True)
    temperature: float = option(1.0, "sampling temperature; 0 is greedy", minimum=0)
    top_p: float = option(0.95, "nucleus sampling mass", minimum=0.01, maximum=1)
    max_tokens: int = option(
        1024, "longest text of one request in tokens (the paper: 8192)", minimum=1
    )
    chat: str = option("auto", "use the model's chat template", choices=CHAT_MODES, elsewhere=True)
    limit: int = option(0, "use this many contexts, wrapping around; 0 is all", minimum=0)
    offset: int = option(0, "start at this context", minimum=0)
    seed: int = option(0, "run seed; every row derives its own from it")
    decode_batch: int = option(16, "sequences decoded together", minimum=1, volatile=True)


@dataclass(frozen=True, kw_only=True)
class QuizConfig(Config):
    """How a model writes questions about passages, and which of them are kept."""

    SECTION = "quiz"

    questions: int = option(5, "questions kept per context, at most", minimum=1)
    samples: int = option(2, "texts with questions written per context", minimum=1)
    prompt: str = option(
        "default",
        "prompt preset that asks for questions, or a text file with {context}",
        elsewhere=True,
    )
    engine: str = option("transformers", "who generates", choices=LOCAL, elsewhere=True)
    temperature: float = option(1.0, "sampling temperature; 0 is greedy", minimum=0)
    top_p: float = option(0.95, "nucleus sampling mass", minimum=0.01, maximum=1)
    max_tokens: int = option(1024, "longest text with questions in tokens", minimum=1)
    answer_tokens: int = option(64, "longest answer in tokens", minimum=1)
    grader: str = option(
        "default",
        "who judges the answers; the domain says who by default",
        choices=("default", *OFFLINE, *GRADERS),
        elsewhere=True,
    )
    chat: str = option("auto", "use the model's chat template", choices=CHAT_MODES, elsewhere=True)
    limit: int = option(0, "use this many contexts, wrapping around; 0 is all", minimum=0)
    offset: int = option(0, "start at this context", minimum=0)
    seed: int = option(0, "run seed; every row derives its own from it")
    decode_batch: int = option(64, "sequences decoded together", minimum=1, volatile=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grader != "default":
            object.__setattr__(self, "grader", resolved_grader(self.grader))


@dataclass(frozen=True, kw_only=True)
class LoraConfig(Config):
    """A LoRA and how it is trained: shared by the inner loop (adapt) and the outer one (update)."""

    rank: int = option(32, "LoRA rank", minimum=1, maximum=512)
    alpha: int = option(64, "LoRA alpha; updates are scaled by alpha / rank", minimum=1)
    targets: str = option(
        "default",
        "modules: 'default' (query and value), 'all-linear', or names with commas",
        elsewhere=True,
    )
    epochs: int = option(10, "passes over the training sequences", minimum=1, maximum=1000)
    learning_rate: float = option(1e-3, "peak learning rate", minimum=0, maximum=1)
    schedule: str = option(
        "linear", "how the learning rate falls to zero after its peak", choices=SCHEDULES
    )
    warmup_steps: int = option(
        0, "optimizer steps in which the learning rate rises to its peak", minimum=0
    )
    batch_size: int = option(1, "sequences per optimizer step", minimum=1)
    max_length: int = option(2048, "longest training sequence in tokens", minimum=2)
    seed: int = option(0, "run seed; every row derives its own from it")


@dataclass(frozen=True, kw_only=True)
class AdaptConfig(LoraConfig):
    """The inner loop, with the paper's constants (appendix; PEFT's default targets for Qwen2)."""

    SECTION = "adapt"

    repeats: int = option(3, "adapters per self-edit, each with its own seed", minimum=1)
    max_sequences: int = option(
        128, "training sequences per self-edit, the passage included", minimum=1
    )
    over_length: str = option(
        "cut",
        "a sequence longer than max-length is cut, or dropped for the next one; where no target is "
        "left it is dropped in any case",
        choices=OVER_LENGTH,
    )
    pad_targets: str = option(
        "eos",
        "end tokens as targets: one per sequence (eos), none, or padding to max-length (official)",
        choices=PAD_TARGETS,
    )
    max_epochs: int = option(20, "epochs that a self-edit may ask for", minimum=1)
    max_learning_rate: float = option(
        1e-2, "learning rate that a self-edit may ask for", minimum=0, maximum=1
    )
    max_steps: int = option(
        375, "optimizer steps of a self-edit that asks for its epochs (the paper: 375)", minimum=1
    )
    chat: str = option("auto", "use the model's chat template", choices=CHAT_MODES, elsewhere=True)
    slots: str = option(
        "auto", "adapters trained at once: a number, or auto (by free memory)", volatile=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slots != "auto" and not (self.slots.isdecimal() and int(self.slots) > 0):
            raise ConfigError(f"slots is {self.slots!r}.", "Give a number from 1 on, or auto.")

    @property
    def n_slots(self) -> int | None:
        """The slots asked for; None for auto."""
        return None if self.slots == "auto" else int(self.slots)


@dataclass(frozen=True, kw_only=True)
class ArcConfig(Config):
    """Few-shot tasks: how they are written down, and what their training sets are made of.

    The defaults are the tool's own; `--preset paper-arc` has what the released code does.
    """

    SECTION = "arc"

    grids: str = option(
        "rows",
        "how grids are written for the student: digits, a line per row, or nested lists",
        choices=GRIDS,
    )
    system_message: bool = option(
        False,
        "put the instruction and the demonstrations into a system message, where there is a chat "
        "template",
    )
    reorder: bool = option(
        False, "without any augmentation, too, learn each task with its demonstrations reordered"
    )
    colours: str = option(
        "any",
        "what a permutation makes of a colour: any other one, or one that is unused in the task "
        "as long as there are such",
        choices=COLOURS,
    )
    own_first: bool = option(
        True,
        "of more than max-sequences, keep the tasks of the demonstrations themselves first; else "
        "keep any",
    )


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(Config):
    """How an adapted model is examined: greedy answers, a passage out of view, grids in view."""

    SECTION = "score"

    grader: str = option(
        "default",
        "who judges the answers; the domain says who by default: default, offline (the newest "
        f"version), {', '.join(GRADERS)}, or judge:MODEL, a model behind --base-url",
        elsewhere=True,
    )
    engine: str = option("transformers", "who answers", choices=WEARERS, elsewhere=True)
    answer_tokens: int = option(64, "longest answer in tokens", minimum=1)
    reward_floor: float = option(0.0, "reward of an invalid self-edit")
    voting: bool = option(
        False, "ask for grids in eight ways and give the two that come most often as attempts"
    )
    chat: str = option("auto", "use the model's chat template", choices=CHAT_MODES, elsewhere=True)
    probe_limit: int = option(
        10, "contexts of the probe that are asked about; 0 is all", minimum=0, elsewhere=True
    )
    decode_batch: int = option(128, "sequences decoded together", minimum=1, volatile=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grader != "default":
            object.__setattr__(self, "grader", resolved_grader(self.grader))


def resolved_grader(name: str) -> str:
    """What keys and rows call a grader. Raises ConfigError for one that does not exist."""
    name = OFFLINE.get(name, name)
    if name in GRADERS or (name.startswith(JUDGE) and name.removeprefix(JUDGE).strip()):
        return name
    raise ConfigError(
        f"grader is {name!r}: there is no such grader.",
        f"Choose one of: {', '.join((*OFFLINE, *GRADERS))}, {JUDGE}MODEL.",
    )


@dataclass(frozen=True, kw_only=True)
class RewardConfig(Config):
    """What examinations are worth, and how many of them are made."""

    SECTION = "reward"

    reward: str = option(
        "accuracy",
        "accuracy; gain over the unadapted student; binary (1 where it improves, of a task where "
        "it solves it); proxy (a model judges the text, nothing is trained)",
        choices=REWARDS,
    )
    racing: str = option(
        "off",
        "give no further repeats to who is behind in its context: by halving, or by bounds",
        choices=RACES,
    )
    racing_keep: float = option(
        0.5, "share that runs again (halving), rounded up", minimum=0.01, maximum=1
    )
    racing_confidence: float = option(
        0.5, "confidence of the bounds: lower saves more runs", minimum=0, maximum=0.999
    )
    proxy_engine: str = option("transformers", "who runs the judge (proxy)", choices=LOCAL)
    proxy_tokens: int = option(128, "longest judgement in tokens (proxy)", minimum=1)


@dataclass(frozen=True, kw_only=True)
class FilterConfig(Config):
    """Which self-edits the policy learns from (ReST-EM's E-step; the paper: best of 5)."""

    SECTION = "filter"

    rule: str = option("best-of-n", "which self-edits are kept", choices=RULES)
    query: str = option("", "for the rule sql: a file with one SELECT", elsewhere=True)
    keep: int = option(1, "self-edits kept per context (top-k)", minimum=1)
    threshold: float = option(0.5, "smallest reward kept (threshold)")
    margin: float = option(0.0, "gain over the baseline that must be exceeded (improves)")
    max_forget: float | None = option(
        None,
        "before any rule, drop self-edits whose adapter loses more points than this on the probe",
        minimum=0,
        maximum=100,
    )


@dataclass(frozen=True, kw_only=True)
class UpdateConfig(LoraConfig):
    """The outer loop's finetuning (ReST-EM's M-step), with the paper's constants."""

    SECTION = "update"

    rank: int = option(64, "LoRA rank", minimum=1, maximum=512)
    alpha: int = option(128, "LoRA alpha; updates are scaled by alpha / rank", minimum=1)
    targets: str = option(
        "all-linear",
        "modules: 'default' (query and value), 'all-linear', or names with commas",
        elsewhere=True,
    )
    epochs: int = option(2, "passes over the selection", minimum=1, maximum=1000)
    learning_rate: float = option(3e-4, "peak learning rate", minimum=0, maximum=1)
    batch_size: int = option(10, "sequences per optimizer step", minimum=1)
    max_length: int = option(8192, "longest prompt and completion in tokens", minimum=2)
    replay: float = option(
        0.0,
        "learn earlier rounds' self-edits again: up to 1 a share of the new ones, else how many",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.replay > 1 and self.replay % 1:
            raise ConfigError(
                f"replay is {self.replay}.", "Give a share up to 1, or a whole number from 2 on."
            )


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Config):
    """How a policy is measured. Its four shared fields stand in place of the other stages'."""

    SECTION = "eval"

    regime: str = option(
        "default",
        "single (a passage, an adapter), cpt (all passages at once), continual (one edit after "
        "another) or fewshot (a task); the domain says single or fewshot by default",
        choices=("default", "single", "cpt", "continual", "fewshot"),
    )
    oracle: str = option(
        "", "for fewshot: a file with one self-edit, used for every task", elsewhere=True
    )
    samples: int = option(1, "self-edits per context", minimum=1)
    repeats: int = option(1, "adapters per self-edit, each with its own seed", minimum=1)
    limit: int = option(0, "use this many contexts, wrapping around; 0 is all", minimum=0)
    offset: int = option(0, "start at this context", minimum=0)
    seed: int = option(0, "run seed; every row derives its own from it")


@dataclass(frozen=True, kw_only=True)
class CptConfig(Config):
    """Continued pretraining on many passages at once, in place of [adapt] where both have a field.

    The paper's constants: v2 finetunes all weights (1 epoch at 7e-5, warm-up 0.03), v1 a LoRA (3
    epochs at 1e-3); both take 4 x 2 sequences per step and learn a self-edit as one text.
    """

    SECTION = "cpt"

    full: bool = option(False, "finetune all weights instead of a LoRA")
    lines: bool = option(False, "learn each line of a self-edit by itself, not the whole as one")
    epochs: int | None = option(
        None, "passes over the texts; 3, with --full 1", minimum=1, maximum=1000
    )
    learning_rate: float | None = option(
        None, "peak learning rate; 1e-3, with --full 7e-5", minimum=0, maximum=1
    )
    batch_size: int | None = option(None, "sequences per optimizer step; 8", minimum=1)
    warmup: float | None = option(
        None,
        "share of the steps in which a full finetuning's rate rises, without --warmup-steps; 0.03",
        minimum=0,
        maximum=1,
    )
    questions: int = option(
        0, "ask this many questions, drawn as the released code draws its 500; 0 is all", minimum=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup and not self.full:
            raise ConfigError(
                "warmup, a share of the steps, goes with --full.",
                "Leave it out; a LoRA has --warmup-steps.",
            )
        defaults = (
            {"epochs": 1, "learning_rate": 7e-5, "batch_size": 8, "warmup": 0.03}
            if self.full
            else {"epochs": 3, "learning_rate": 1e-3, "batch_size": 8, "warmup": 0.0}
        )
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class ContinualConfig(Config):
    """A sequence of self-edits, each learned on top of the ones before (paper §5, Fig. 6)."""

    SECTION = "continual"

    edits: int = option(8, "self-edits of a sequence, each about another passage", minimum=1)
    sequences: int = option(8, "sequences, each from the same model (the paper: 64)", minimum=1)
    separate: bool = option(
        False, "keep the adapters apart and ask each about its passage, instead of merging them"
    )
    replay: float = option(
        0.0, "earlier self-edits of the sequence learned again with each: a number, or a share < 1",
        minimum=0,
    )  # fmt: skip
    gate: float | None = option(
        None, "points that a merge may cost in accuracy before it is held back", minimum=0
    )
    gate_action: str = option(
        "clip",
        "a merge over its budget is scaled down to a half, a quarter, then nothing (clip), or left "
        "out (reject)",
        choices=("clip", "reject"),
    )
    gate_on: str = option(
        "earlier", "what a merge must not harm: the passages edited earlier, or the --probe",
        choices=("earlier", "probe"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.replay > 1 and self.replay != int(self.replay):
            raise ConfigError(
                f"replay is {self.replay}.", "Give a whole number or a share below 1."
            )
        if self.separate and (self.replay or self.gate is not None):
            raise ConfigError(
                "separate adapters forget nothing: there is nothing to replay or to gate.",
                "Leave out --replay and --gate, or --separate.",
            )
        if self.gate is None and (self.gate_on, self.gate_action) != ("earlier", "clip"):
            raise ConfigError(
                "--gate-on and --gate-action say how --gate works, and there is no gate.",
                "Give its budget in points, --gate 5, or leave them out.",
            )


@dataclass(frozen=True, kw_only=True)
class LoopConfig(Config):
    """The shape of the RL loop (paper: 2 rounds of 50 contexts, 5 samples, 3 repeats).

    What is not given here is as the stages have it.
    """

    SECTION = "loop"

    rounds: int = option(2, "rounds of generate, score, filter and update", minimum=1)
    limit: int = option(50, "contexts per round, taken in order, wrapping around", minimum=1)
    samples: int | None = option(None, "self-edits per context, in place of [generate]", minimum=1)
    repeats: int | None = option(None, "adapters per self-edit, in place of [adapt]", minimum=1)
    eval_limit: int | None = option(
        None, "contexts of each evaluation, in place of [eval]", minimum=0
    )
    seed: int | None = option(None, "run seed of every stage, in place of theirs")
    slots: str | None = option(None, "adapters trained at once, in place of [adapt]")
    engine: str | None = option(
        None,
        "who generates and answers, in place of [generate] and [score]",
        choices=WEARERS,
    )
    grader: str | None = option(None, "who judges the answers, in place of [score]")
    prompts: str = option("", "run the loop once for each of these, side by side: a,b,c")
    patience: int = option(
        0, "stop after so many rounds in a row that gain nothing for certain; 0 is never", minimum=0
    )
    budget: str = option("", "time to spend: 2h, 30m, 90s; the same command goes on later")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompts and len(set(self.names) - {""}) != len(self.names):
            raise ConfigError(
                f"prompts is {self.prompts!r}.", "Give different names with commas: a,b,c."
            )
        if self.budget and not (_DURATION.fullmatch(self.budget) and self.seconds):
            raise ConfigError(f"budget is {self.budget!r}.", "Write 2h, 30m, 90s or 1h30m.")

    @property
    def names(self) -> tuple[str, ...]:
        """The prompts to compare; none where the one of [generate] is used."""
        return tuple(name.strip() for name in self.prompts.split(",")) if self.prompts else ()

    @property
    def seconds(self) -> float | None:
        """The time to spend; None for all it takes."""
        found = _DURATION.fullmatch(self.budget)
        if found is None or not self.budget:
            return None
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return 3600 * hours + 60 * minutes + seconds


@dataclass(frozen=True, kw_only=True)
class VllmConfig(Config):
    """How vLLM runs in this process. What fits differs by machine, so nearly all is volatile."""

    SECTION = "vllm"

    memory: float = option(
        0.6,
        "on a GPU: the share of its memory that vLLM takes, beside a model in training",
        minimum=0.01,
        maximum=1,
        volatile=True,
    )
    kv_cache_mib: int = option(
        0,
        "memory for keys and values; 0 is what is left on a GPU, 512 on a CPU",
        minimum=0,
        volatile=True,
    )
    adapters: int = option(16, "adapters worn at once", minimum=1, volatile=True)
    max_model_len: int = option(
        0, "longest prompt and text together in tokens; 0 is the model's window", minimum=0
    )
