"""Settings of `quiz`."""

from dataclasses import dataclass

from stages.engines import CHAT_MODES, LOCAL
from stages.fields import Config, option
from stages.grading import LOCAL as GRADERS
from stages.grading import resolved


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
        choices=("default", *GRADERS),
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
            object.__setattr__(self, "grader", resolved(self.grader))
