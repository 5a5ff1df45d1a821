"""What a user would take instead, on the same work: a careful loop with PEFT, and TRL's trainer."""

import importlib.util
from collections.abc import Iterator, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import torch

from stages.models import LanguageModel
from stages.training import Job, Trained
from stages.training.adam import MAX_GRAD_NORM
from stages.training.attach import read, wrapped
from stages.training.reference import initialise, optimizer_batches
from stages.training.schedule import learning_rate


class CarefulLoop:
    """PEFT put on once, one job after the other, nothing padded, nothing read back in between."""

    def __init__(self, language_model: LanguageModel) -> None:
        self.lm = language_model

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        """One result per job, in order, without its losses. All jobs have one form."""
        job = jobs[0]
        with wrapped(self.lm.model, job.rank, job.alpha, list(job.targets)) as (model, layers):
            parameters = [p for p in model.parameters() if p.requires_grad]
            for one in jobs:
                initialise(layers, one.seed)
                n_steps = self._descend(model, parameters, one)
                lora = read(layers, one.rank, one.alpha)
                yield Trained(lora, n_steps, None, None, 0.0)

    def _descend(self, model: Any, parameters: list[torch.nn.Parameter], job: Job) -> int:
        optimizer = torch.optim.AdamW(parameters, weight_decay=0.0, fused=True)
        batches = list(optimizer_batches(job))
        for step, batch in enumerate(batches):
            optimizer.param_groups[0]["lr"] = learning_rate(job, step, len(batches))
            n_targets = sum(row.n_targets for row in batch)
            for row in batch:
                ids = torch.tensor([row.ids], device=self.lm.device)
                labels = ids.clone()
                labels[:, : row.first_target] = -100
                loss = model(input_ids=ids, labels=labels, use_cache=False).loss
                (loss * (row.n_targets / n_targets)).backward()
            torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad()
        return len(batches)


def has_trl() -> bool:
    """Whether TRL is installed."""
    return importlib.util.find_spec("trl") is not None


class Trl:
    """TRL's SFTTrainer, a new one for each job, as its examples do; nothing saved or reported."""

    def __init__(self, language_model: LanguageModel) -> None:
        self.lm = language_model

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        """One result per job, in order, without its LoRA: it draws one of its own."""
        import datasets
        import transformers

        transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        datasets.disable_progress_bars()
        for job in jobs:
            with TemporaryDirectory() as folder:
                yield self._train(job, folder)

    def _train(self, job: Job, folder: str) -> Trained:
        from datasets import Dataset
        from peft import LoraConfig
        from transformers import PrinterCallback
        from trl.trainer.sft_config import SFTConfig
        from trl.trainer.sft_trainer import SFTTrainer

        config = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=job.batch_size,
            num_train_epochs=job.epochs,
            learning_rate=job.learning_rate,
            lr_scheduler_type="linear",
            seed=job.seed % 2**32,
            bf16=self.lm.model.dtype == torch.bfloat16,
            use_cpu=self.lm.device.type == "cpu",
            gradient_checkpointing=False,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer: Any = SFTTrainer(
            model=self.lm.model,
            args=config,
            train_dataset=Dataset.from_dict({"input_ids": [list(row.ids) for row in job.rows]}),
            processing_class=self.lm.tokenizer,
            peft_config=LoraConfig(
                r=job.rank, lora_alpha=job.alpha, target_modules=list(job.targets)
            ),
        )
        trainer.remove_callback(PrinterCallback)  # it prints to where our own results go
        try:
            n_steps = trainer.train().global_step
        finally:
            trainer.model.unload()
            self.lm.model.requires_grad_(False).eval()
        return Trained(None, n_steps, None, None, 0.0)


def plain(jobs: Sequence[Job]) -> bool:
    """Whether these jobs are what both can train: one form, no padding, no weights."""
    rows = [row for job in jobs for row in job.rows]
    form = {(job.rank, job.alpha, job.targets, job.schedule, job.warmup_steps) for job in jobs}
    return len(form) == 1 and all(r.weight == 1 and r.n_real == len(r.ids) for r in rows)
