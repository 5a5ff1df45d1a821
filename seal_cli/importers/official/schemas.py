"""What a file of the release must look like. A field that is not named here is passed over.

Values are checked strictly (a text is no number, NaN is no value); an error tells its place.
"""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Grid = list[list[Annotated[int, Field(ge=0, le=9)]]]
# Numbers that reach a column of 64 bits; products of two of them fit as well.
Number = Annotated[int, Field(ge=0, lt=1 << 31)]
Count = Annotated[int, Field(ge=1, lt=1 << 31)]


def is_text(text: str) -> bool:
    """Whether it has UTF-8: what has lone surrogates cannot stand in a manifest."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _named(name: str) -> str:
    if not is_text(name):
        raise ValueError("not text (lone surrogates)")
    return name


Name = Annotated[str, AfterValidator(_named)]


class Released(BaseModel):
    """Base of all: strict values, no NaN."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


class Asked(Released):
    """A question of a passage."""

    question: str
    answer: str


class Passage(Released):
    """A SQuAD paragraph; titles repeat."""

    title: str
    context: str
    questions: list[Asked]


class Written(Passage):
    """A passage with the self-edits that a policy wrote about it."""

    completions: list[str]
    prompt: str


class Entigraph(Passage):
    """A passage with texts about its entities, by pairs and triples of them."""

    entities: list[str]
    pair_completions: list[str]
    triple_completions: list[str] = []


class Judged(Released):
    """One question of one trained adapter: two answers and the judge's word on each."""

    rep: Number
    question: str
    answer: str
    baseline_answer: str
    adapter_answer: str
    baseline_correct: bool
    adapter_correct: bool


class CompletionStats(Released):
    """Means over the repeats of one self-edit; `adapter_std` is a sample standard deviation."""

    baseline_mean: float | None = None
    adapter_mean: float
    adapter_std: float | None = None
    gain_mean: float | None = None
    proxy_mean: float | None = None


class ScoredCompletion(Released):
    """One self-edit and what it earned; the questions may be missing."""

    text: str
    stats: CompletionStats
    questions: list[Judged] = []
    proxy_scores: list[dict[str, Any]] = []

    @model_validator(mode="after")
    def _repeats_ask_the_same(self) -> Self:
        asked: dict[int, list[str]] = {}
        for judged in self.questions:
            asked.setdefault(judged.rep, []).append(judged.question)
        if any(questions != next(iter(asked.values())) for questions in asked.values()):
            raise ValueError("the repeats were not asked the same questions")
        return self


class Article(Released):
    """One passage of a run of the query server."""

    title: str
    context: str
    completions: list[ScoredCompletion]
    prompt: str = ""


class Overall(Released):
    """The means that a run reports, rounded to four places."""

    baseline_mean_accuracy: float | None = None
    adapter_mean_accuracy: float | None = None


class QueryServerRun(Released):
    """`results/query_server/**`: an RL round or a single-passage evaluation."""

    overall: Overall
    dataset: Name
    exp_name: Name | None = None
    model: Name | None = None
    reward_mode: str | None = None
    n_articles: Count
    eval_times: Count
    lora_params: dict[str, Any]
    articles: Annotated[list[Article], Field(min_length=1)]


class PerQuestion(Released):
    """Answers to the questions that were drawn; the unadapted model may not have been asked."""

    baseline_texts: list[str] | None = None
    adapter_texts: list[str]
    baseline_correct: list[bool] | None = None
    adapter_correct: list[bool]

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        lengths = {name: len(values) for name, values in self if values is not None}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"lists of different lengths: {lengths}")
        return self


class ServerReply(PerQuestion):
    """Answers to all questions in the order of the dataset, the unadapted model's among them."""

    baseline_texts: list[str]
    baseline_correct: list[bool]


class CptRunV1(Released):
    """`results/cpt/cpt_*.json`: LoRA on many passages (first layout)."""

    dataset: Name
    n_articles: Count
    k_completions: Number
    train_sequences: Number | None = None
    eval_questions: Count
    lora_params: dict[str, Any] = {}
    server_reply: ServerReply


class CptRunV2(Released):
    """`results/cpt/{200,2067}/*.json`: full finetuning on many passages (second layout)."""

    dataset: Name
    n_articles: Count
    k_completions: Number | None = None
    train_sequences: Number | None = None
    eval_questions: Count
    model: Name
    per_question: PerQuestion
    args: dict[str, Any] = {}


Matrix = list[list[float]]


class ContinualRun(Released):
    """`results/continual_self_edits/**`: row r is after r edits, column c is passage c."""

    mean_over_sequences: Matrix
    std_over_sequences: Matrix
    n_sequences: Count
    n_datapoints: Count
    dataset: Name
    base_model: Name

    @model_validator(mode="after")
    def _shape(self) -> Self:
        n = self.n_datapoints
        for matrix in (self.mean_over_sequences, self.std_over_sequences):
            if [len(row) for row in matrix] != [n] * (n + 1):
                raise ValueError(f"not matrices of {n + 1} rows and {n} columns")
        return self


class SftRow(Released):
    """One line of `EM_SFT/**.jsonl`."""

    prompt: str
    completion: str


Index = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})$")]  # which sampled self-edit it is


class Pair(Released):
    """A demonstration of an ARC task."""

    input: Grid
    output: Grid


class TestInput(Released):
    """A test input of an ARC task."""

    input: Grid


class Task(Released):
    """An ARC task without the solutions of its tests."""

    train: list[Pair]
    test: list[TestInput]


class Training(Released):
    """How a few-shot self-edit wants to be trained on."""

    strategy: str
    learning_rate: float
    num_train_epochs: Number


class ToolCall(Released):
    """The configuration a few-shot self-edit asks for."""

    data_generation: dict[str, bool]
    training: Training


class FewShotEdit(Released):
    """One sampled few-shot self-edit."""

    config: ToolCall | None = None
    prompt: str = ""
    response: str


class FewShotTrials(Released):
    """One column of trials: sub-task names and whether each was solved."""

    task_id: dict[str, str]
    correct: dict[str, bool]

    @model_validator(mode="after")
    def _same_rows(self) -> Self:
        if self.task_id.keys() != self.correct.keys():
            raise ValueError("task_id and correct have different rows")
        return self
