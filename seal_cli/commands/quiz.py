"""`seal quiz`: contexts -> the same contexts with questions that a model wrote about them."""

from typing import Any

from seal_cli import console
from seal_cli.api import Seal
from seal_cli.options import ContextsArg, PolicyOption, stage_command
from seal_cli.pipeline.quiz import TAKES
from seal_cli.results import Result
from stages.records import Draft


@stage_command(TAKES)
def quiz(seal: Seal, contexts: ContextsArg, policy: PolicyOption, **settings: Any) -> Result:
    """Let the policy write questions about passages, and keep those that can serve as rewards.

    Kept are questions answered right with the passage in view and wrong without, whose answer
    stands in the passage. What was dropped, and why, is in the table `drafts`.
    """
    made = seal.quiz(contexts, policy, **settings)
    drafts = made.artifact.rows(Draft)
    kept = [draft for draft in drafts if draft.kept]
    console.say(
        f"{len(kept)} of {len(drafts)} questions kept, about "
        f"{len({draft.context_id for draft in kept})} of "
        f"{len({draft.context_id for draft in drafts})} contexts; see `seal report quiz`."
    )
    return made
