"""`seal generate`: contexts -> self-edits."""

from seal_cli.api import Seal
from seal_cli.options import ContextsArg, PolicyOption, stage_command
from seal_cli.pipeline.generate import TAKES


@stage_command(TAKES, Seal.generate)
def generate(contexts: ContextsArg, policy: PolicyOption) -> None:
    """Write self-edits for every context.

    Prompts of passages: implications (the default), implications-long, implications-very-long,
    implications-chain-of-thought, rewrite, self-qa, none. Recipes of several steps: entity-pairs
    and entity-triples (in the manner of EntiGraph), active-reading. Of few-shot tasks: tools (the
    default), tools-brief.

    A recipe of your own is a TOML file with a table [[steps]] for each step: its name, its prompt,
    how what is written is split into texts (lines, blocks, questions, none), and, if it is to be
    asked once for each of an earlier step's texts, or for pairs or triples of them, each, choose
    and most. examples/recipes has one with every key explained.

    With --engine openai the policy is what the server at --base-url calls its model; its key comes
    from the environment: SEAL_API_KEY, else OPENAI_API_KEY.
    """
