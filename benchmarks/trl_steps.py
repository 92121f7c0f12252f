"""Optimizer steps of trl's trainers, for `against_trl.py`: runs where trl is installed, prints one JSON line.

`gkd` is trl.experimental.gkd's trainer with lmbda 0, which leaves the data's responses as they are. `distillation` is
trl's DistillationTrainer, which only knows responses that the student writes: it is handed the data's responses in
their place, and no time for writing is counted. Both get token ids, so that they see what codedistill sees.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from resident import peak_megabytes, resident_megabytes
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback


class Stopwatch(TrainerCallback):
    """Seconds from the end of one step to the end of the next, data loading and logging included; and losses."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []
        self.peaks: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ends.append(time.perf_counter())
        self.peaks.append(peak_megabytes())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


def settings(job: dict[str, Any]) -> dict[str, Any]:
    """The settings of both trainers. Unchanged: trl's fused AdamW, its epsilon, no weight decay."""
    return {
        "output_dir": job["folder"] + "/trl",
        "per_device_train_batch_size": job["batch"],
        "max_steps": job["steps"],
        "learning_rate": job["learning_rate"],
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "beta": 0.0,
        "temperature": 1.0,
        "bf16": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "gradient_checkpointing": job["checkpointing"],
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }


def gkd(job: dict[str, Any], rows: list[dict[str, Any]], models: tuple[Any, Any], tokenizer: Any, watch: Any) -> Any:
    from datasets import Dataset
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    data = Dataset.from_list(
        [
            {
                "prompt": "",
                "input_ids": row["ids"],
                "completion_mask": [int(i >= row["prompt_length"]) for i in range(len(row["ids"]))],
            }
            for row in rows
        ]
    )
    config = GKDConfig(**settings(job), lmbda=0.0, seq_kd=False, max_length=512, train_sampling_strategy="sequential")
    return GKDTrainer(
        models[0], models[1], config, train_dataset=data, processing_class=tokenizer, callbacks=[watch]
    ).train()


def distillation(
    job: dict[str, Any], rows: list[dict[str, Any]], models: tuple[Any, Any], tokenizer: Any, watch: Any
) -> Any:
    from datasets import Dataset
    from trl import DistillationConfig, DistillationTrainer

    class Fed(DistillationTrainer):  # type: ignore[misc]
        def _generate(self, prompts: list[str]) -> Any:
            chosen = [rows[int(prompt)] for prompt in prompts]
            asked = [row["ids"][: row["prompt_length"]] for row in chosen]
            return asked, [row["ids"][row["prompt_length"] :] for row in chosen], None, None, None

    data = Dataset.from_list([{"prompt": str(number)} for number in range(len(rows))])
    config = DistillationConfig(**settings(job), shuffle_dataset=False)
    trainer = Fed(
        models[0],
        teacher_model=models[1],
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[watch],
    )
    return trainer.train()


TRAINERS = {
    "gkd": (gkd, "trl.experimental.gkd.gkd_trainer"),
    "distillation": (distillation, "trl.trainer.distillation_trainer"),
}


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    trainer, module = TRAINERS[job["trainer"]]
    importlib.import_module(module)  # what it imports belongs to what is there before the models
    folder, before = Path(job["folder"]), resident_megabytes()
    rows = json.loads((folder / job["rows"]).read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    student = AutoModelForCausalLM.from_pretrained(folder / "student", dtype=torch.float32)
    teacher = AutoModelForCausalLM.from_pretrained(folder / "teacher", dtype=torch.float32)
    watch = Stopwatch()
    trainer(job, rows, (student, teacher), tokenizer, watch)
    seconds = [b - a for a, b in pairwise(watch.ends)]
    found = {"seconds": seconds, "losses": watch.losses, "before": before, "peak": watch.peaks[-1]}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
