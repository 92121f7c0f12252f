"""Distillation in one file: no recipe, no trainer, no run directory, only the parts that the package exports.

    python examples/one_loop.py [--steps 100] [--output FOLDER]

Read it from top to bottom, copy it, and change what you like. It takes the embedded teacher and student, trains the
student with the AKD loss, and prints the loss on examples that are never trained on. `codedistill train` does the same
with everything that is left out here: checkpoints, several processes, bfloat16, LoRA, other methods.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import torch

from codedistill.data import Batch, BatchPlan, Encoded, collate, encode_examples, load_examples
from codedistill.losses import FusedOutput, Head, Hidden, Objective, fused_divergence
from codedistill.models import HiddenStates, load_model, output_head, shared_vocabulary
from codedistill.prompts import TEMPLATES
from codedistill.recipe.sections import ModelSpec

# The settings. A model is a folder, a hub id, or one of the two embedded names; the data a file or an embedded name.
TEACHER, STUDENT, DATA = "tiny/teacher", "tiny/student", "tiny"
EXAMPLES, HELD_OUT, MAX_LENGTH, BATCH = 2000, 64, 256, 16
LEARNING_RATE, WARMUP, MAX_NORM = 3e-4, 10, 1.0
TEMPERATURE, BETA, BETA_RATE, SEED = 1.0, 0.3, 0.01, 0


class Model:
    """A causal language model as a distillation loss sees it: hidden states at some positions, and an output head.

    The loss multiplies the two in small chunks. The full logits [positions, vocabulary] would be by far the largest
    tensor of a training step; this way they never exist.
    """

    def __init__(self, name: str) -> None:
        self.loaded = load_model(ModelSpec(path=name), name)
        self.states = HiddenStates(self.loaded.model)  # [N, H]: only where a response token is predicted
        self.tokenizer = self.loaded.tokenizer

    @property
    def head(self) -> Head:
        """Weight [V, H], bias, and the scale or soft cap of some families."""
        return output_head(self.loaded.model)


def encode(tokenizer: object) -> tuple[list[Encoded], list[Encoded]]:
    """Examples as token ids, for training and held out. The response is marked: the loss is on its tokens only."""
    examples = load_examples(DATA, EXAMPLES)
    encoded, report = encode_examples(examples, TEMPLATES["alpaca"], tokenizer, MAX_LENGTH)
    print(f"{len(encoded):,} of {report.examples:,} examples, {HELD_OUT} of them held out")
    return encoded[HELD_OUT:], encoded[:HELD_OUT]


def compare(student: Model, teacher: Model, batch: Batch, beta: float, vocabulary: int) -> FusedOutput:
    """The loss of a batch, (1 - beta) KL(p || q) + beta KL(q || p), as a mean over examples of means over tokens."""
    with torch.no_grad():
        signal = Hidden(teacher.states(batch), teacher.head)
    # Give each row (a predicted token) the weight 1 / (tokens of its example * examples): the weighted sum is the mean.
    lengths = torch.bincount(batch.owner, minlength=batch.examples)
    weights = 1.0 / (lengths[batch.owner] * batch.examples)
    objective = Objective(
        beta=beta,
        temperature=TEMPERATURE,
        vocabulary_size=vocabulary,
        # Another divergence: divergence=DIVERGENCES["jsd"], or your own function of two logits [n, V] and a
        # temperature that returns [n]. A share of cross entropy: cross_entropy_weight=0.2, and targets=batch.targets
        # as the last argument below.
    )
    # Values and gradients in one pass over both heads. backward() on the result only distributes the gradients.
    return fused_divergence(student.states(batch), student.head, signal, weights, objective)


def held_out_loss(student: Model, teacher: Model, batch: Batch, vocabulary: int) -> float:
    """The loss at the first beta, so that its values can be compared over time."""
    student.loaded.model.eval()
    with torch.no_grad():
        loss = compare(student, teacher, batch, BETA, vocabulary).loss.item()
    student.loaded.model.train()
    return loss


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then linear decay to 0."""
    return LEARNING_RATE * min((step + 1) / WARMUP, (steps - step) / max(1, steps - WARMUP))


def main(steps: int, output: Path | None) -> list[float]:
    """Train and return the held-out losses, the first one before any training."""
    torch.manual_seed(SEED)
    teacher, student = Model(TEACHER), Model(STUDENT)
    teacher.loaded.model.requires_grad_(False).eval()
    student.loaded.model.train()
    # Both models must mean the same by a token id. Heads may be padded beyond the vocabulary: the rest is cut off.
    vocabulary = shared_vocabulary(teacher.loaded, student.loaded)
    training, held_out = encode(student.tokenizer)
    pad = student.tokenizer.pad_token_id
    check = collate(held_out, pad)

    # Batches of similar lengths in a seeded order. The order follows from the step, so resuming needs no state.
    plan = BatchPlan(tuple(len(each.ids) for each in training), BATCH, SEED)
    parameters = list(student.loaded.model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)

    beta, losses, start = BETA, [held_out_loss(student, teacher, check, vocabulary)], time.perf_counter()
    print(f"before: held-out loss {losses[0]:.4f}")
    for step, (_, indices) in enumerate(itertools.islice(plan.start_at(0), steps)):
        out = compare(student, teacher, collate([training[i] for i in indices], pad), beta, vocabulary)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        optimizer.step()
        optimizer.zero_grad()

        # AKD trains beta against the student: gradient ascent on the loss, whose derivative by beta is RKL - FKL. The
        # paper adds a regularizer and an AdamW for beta, see `codedistill.losses.beta`.
        forward, reverse = out.forward_kl.item(), out.reverse_kl.item()
        beta = min(1.0, max(0.0, beta + BETA_RATE * (reverse - forward)))

        if (step + 1) % max(1, steps // 6) == 0 or step + 1 == steps:
            losses.append(held_out_loss(student, teacher, check, vocabulary))
            print(
                f"step {step + 1:4}: held-out loss {losses[-1]:.4f}, batch forward KL {forward:.4f} reverse KL"
                f" {reverse:.4f}, beta {beta:.3f}, {time.perf_counter() - start:.0f} s",
                flush=True,
            )

    if output is not None:  # an ordinary transformers folder: codedistill evaluate FOLDER --benchmark tiny
        student.loaded.model.save_pretrained(output)
        student.tokenizer.save_pretrained(output)
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--output", type=Path, help="where to save the student; default: nowhere")
    options = parser.parse_args()
    main(options.steps, options.output)
