"""MiniLLM: reverse KL over whole responses by policy gradient. Gu et al. 2024, "MiniLLM", algorithm 1.

Student and teacher write the responses together (teacher-mixed sampling). Each token then gets

    single step     RKL at its position, exact, with gradient (eq. 5, first part)
    policy          PPO's clipped loss with the length-normalised return of the tokens after it as advantage
    corpus          optionally a language-modelling loss on plain text

Three things are as in the authors' program and not in the paper: rewards are scaled and clipped, returns are
discounted and whitened, and the single-step part has no importance weight (it is an expectation over the token).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch

from codedistill.data import Batch, Encoded, collate, encode_examples, load_examples
from codedistill.data.encode import fingerprint
from codedistill.errors import UserError
from codedistill.generation import Sampling
from codedistill.losses import Objective, fused_cross_entropy, fused_divergence
from codedistill.methods.base import Ingredients, LossSum, Method, row_weights
from codedistill.methods.policy import clipped_loss, mixed_log_probability, returns, rewards, whitened
from codedistill.methods.settings import Minillm
from codedistill.methods.writing import evaluating, write_together
from codedistill.prompts import TEMPLATES


@dataclass(frozen=True)
class Rollout:
    """A response with the log-probabilities [T] of its tokens under the teacher and the student that wrote it."""

    example: Encoded
    log_p: torch.Tensor
    log_q: torch.Tensor


class MiniLLM(Method):
    """Policy gradient on responses that are written anew for every batch and used for `updates` optimiser steps."""

    metrics = ("policy_loss", "single_step_loss", "corpus_loss", "reward", "response_length")

    def __init__(self, given: Ingredients) -> None:
        assert given.teacher is not None
        self._given, self._teacher, self._head = given, given.teacher, given.head
        self._settings, self._loss = given.recipe.section(Minillm), given.recipe.loss
        self.updates = self._settings.updates
        self._rollouts: dict[int, Rollout] = {}
        self._advantages: dict[int, torch.Tensor] = {}
        self._mixed: dict[int, torch.Tensor] = {}  # log m of every response's tokens
        self._step, self._corpus_scale = 0, 1.0
        self._corpus = _corpus(given) if self._settings.corpus is not None else []

    def start_step(self, step: int, examples: list[Encoded]) -> list[Encoded]:
        if step % self.updates == 0:
            self._write(step, examples)
        self._step = step
        own = [self._rollouts[e.id] for e in examples]
        share = self._settings.teacher_share
        self._mixed = {r.example.id: mixed_log_probability(r.log_p, r.log_q, share) for r in own}
        self._set_advantages(own)
        self._set_corpus_scale(own)
        return [rollout.example for rollout in own]

    def loss(self, batch: Batch) -> LossSum:
        weights, count = row_weights(batch, self._loss.normalization)
        hidden = self._given.states(batch)
        signal = self._teacher.signal(batch)
        with torch.set_grad_enabled(self._settings.single_step):  # without it, the exact part is for the log alone
            exact = fused_divergence(hidden, self._head, signal.hidden, signal.head, weights, self._objective(beta=1.0))
        policy = self._policy_loss(hidden, batch, weights)
        corpus = self._corpus_loss(batch)
        loss = policy + corpus + (exact.loss if self._settings.single_step else 0.0)
        reward = self._rows(batch, {i: r.log_p - r.log_q for i, r in self._rollouts.items()}, weights)
        lengths = torch.bincount(batch.owner, minlength=batch.examples)[batch.owner].to(weights.dtype)
        found = {
            "policy_loss": policy.detach(),
            "single_step_loss": exact.loss.detach(),
            "corpus_loss": corpus.detach(),
            "reward": (weights * reward).sum(),
            "response_length": (weights * lengths).sum(),
        }
        return LossSum(loss, count, exact.forward_kl, exact.reverse_kl, found)

    def state_dict(self) -> dict[str, Any]:
        rows = [
            {
                "id": rollout.example.id,
                "ids": list(rollout.example.ids),
                "prompt_length": rollout.example.prompt_length,
                "log_p": rollout.log_p.cpu(),
                "log_q": rollout.log_q.cpu(),
            }
            for rollout in self._rollouts.values()
        ]
        return {"rollouts": self._given.processes.gather(rows), "corpus": fingerprint(self._corpus)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["corpus"] != fingerprint(self._corpus):
            raise UserError(
                "minillm.corpus: holds other text than when the run began; restore it or choose another output"
            )
        for row in state["rollouts"]:
            example = Encoded(row["id"], tuple(row["ids"]), row["prompt_length"])
            self._rollouts[example.id] = Rollout(example, row["log_p"], row["log_q"])

    def _write(self, step: int, examples: list[Encoded]) -> None:
        """New responses to the examples' prompts, with both models' log-probabilities of them."""
        settings, recipe = self._settings, self._given.recipe
        sampling = Sampling(
            max_new_tokens=settings.max_new_tokens,
            temperature=1.0,
            seed=recipe.training.seed,
            batch_size=settings.batch_size,
            vocabulary=self._given.vocabulary,
        )
        written = write_together(self._given, examples, step, sampling, settings.teacher_share)
        self._rollouts = {}
        size = recipe.training.micro_batch_size or max(1, len(written))
        with evaluating(self._given), torch.no_grad():
            for start in range(0, len(written), size):
                part = written[start : start + size]
                batch = self._collate(part)
                signal = self._teacher.signal(batch)
                log_q = -self._cross_entropy(self._given.states(batch), self._head, batch)
                log_p = -self._cross_entropy(signal.hidden, signal.head, batch)
                for b, example in enumerate(part):
                    own = batch.owner == b
                    self._rollouts[example.id] = Rollout(example, log_p[own].cpu(), log_q[own].cpu())

    def _set_advantages(self, rollouts: list[Rollout]) -> None:
        """Returns of the step's responses, whitened over all processes."""
        settings = self._settings
        found = {
            r.example.id: returns(
                rewards(r.log_p.double(), r.log_q.double(), settings.reward_scaling, settings.reward_clip),
                settings.gamma,
                own=not settings.single_step,
                length_normalised=settings.length_normalised,
            )
            for r in rollouts
        }
        if settings.whiten:
            every = torch.cat([torch.zeros(0, dtype=torch.float64), *found.values()])
            device = self._head.weight.device
            sums = torch.stack([every.new_tensor(len(every)), every.sum(), every.square().sum()]).to(device)
            count, total, squares = self._given.processes.total(sums).cpu()
            found = {i: whitened(values, count, total, squares) for i, values in found.items()}
        self._advantages = found

    def _policy_loss(self, hidden: torch.Tensor, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum of PPO's loss, with its gradient: weights on the tokens' cross entropy give exactly that."""
        with torch.no_grad():
            log_q = -self._cross_entropy(hidden.detach(), self._head, batch)
        advantage, mixed = (self._rows(batch, each, weights) for each in (self._advantages, self._mixed))
        values, slopes = clipped_loss(log_q - mixed, advantage, self._settings.clip)
        surrogate = fused_cross_entropy(
            hidden, self._head, batch.targets, -slopes * weights, self._given.vocabulary, self._loss.chunk_rows
        ).loss
        return surrogate - surrogate.detach() + (weights * values).sum()

    def _corpus_loss(self, batch: Batch) -> torch.Tensor:
        """One text for every example of the batch; which one depends on (seed, step, example) alone."""
        settings = self._settings
        if not self._corpus:
            return self._head.weight.new_zeros((), dtype=torch.float32)
        texts = self._collate([self._text_for(i) for i in batch.example_ids])
        weights, _ = row_weights(texts, self._loss.normalization)
        weights = weights * (settings.corpus_weight * self._corpus_scale)
        share = settings.corpus_teacher_share
        hidden = self._given.states(texts)
        if share == 0.0:
            plain = fused_cross_entropy(
                hidden, self._head, texts.targets, weights, self._given.vocabulary, self._loss.chunk_rows
            )
            return plain.loss
        signal = self._teacher.signal(texts)
        objective = self._objective(beta=0.0, cross_entropy_weight=1.0 - share)
        return fused_divergence(hidden, self._head, signal.hidden, signal.head, weights, objective, texts.targets).loss

    def _set_corpus_scale(self, rollouts: list[Rollout]) -> None:
        """By tokens, the corpus has a count of its own: its mean is brought to the count of the responses."""
        if not self._corpus or self._loss.normalization == "sample":
            return
        responses = sum(r.example.response_length for r in rollouts)
        texts = sum(self._text_for(r.example.id).response_length for r in rollouts)
        sums = torch.tensor([responses, texts], dtype=torch.float64, device=self._head.weight.device)
        responses_of_all, texts_of_all = self._given.processes.total(sums).tolist()
        self._corpus_scale = responses_of_all / texts_of_all

    def _text_for(self, example: int) -> Encoded:
        seed = self._given.recipe.training.seed
        return self._corpus[random.Random(f"corpus {seed} {self._step} {example}").randrange(len(self._corpus))]

    def _objective(self, beta: float, cross_entropy_weight: float = 0.0) -> Objective:
        return Objective(
            beta=beta,
            cross_entropy_weight=cross_entropy_weight,
            vocabulary_size=self._given.vocabulary,
            chunk_rows=self._loss.chunk_rows,
        )

    def _cross_entropy(self, hidden: torch.Tensor, head: Any, batch: Batch) -> torch.Tensor:
        """-log of the targets' probabilities, per row [N]."""
        ones = torch.ones(batch.response_tokens, device=hidden.device)
        return fused_cross_entropy(
            hidden, head, batch.targets, ones, self._given.vocabulary, self._loss.chunk_rows
        ).per_row_loss

    def _rows(self, batch: Batch, values: dict[int, torch.Tensor], like: torch.Tensor) -> torch.Tensor:
        """Values [T] of each example laid out as the batch's rows [N]."""
        return torch.cat([values[i] for i in batch.example_ids]).to(like)

    def _collate(self, examples: list[Encoded]) -> Batch:
        return collate(examples, self._given.student.tokenizer.pad_token_id).to(self._head.weight.device)


def _corpus(given: Ingredients) -> list[Encoded]:
    recipe = given.recipe
    settings = recipe.section(Minillm)
    examples = load_examples(settings.corpus or "", settings.corpus_limit, "minillm.corpus")
    template, tokenizer = TEMPLATES[recipe.instructions_template], given.student.tokenizer
    return encode_examples(examples, template, tokenizer, recipe.data.max_length)[0]
