"""The self-edit of a few-shot task: a tool call in JSON. Read with pydantic, strictly.

The names are those of the released code. What is read here is well-formed; whether a number is
within the bounds of a run is for the stage that trains to say.
"""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.errors import InvalidSelfEdit

MAX_COMPLETION = 10_000  # characters; a tool call has about 300

_FENCE = re.compile(r"\s*```(?:json)?\s*", re.IGNORECASE)


class _Part(BaseModel):
    # Strict: "true" is a text and 1 is a number; neither is a choice the policy has made.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class DataGeneration(_Part):
    """Which augmentations the training set is made with."""

    use_basic_augmentations: bool
    use_size_augmentations: bool
    use_chain_augmentations: bool
    use_repeat_augmentations: bool


class Training(_Part):
    """How it is trained on."""

    strategy: Literal["train_using_all_tokens", "train_using_output_tokens"]
    learning_rate: Annotated[float, Field(gt=0)]
    num_train_epochs: Annotated[int, Field(ge=1)]


class ToolCall(_Part):
    """The whole self-edit."""

    data_generation: DataGeneration
    training: Training


def parse(completion: str) -> ToolCall:
    """The tool call that a completion is, or begins with; a code fence around it is taken off.

    Raises InvalidSelfEdit for anything else; the reason says where.
    """
    if len(completion) > MAX_COMPLETION:
        raise InvalidSelfEdit(f"{len(completion)} characters, more than {MAX_COMPLETION}")
    text = _FENCE.sub("", completion, count=1) if "```" in completion[:20] else completion
    try:
        found, _ = _DECODER.raw_decode(text.lstrip())
        return ToolCall.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the object"
        raise InvalidSelfEdit(f"{where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidSelfEdit(f"not JSON: {error}") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
