"""`seal quiz`: contexts -> the same contexts with questions that a model wrote about them."""

from seal_cli.api import Seal
from seal_cli.options import ContextsArg, PolicyOption, stage_command
from seal_cli.pipeline.quiz import TAKES


@stage_command(TAKES, Seal.quiz)
def quiz(contexts: ContextsArg, policy: PolicyOption) -> None:
    """Write questions about passages that have none.

    The policy writes them; those that can serve as rewards are kept. Kept are questions answered
    right with the passage in view and wrong without, whose answer stands in the passage. What was
    dropped, and why, is in the table `drafts`.
    """
