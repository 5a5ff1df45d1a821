"""How the learning rate goes: up from zero over some warm-up steps, then down to zero.

As the schedules of transformers do it, which the released code uses through its Trainer; one place
for the reference trainer, the batched one and full finetuning.
"""

import math

from stages.training import Job

SCHEDULES = ("linear", "cosine")


def learning_rate(job: Job, step: int, steps: int) -> float:
    """The rate of a job's optimizer step, the first of `steps` being step 0.

    With warm-up the first step has rate zero. Fewer steps than warm-up never reach the peak.
    """
    return job.learning_rate * _share(job, step, steps)


def _share(job: Job, step: int, steps: int) -> float:
    """Of the peak: linear, or half a cosine, after the warm-up."""
    if step < job.warmup_steps:
        return step / job.warmup_steps
    left = (steps - step) / (steps - job.warmup_steps)
    return (1 - math.cos(math.pi * left)) / 2 if job.schedule == "cosine" else left
