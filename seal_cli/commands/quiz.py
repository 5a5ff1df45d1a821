"""`seal quiz`: contexts -> the same contexts with questions that a model wrote about them."""

from seal_cli import console
from seal_cli.options import ContextsArg, PolicyOption
from seal_cli.pipeline import quiz as pipeline
from seal_cli.session import Session
from stages.records import Draft


def quiz(session: Session, contexts: ContextsArg, policy: PolicyOption) -> None:
    """Let the policy write questions about passages, and keep those that can serve as rewards.

    Kept are questions answered right with the passage in view and wrong without, whose answer
    stands in the passage. What was dropped, and why, is in the table `drafts`.
    """
    made = session.run(pipeline.quiz(session.resolver, contexts, policy))
    drafts = made.rows(Draft)
    kept = [draft for draft in drafts if draft.kept]
    console.say(
        f"{len(kept)} of {len(drafts)} questions kept, about "
        f"{len({draft.context_id for draft in kept})} of "
        f"{len({draft.context_id for draft in drafts})} contexts; see `seal report quiz`."
    )
    session.answer(made)
