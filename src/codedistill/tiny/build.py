"""Builds the embedded default from scratch: `python -m codedistill.tiny.build OUT`.

Tokenizer, teacher, base student and benchmark, with the recipes in `recipe/shipped/tiny-build/` and the ordinary
training loop. The package ships OUT/teacher, OUT/student and OUT/benchmark.jsonl in `tiny/assets/`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from codedistill.prompts import TEMPLATES
from codedistill.recipe.load import load_recipe
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import write_jsonl
from codedistill.tiny.datasets import benchmark, instructions, pretraining_text

VOCABULARY = 1024
STAGES = ("teacher-text", "teacher-first", "teacher", "student-text", "student")


def build(out: Path, stages: tuple[str, ...] = STAGES) -> None:
    """Build everything in `out`. Finished stages are kept, so an interrupted build continues."""
    write_jsonl(out / "benchmark.jsonl", [dict(row) for row in benchmark()])
    if not (out / "tokenizer").exists():
        build_tokenizer(out / "tokenizer")
    for stage in stages:
        train_stage(out, stage)
        if stage in ("teacher", "student"):
            export(out / "runs" / stage / "model", out / stage)


def build_tokenizer(folder: Path) -> None:
    """Train a byte-level BPE on a sample of both training sets. A digit is one token, so that numbers can be copied."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    pieces = Regex(r"\n +| ?[A-Za-z]+|\d| ?[^\sA-Za-z\d]+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pieces, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [row["completion"] for row in pretraining_text(4000, seed=1)]
    prompt = TEMPLATES["alpaca"].text
    assert prompt is not None
    texts += [prompt(row["instruction"], row["input"]) + row["output"] for row in instructions(4000, seed=1)]
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|pad|>", clean_up_tokenization_spaces=False
    )
    wrapped.save_pretrained(folder)


def train_stage(out: Path, stage: str) -> None:
    """Run one recipe of `recipe/shipped/tiny-build/` in out/runs/<stage>; OUT in its paths is the folder `out`."""
    from codedistill.training import StepMetrics, train

    directory = RunDirectory(out / "runs" / stage)
    if directory.model.exists():
        return
    values = load_recipe(f"tiny-build/{stage}").model_dump(mode="json", exclude_unset=True)
    for key, value in values["student"].items():
        if isinstance(value, str):
            values["student"][key] = value.replace("OUT", str(out))

    def show(metrics: StepMetrics, total: int) -> None:
        if metrics.step % 20 == 0:
            speed = f"{metrics.tokens_per_second or 0:.0f} tok/s"
            print(f"{stage} {metrics.step}/{total} loss {metrics.loss:.4f} {speed}", flush=True)

    with directory.locked():
        train(load_recipe(values | {"resume": "auto"}), directory, show)


def export(model: Path, target: Path) -> None:
    """Save the model in half precision, as the package ships it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    shutil.rmtree(target, ignore_errors=True)
    AutoModelForCausalLM.from_pretrained(model, dtype=torch.float16).save_pretrained(target)
    AutoTokenizer.from_pretrained(model).save_pretrained(target)


def main() -> None:
    """The command line of this file."""
    parser = argparse.ArgumentParser(
        prog="python -m codedistill.tiny.build", description="Build the embedded pair from scratch; takes hours."
    )
    parser.add_argument("out", type=Path, help="folder for everything; an interrupted build continues in it")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"only these of {', '.join(STAGES)}; default: all")
    given = parser.parse_args()
    if unknown := set(given.stages) - set(STAGES):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
    build(given.out, tuple(given.stages) or STAGES)


if __name__ == "__main__":
    main()
