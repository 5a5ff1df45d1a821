"""The kinds of file that a release has: how each is recognised by its content, and checked."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from seal_cli.importers.official import schemas

if TYPE_CHECKING:
    from seal_cli.importers.official.release import File


@dataclass(frozen=True)
class Schema:
    """One kind of file: how its content is recognised and what it must look like."""

    name: str
    model: Any
    recognises: Callable[[Any], bool]

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.model)

    def check(self, file: "File", content: Any) -> Any:
        """The content as objects. Raises InputError with the place of what is wrong."""
        try:
            return self._adapter.validate_python(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            why = first["msg"].removeprefix("Value error, ")
            raise file.broken(why, file.place(*first["loc"])) from error


def _lists(*keys: str) -> Callable[[Any], bool]:
    """Recognises a list whose objects have these keys."""
    return lambda content: (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(item, dict) for item in content)
        and set(keys) <= set(content[0])
    )


def _objects(*keys: str) -> Callable[[Any], bool]:
    """Recognises an object with these keys."""
    return lambda content: isinstance(content, dict) and set(keys) <= set(content)


def _values(shape: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Recognises an object by its first value."""
    return lambda content: (
        isinstance(content, dict) and bool(content) and shape(next(iter(content.values())))
    )


def _grids(value: Any) -> bool:
    """A list of grids: three lists deep."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], list)
        and bool(value[0])
        and isinstance(value[0][0], list)
    )


# In the order in which they are tried.
SCHEMAS = (
    Schema("self-edits", list[schemas.Written], _lists("title", "context", "completions")),
    Schema("entigraph", list[schemas.Entigraph], _lists("title", "context", "pair_completions")),
    Schema("passages", list[schemas.Passage], _lists("title", "context", "questions")),
    Schema("query-server", schemas.QueryServerRun, _objects("articles", "overall")),
    Schema("cpt-v1", schemas.CptRunV1, _objects("server_reply", "overall")),
    Schema("cpt-v2", schemas.CptRunV2, _objects("per_question", "eval_questions")),
    Schema("continual", schemas.ContinualRun, _objects("mean_over_sequences")),
    Schema("sft", list[schemas.SftRow], _lists("prompt", "completion")),
    Schema("arc-tasks", dict[str, schemas.Task], _values(_objects("train", "test"))),
    Schema("arc-solutions", dict[str, list[schemas.Grid]], _values(_grids)),
    Schema("submission", dict[str, Any], _values(_lists("attempt_1", "attempt_2"))),
    Schema(
        "few-shot-results",
        dict[schemas.Index, schemas.FewShotTrials],
        _values(_objects("task_id", "correct")),
    ),
    Schema(
        "few-shot-edits",
        dict[str, dict[schemas.Index, schemas.FewShotEdit]],
        _values(_values(_objects("response"))),
    ),
)
