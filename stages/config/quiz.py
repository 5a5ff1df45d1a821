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

    questions: int = option(5, "Most questions kept per context.", minimum=1)
    samples: int = option(2, "Completions with questions per context.", minimum=1)
    prompt: str = option(
        "default",
        "Prompt that asks for questions, or a text file with {context}.",
        elsewhere=True,
    )
    engine: str = option("transformers", "Engine that generates.", choices=LOCAL, elsewhere=True)
    temperature: float = option(1.0, "Sampling temperature; 0 is greedy.", minimum=0)
    top_p: float = option(0.95, "Nucleus sampling mass.", minimum=0.01, maximum=1)
    max_tokens: int = option(1024, "Longest completion with questions, in tokens.", minimum=1)
    answer_tokens: int = option(64, "Longest answer, in tokens.", minimum=1)
    grader: str = option(
        "default",
        "Grader of the answers; default is the domain's.",
        choices=("default", *GRADERS),
        elsewhere=True,
    )
    chat: str = option("auto", "Use the model's chat template.", choices=CHAT_MODES, elsewhere=True)
    limit: int = option(0, "Use this many contexts, wrapping around; 0 is all.", minimum=0)
    offset: int = option(0, "Start at this context.", minimum=0)
    seed: int = option(0, "Run seed; every row derives its own seed from it.")
    decode_batch: int = option(64, "Sequences decoded together.", minimum=1, volatile=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grader != "default":
            object.__setattr__(self, "grader", resolved(self.grader))
