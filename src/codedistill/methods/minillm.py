"""MiniLLM: reverse KL over whole responses by policy gradient. Gu et al. 2024, "MiniLLM", algorithm 1.

Student and teacher write the responses together (teacher-mixed sampling). Each token then gets

    single step     RKL at its position, exact, with gradient (eq. 5, first part)
    policy          PPO's clipped loss, with the length-normalized return of the tokens after it as advantage
    corpus          optionally a language-modeling loss on plain text

Three things follow the authors' program and are not in the paper: rewards are scaled and clipped, returns are
discounted and whitened, and the single-step part has no importance weight (it is an expectation over the token).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from codedistill.data import Batch, Encoded, collate, encode_examples, load_examples
from codedistill.data.encode import fingerprint
from codedistill.errors import UserError
from codedistill.generation import Sampling
from codedistill.losses import Hidden, Objective, fused_cross_entropy, fused_divergence, target_log_probs
from codedistill.methods.base import REPORTED, LossSum, Method, MethodContext, row_weights
from codedistill.methods.settings import Minillm
from codedistill.prompts import TEMPLATES


@dataclass(frozen=True)
class Rollout:
    """A response with its tokens' log-probabilities [T] under the teacher and under the student that wrote it."""

    example: Encoded
    log_p: Tensor
    log_q: Tensor


class MiniLLM(Method):
    """Policy gradient on responses that are written anew for every batch and used for `updates` optimizer steps."""

    metrics = (*REPORTED, "policy_loss", "single_step_loss", "corpus_loss", "reward", "response_length")

    def __init__(self, context: MethodContext) -> None:
        assert context.teacher is not None
        recipe, self._context, self._teacher = context.recipe, context, context.teacher
        self._student, self._head = context.student, context.student.head
        self._settings, self._loss = recipe.section(Minillm), recipe.loss
        self.updates = self._settings.updates
        vocabulary, chunk_rows = self._student.vocabulary, self._loss.chunk_rows
        self._objective = Objective(beta=1.0, vocabulary_size=vocabulary, chunk_rows=chunk_rows)
        self._rollouts: dict[int, Rollout] = {}
        self._advantages: dict[int, Tensor] = {}
        self._mixed: dict[int, Tensor] = {}  # log m of every response's tokens
        self._step, self._corpus_scale = 0, 1.0
        self._corpus: list[Encoded] = []
        if self._settings.corpus is not None:
            texts = load_examples(self._settings.corpus, self._settings.corpus_limit, "minillm.corpus")
            template = TEMPLATES[recipe.instructions_template]
            self._corpus, _ = encode_examples(texts, template, self._student.loaded.tokenizer, recipe.data.max_length)

    def start_step(self, step: int, examples: list[Encoded]) -> list[Encoded]:
        if step % self.updates == 0:
            self._write(step, examples)
        self._step = step
        own = [self._rollouts[e.id] for e in examples]
        settings, device, processes = self._settings, self._head.weight.device, self._context.processes
        self._mixed = {r.example.id: mixed_log_probability(r.log_p, r.log_q, settings.teacher_share) for r in own}
        advantages = {
            r.example.id: returns(
                rewards(r.log_p.double(), r.log_q.double(), settings.reward_scaling, settings.reward_clip),
                settings.gamma,
                own=not settings.single_step,
                length_normalised=settings.length_normalised,
            )
            for r in own
        }
        if settings.whiten:  # over the responses of all processes
            every = torch.cat([torch.zeros(0, dtype=torch.float64), *advantages.values()])
            sums = torch.stack([every.new_tensor(len(every)), every.sum(), every.square().sum()])
            count, total, squares = processes.total(sums.to(device)).cpu()
            advantages = {i: whitened(values, count, total, squares) for i, values in advantages.items()}
        self._advantages = advantages
        if self._corpus and self._loss.normalization == "token":
            # The corpus has another count: bring its mean to the count of the responses.
            lengths = [(r.example.response_length, self.text_for(r.example.id).response_length) for r in own]
            counts = torch.tensor([[0, 0], *lengths], dtype=torch.float64, device=device).sum(0)
            responses, texts = processes.total(counts).tolist()
            self._corpus_scale = responses / texts
        return [rollout.example for rollout in own]

    def loss(self, batch: Batch) -> LossSum:
        weights, count = row_weights(batch, self._loss.normalization)
        hidden = self._student.states(batch)
        signal = self._teacher.signal(batch)
        with torch.set_grad_enabled(self._settings.single_step):  # if off, the exact part is only logged
            exact = fused_divergence(hidden, self._head, signal, weights, self._objective)
        policy = self._policy_loss(hidden, batch, weights)
        corpus = self._corpus_loss(batch)
        loss = policy + corpus + (exact.loss if self._settings.single_step else 0.0)
        reward = _rows(batch, {i: r.log_p - r.log_q for i, r in self._rollouts.items()}, weights)
        lengths = torch.bincount(batch.owner, minlength=batch.examples)[batch.owner].to(weights.dtype)
        sums = {
            "forward_kl": exact.forward_kl,
            "reverse_kl": exact.reverse_kl,
            "policy_loss": policy.detach(),
            "single_step_loss": exact.loss.detach(),
            "corpus_loss": corpus.detach(),
            "reward": (weights * reward).sum(),
            "response_length": (weights * lengths).sum(),
        }
        return LossSum(loss, count, sums)

    def state_dict(self) -> dict[str, Any]:
        rows = [
            {"id": r.example.id, "ids": list(r.example.ids), "prompt_length": r.example.prompt_length}
            | {"log_p": r.log_p.cpu(), "log_q": r.log_q.cpu()}
            for r in self._rollouts.values()
        ]
        return {"rollouts": self._context.processes.gather(rows), "corpus": fingerprint(self._corpus)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["corpus"] != fingerprint(self._corpus):
            raise UserError(
                "minillm.corpus: the text changed after this run started; restore it or choose another output"
            )
        for row in state["rollouts"]:
            example = Encoded(row["id"], tuple(row["ids"]), row["prompt_length"])
            self._rollouts[example.id] = Rollout(example, row["log_p"], row["log_q"])

    def text_for(self, example: int) -> Encoded:
        """The corpus text of an example at this step; it depends only on (training.seed, step, example)."""
        seed = self._context.recipe.training.seed
        return self._corpus[random.Random(f"corpus {seed} {self._step} {example}").randrange(len(self._corpus))]

    def _write(self, step: int, examples: list[Encoded]) -> None:
        """New responses to the examples' prompts, with their log-probabilities under both models."""
        settings, recipe, vocabulary = self._settings, self._context.recipe, self._student.vocabulary
        sampling = Sampling(settings.max_new_tokens, 1.0, recipe.training.seed, settings.batch_size, vocabulary)
        written = self._context.write(examples, step, sampling, settings.teacher_share)
        self._rollouts = {}
        size = recipe.training.micro_batch_size or max(1, len(written))
        with self._student.evaluating(), torch.no_grad():
            for start in range(0, len(written), size):
                part = written[start : start + size]
                batch = self._collate(part)
                signals = self._teacher.signal(batch), Hidden(self._student.states(batch), self._head)
                log_p, log_q = (
                    target_log_probs(each, batch.targets, vocabulary, self._loss.chunk_rows) for each in signals
                )
                for b, example in enumerate(part):
                    own = batch.owner == b
                    self._rollouts[example.id] = Rollout(example, log_p[own].cpu(), log_q[own].cpu())

    def _policy_loss(self, hidden: Tensor, batch: Batch, weights: Tensor) -> Tensor:
        """The weighted sum of PPO's loss. Its gradient is that of the tokens' cross entropy with other weights."""
        signal, settings = Hidden(hidden.detach(), self._head), (self._student.vocabulary, self._loss.chunk_rows)
        log_q = target_log_probs(signal, batch.targets, *settings)
        advantage, mixed = (_rows(batch, each, weights) for each in (self._advantages, self._mixed))
        values, slopes = clipped_loss(log_q - mixed, advantage, self._settings.clip)
        surrogate = fused_cross_entropy(hidden, self._head, batch.targets, -slopes * weights, *settings).loss
        return surrogate - surrogate.detach() + (weights * values).sum()

    def _corpus_loss(self, batch: Batch) -> Tensor:
        """The language-modeling loss on one text per example of the batch."""
        settings = self._settings
        if not self._corpus:
            return self._head.weight.new_zeros((), dtype=torch.float32)
        texts = self._collate([self.text_for(i) for i in batch.example_ids])
        weights, _ = row_weights(texts, self._loss.normalization)
        weights = weights * (settings.corpus_weight * self._corpus_scale)
        share, hidden = settings.corpus_teacher_share, self._student.states(texts)
        if share == 0.0:
            rest = weights, self._student.vocabulary, self._loss.chunk_rows
            return fused_cross_entropy(hidden, self._head, texts.targets, *rest).loss
        objective = replace(self._objective, beta=0.0, cross_entropy_weight=1.0 - share)
        signal = self._teacher.signal(texts)
        return fused_divergence(hidden, self._head, signal, weights, objective, texts.targets).loss

    def _collate(self, examples: list[Encoded]) -> Batch:
        return collate(examples, self._student.loaded.tokenizer.pad_token_id).to(self._head.weight.device)


def _rows(batch: Batch, values: dict[int, Tensor], like: Tensor) -> Tensor:
    """Values [T] of each example, laid out as the batch's rows [N]."""
    return torch.cat([values[i] for i in batch.example_ids]).to(like)


# The pieces of the policy gradient, section 2.2 of the paper, for one response of T tokens. log p_t and log q_t are the
# tokens' log-probabilities under the teacher and the writing student, log m_t those under the mixture that drew them;
# all are float tensors [T].


def rewards(log_p: Tensor, log_q: Tensor, scaling: float, limit: float) -> Tensor:
    """r_t = (log p_t - log q_t) / scaling, clipped to [-limit, limit], [T]."""
    return ((log_p - log_q) / scaling).clamp(-limit, limit)


def returns(reward: Tensor, gamma: float, own: bool, length_normalised: bool) -> Tensor:
    """Discounted rewards from each token on, [T]: sum over k >= t (own) or k > t of gamma ** (k - first) r_k.

    With `own` false the token's own reward is left out, since the single-step part has its exact expectation (eq. 5).
    Length-normalized, each sum is divided by the number of rewards in it (eq. 7); an empty sum is 0.
    """
    result, after = torch.zeros_like(reward), reward.new_zeros(())
    last = len(reward) - 1
    for t in range(last, -1, -1):
        here = reward[t] + gamma * after
        result[t] = here if own else after
        if length_normalised:
            result[t] /= max(1, last - t + (1 if own else 0))
        after = here
    return result


def mixed_log_probability(log_p: Tensor, log_q: Tensor, teacher_share: float) -> Tensor:
    """log m_t with m = teacher_share p + (1 - teacher_share) q, [T]: the distribution that tokens were drawn from."""
    if teacher_share == 0.0:
        return log_q
    return torch.logaddexp(log_p + math.log(teacher_share), log_q + math.log1p(-teacher_share))


def whitened(values: Tensor, count: Tensor, total: Tensor, squares: Tensor) -> Tensor:
    """(values - mean) / standard deviation, from the count, sum and sum of squares of all values of a step."""
    mean = total / count
    variance = (squares / count - mean * mean).clamp_min(0.0)
    return (values - mean) * torch.rsqrt(variance + 1e-8)


def clipped_loss(log_ratio: Tensor, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """PPO's loss per token and its derivative with respect to log q_new, both [T].

    log_ratio = log q_new - log m: the importance weight q_old / m times the policy's movement q_new / q_old. With
    x = e ** log_ratio the loss is max(-A x, -A clip(x, 1 - clip, 1 + clip)); the derivative is -A x, or 0 if the
    clipped branch is larger.
    """
    ratio = log_ratio.exp()
    free, clipped = -advantage * ratio, -advantage * ratio.clamp(1.0 - clip, 1.0 + clip)
    return torch.maximum(free, clipped), torch.where(free >= clipped, free, torch.zeros_like(free))
