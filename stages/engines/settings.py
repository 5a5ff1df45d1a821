"""The settings that apply to one engine alone, and how a server is asked."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from stages.errors import ConfigError
from stages.fields import Config, option

APIS = ("auto", "chat", "completions")


@dataclass(frozen=True, kw_only=True)
class ServerConfig(Config):
    """A server that speaks OpenAI's protocol: where it is and how hard it may be asked.

    Its key has no field: it comes from the environment alone and is written nowhere.
    """

    base_url: str = option(
        "", "Address of an OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1.", volatile=True
    )
    api: str = option(
        "auto",
        "Ask by chat or by plain completions; auto is chat, unless --chat off.",
        choices=APIS,
    )
    concurrency: int = option(8, "Concurrent requests.", minimum=1, volatile=True)
    attempts: int = option(
        6, "Times a request is sent before its row counts as failed.", minimum=1, volatile=True
    )
    timeout: float = option(
        600.0, "Seconds until a request without an answer is given up.", minimum=0.1, volatile=True
    )
    requests_per_minute: float = option(
        0.0, "Most requests a minute; 0 is no limit.", minimum=0, volatile=True
    )
    request_budget: int = option(
        0, "Requests this run may pay for; 0 is no limit.", minimum=0, volatile=True
    )
    token_budget: int = option(
        0,
        "Tokens, prompts included, that this run may pay for; 0 is no limit.",
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
        "How --constrained is asked for: not at all, or as vLLM wants it.",
        choices=("none", "vllm"),
    )


@dataclass(frozen=True, kw_only=True)
class VllmConfig(Config):
    """How vLLM runs in this process. What fits differs by machine, so nearly all is volatile."""

    SECTION = "vllm"

    memory: float = option(
        0.6,
        "On a GPU: share of its memory that vLLM takes, beside a model in training.",
        minimum=0.01,
        maximum=1,
        volatile=True,
    )
    kv_cache_mib: int = option(
        0,
        "MiB for keys and values; 0 is what is left on a GPU, 512 on a CPU.",
        minimum=0,
        volatile=True,
    )
    adapters: int = option(16, "Adapters applied at once.", minimum=1, volatile=True)
    max_model_len: int = option(
        0, "Longest prompt with completion, in tokens; 0 is the model's window.", minimum=0
    )
