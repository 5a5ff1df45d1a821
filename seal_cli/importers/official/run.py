"""One file of `results/query_server/**`: its experiment, and how its numbers were made."""

from dataclasses import dataclass
from functools import cached_property

from seal_cli.importers.official import experiment, labels, schemas
from seal_cli.importers.official.experiment import Experiment
from seal_cli.importers.official.release import File

ANSWERS = "ttt"  # the reward mode in which adapters are trained and asked
# What the model writes before an answer when it is prompted to think first, and a share of answers
# that are written so: 73 % in the one released file of that kind, none in any other at hand.
_THOUGHT, _SOME = "Final answer:", 0.1


@dataclass(frozen=True)
class Run:
    """A file of results: its content and what its names say."""

    file: File
    data: schemas.QueryServerRun

    @cached_property
    def experiment(self) -> Experiment:
        """What was measured. The dataset says who wrote the self-edits, with which prompt."""
        data = self.data
        prompt = labels.prompt_name(data.dataset, data.articles[0].prompt)
        writer = labels.writer(data.dataset, prompt, self.file.inside)
        method, student = experiment.EDITS, writer
        if not writer.is_ours:  # those that are write for themselves
            student = labels.Writer("base", 0, writer.size)
        own = labels.stem_of(self.file.name)
        if experiment.adapts_at_once(own, data.dataset, data.model, data.exp_name):
            method, student = experiment.ADAPTER, experiment.mistral(None)
        elif not any(c.text.strip() for a in data.articles for c in a.completions):
            method = experiment.PASSAGES
        learned = prompt if method == experiment.EDITS else None
        return Experiment(student, writer, method, learned, self._dataset)

    @property
    def split(self) -> str:
        """Of the passages: the dataset says it, whatever folder the results lie in."""
        return labels.split_of(self.data.dataset)

    @property
    def _dataset(self) -> str:
        """What the metrics call the questions; how they were asked where that was not as usual."""
        name = f"squad_{'val' if self.split == 'eval' else 'train'}-{self.data.n_articles}"
        if self.thinks:
            return f"{name} (answers after reasoning)"
        ranks = labels.stem_of(self.file.name).startswith("rank_")
        return f"{name} (ranking run)" if ranks and self.split == "eval" else name

    @cached_property
    def thinks(self) -> bool:
        """Whether the models were prompted to reason before they answer: the answers show it."""
        said = [q for a in self.data.articles for c in a.completions for q in c.questions]
        return sum(_THOUGHT in q.baseline_answer for q in said) > _SOME * len(said)

    @property
    def proxied(self) -> bool:
        """Whether self-edits were rated by a rubric, and nothing was trained."""
        if self.data.reward_mode == ANSWERS:
            return False
        every = (c for a in self.data.articles for c in a.completions)
        return any(c.stats.proxy_mean is not None for c in every)

    @property
    def has_rewards(self) -> bool:
        """Whether its numbers are what self-edits earned, by answers as every other run has them.

        Of a generative adapter and of answers after reasoning there are metrics alone.
        """
        return self.experiment.method == experiment.EDITS and not self.thinks

    @property
    def grader(self) -> str:
        """The judge, or the rubric of the proxy reward."""
        return f"{labels.JUDGE}-rubric" if self.proxied else labels.JUDGE
