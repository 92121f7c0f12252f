"""Every recipe key of every method has its effect, and the one that docs/methods.md says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from codedistill.data import Encoded, Example, collate
from codedistill.errors import UserError
from codedistill.generation import Finish, Mixture, OwnEngine, Request, Sampling, generator_for
from codedistill.losses import STRATEGIES, BetaPolicy, forward_kl, head_tail_gap, reverse_kl
from codedistill.losses.rows import Projected
from codedistill.methods import METHODS
from codedistill.methods.base import RewriteContext, StepStatistics
from codedistill.methods.seqkd import teacher_examples
from codedistill.methods.settings import readers
from codedistill.recipe.model import recipe_fields
from tests.families import favour_end
from tests.methods.full_logits import beta_by_hand, distillation_loss, mean, minillm_loss, picked, rewritten

Bench = Callable[..., Any]
Case = tuple[list[str], str]
"""What a key needs beside it, and the key with a value that is not its default."""

SETTINGS = {
    "sft": [],
    "kd": [],
    "rkd": [],
    "akd": ["beta.initial=0.3"],
    "seqkd": [],
    "gkd": ["gkd.max_new_tokens=6"],
    "minillm": ["minillm.max_new_tokens=6"],
}
LOSS: dict[str, Case] = {
    "loss.divergence": ([], "todi"),
    "loss.parameters": (["loss.divergence=jsd"], "{beta: 0.3}"),
    "loss.temperature": ([], "1.7"),
    "loss.squared_temperature": (["loss.temperature=1.7"], "true"),
    "loss.cross_entropy_weight": ([], "0.3"),
    "loss.normalization": ([], "token"),
    "seqkd.objective": ([], "cross_entropy"),
}
POLICY: dict[str, Case] = {
    "loss.normalization": (["data.max_length=24"], "token"),
    "minillm.teacher_share": ([], "0.6"),
    "minillm.reward_scaling": (["minillm.whiten=false"], "2.0"),
    "minillm.reward_clip": ([], "1.5"),
    "minillm.gamma": ([], "0.4"),
    "minillm.length_normalised": ([], "false"),
    "minillm.whiten": ([], "false"),
    "minillm.clip": ([], "0.05"),
    "minillm.single_step": ([], "false"),
    "minillm.corpus": ([], "CORPUS"),
    "minillm.corpus_weight": (["minillm.corpus=CORPUS"], "0.3"),
    "minillm.corpus_teacher_share": (["minillm.corpus=CORPUS"], "0.2"),
}
WRITING: dict[str, dict[str, Case]] = {
    "gkd": {
        "gkd.temperature": ([], "0.6"),
        "gkd.max_new_tokens": ([], "3"),
        "training.seed": ([], "5"),
        "data.max_length": ([], "24"),
    },
    "minillm": {
        "minillm.teacher_share": ([], "0.6"),
        "minillm.max_new_tokens": ([], "3"),
        "training.seed": ([], "5"),
        "data.max_length": ([], "24"),
    },
    "seqkd": {
        "seqkd.temperature": ([], "0.8"),
        "seqkd.seed": (["seqkd.temperature=0.8"], "3"),
        "seqkd.max_new_tokens": ([], "3"),
    },
}
BETA: dict[str, Case] = {  # Adam's first step is a sign: values that turn the slope's sign at 0.15
    "initial": ([], "0.2"),
    "learning_rate": ([], "0.03"),
    "regulariser": ([], "algorithm1"),
    "regulariser_weight": ([], "0.001"),
    "epsilon": (["beta.regulariser_weight=0.01"], "1.0"),
    "smoothing": ([], "0.4"),
    "head_mass": ([], "0.2"),
}
MEMORY = {"loss.chunk_rows", "gkd.batch_size", "minillm.batch_size", "seqkd.batch_size"}
ELSEWHERE = {
    "beta.strategy": "below, every one of them",
    "seqkd.responses": "test_seqkd.py",
    "gkd.student_fraction": "test_gkd.py",
    "minillm.updates": "test_minillm.py",
    "minillm.corpus_limit": "test_minillm.py",
}


def reads(method: str, key: str) -> bool:
    return method in (readers(key) or METHODS)


def test_no_key_is_left_out() -> None:
    known = {key for key in recipe_fields() if key.split(".")[0] in ("loss", "beta", "seqkd", "gkd", "minillm")}
    written = {key for cases in WRITING.values() for key in cases}
    tested = {*LOSS, *POLICY, *written, *(f"beta.{key}" for key in BETA), *MEMORY, *ELSEWHERE}
    assert {key for key in known if "." in key} == {
        key for key in tested if key.split(".")[0] not in ("training", "data")
    }


def of(method: str, case: Case | None, key: str) -> tuple[list[str], list[str]]:
    """Overrides without the key and with it."""
    needs, value = case or ([], "")
    common = [f"method={method}", *SETTINGS[method], *needs]
    return common, [*(each for each in common if not each.startswith(f"{key}=")), f"{key}={value}"]


def assert_follows(made: Any, out: Any, expected: torch.Tensor) -> None:
    assert (out.loss / out.count).item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-7)
    for a, b in zip(made.gradients(out.loss / out.count), made.gradients(expected), strict=True):
        assert torch.allclose(a, b, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(("method", "key"), [(m, k) for m in METHODS for k in LOSS if m != "minillm" and reads(m, k)])
def test_losses_and_gradients(method: str, key: str, bench: Bench) -> None:
    losses = []
    for overrides in of(method, LOSS[key], key):
        made = bench(overrides, count=6, wide=True)
        batch = made.step()
        assert (method == "gkd") == (0 < len(rewritten(made, batch)) < 6)
        expected = distillation_loss(made, batch, beta=0.3)
        assert_follows(made, made.method.loss(batch), expected)
        losses.append(expected.item())
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("key", POLICY)
def test_minillms_losses_and_gradients(key: str, corpus: Path, bench: Bench) -> None:
    """Of the second update, when the student is no longer the one that wrote."""
    losses = []
    for overrides in of("minillm", POLICY[key], key):
        made = bench([each.replace("CORPUS", str(corpus)) for each in overrides], count=6, wide=True)
        batch = made.step(0)
        with torch.no_grad():
            old = picked(made.logits(made.student, batch), batch.targets)
            torch.manual_seed(2)
            for parameter in made.student.model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        assert torch.equal(made.step(1).ids, batch.ids)
        text = None
        if made.recipe.minillm.corpus is not None:
            tokenizer = made.student.tokenizer
            ids = [0, *tokenizer(corpus.read_text().strip())["input_ids"], 0]
            text = collate([Encoded(i, tuple(ids), 1) for i in range(6)], 0)
        expected = minillm_loss(made, batch, old, text)
        assert_follows(made, made.method.loss(batch), expected)
        losses.append(expected.item())
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)


def written_by_method(made: Any, step: int) -> list[tuple[int, ...]]:
    return [e.ids[e.prompt_length :] for e in made.method.start_step(step, made.examples)]


def written_by_hand(made: Any, step: int) -> list[tuple[int, ...]]:
    """Responses with the recipe's sampling: example and step identify a request."""
    recipe, mixture = made.recipe, None
    settings = recipe.gkd if recipe.method == "gkd" else recipe.minillm
    if recipe.method == "minillm":
        mixture = Mixture(made.teacher.model, settings.teacher_share)
    temperature = settings.temperature if recipe.method == "gkd" else 1.0
    sampling = Sampling(settings.max_new_tokens, temperature, recipe.training.seed)
    requests = [
        Request(e.id, sample=step, ids=e.ids[: e.prompt_length], limit=recipe.data.max_length - e.prompt_length)
        for e in made.examples
    ]
    found = {done.index: done.ids for done in OwnEngine(made.student, mixture).generate(requests, sampling)}
    return [found[e.id] for e in made.examples]


@pytest.mark.parametrize(("method", "key"), [(m, k) for m in ("gkd", "minillm") for k in WRITING[m]])
def test_what_is_written(method: str, key: str, bench: Bench) -> None:
    texts = []
    for overrides in of(method, WRITING[method][key], key):
        every = ["gkd.student_fraction=1"] if method == "gkd" else ["minillm.updates=1"]
        made = bench([*overrides, *every], count=6)
        assert written_by_method(made, 4) == written_by_hand(made, 4) != written_by_hand(made, 0)
        texts.append(written_by_method(made, 4))
    assert texts[0] != texts[1]


def examples_of(made: Any) -> list[Example]:
    tokenizer = made.teacher.tokenizer
    return [Example(e.id, "", prompt=tokenizer.decode(e.ids[: e.prompt_length])) for e in made.examples]


def answers(made: Any) -> list[tuple[str, bool]]:
    """What the teacher writes with the recipe's sampling, and whether it came to an end."""
    settings = made.recipe.seqkd
    requests = [Request(e.id, e.prompt or "") for e in examples_of(made)]
    sampling = Sampling(settings.max_new_tokens, settings.temperature, settings.seed)
    found = {
        d.index: (d.text, d.finish is not Finish.LENGTH) for d in OwnEngine(made.teacher).generate(requests, sampling)
    }
    return [found[e.id] for e in made.examples]


@pytest.mark.parametrize("key", WRITING["seqkd"])
def test_what_the_teacher_writes(key: str, bench: Bench, tmp_path: Path) -> None:
    texts = []
    for name, overrides in zip("ab", of("seqkd", WRITING["seqkd"][key], key), strict=True):
        common = [] if key == "seqkd.max_new_tokens" else ["seqkd.max_new_tokens=6"]
        made = bench([*overrides, *common], count=6, change=lambda models: favour_end(models["teacher"], 3.0))
        place = RewriteContext(tmp_path / name, torch.device("cpu"))
        given = teacher_examples(made.recipe, examples_of(made), made.teacher, place)
        expected = answers(made)
        assert [e.response for e in given.examples] == [text for text, _ in expected]
        assert given.unfinished == {e.id for e, (_, ended) in zip(given.examples, expected, strict=True) if not ended}
        texts.append([text for text, _ in expected])
    assert texts[0] != texts[1]


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (Example(0, "", instruction="x"), "template starcoder: the tokenizer has no <fim_prefix>"),
        (
            Example(3, "", messages=({"role": "user", "content": "x"},), origin="data.jsonl: row 4"),
            "data.jsonl: row 4: ",
        ),
        (Example(0, "", prompt="x"), None),
    ],
)
def test_templates_must_fit_the_teacher_that_writes(
    example: Example, message: str | None, bench: Bench, tmp_path: Path
) -> None:
    """Those that rows use: a prompt that a row brings needs none."""
    made = bench(["method=seqkd", "template=starcoder", "seqkd.max_new_tokens=2"])
    expected = nullcontext() if message is None else pytest.raises(UserError, match=message)
    with expected:
        teacher_examples(made.recipe, [example], made.teacher, RewriteContext(tmp_path, torch.device("cpu")))


@pytest.mark.parametrize("method", METHODS)
def test_no_more_rows_than_chunk_rows_meet_a_head_at_once(
    method: str, bench: Bench, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[int] = []
    plain = Projected.rows

    def counting(self: Projected, index: Any) -> Any:
        met.append(len(index))
        return plain(self, index)

    monkeypatch.setattr(Projected, "rows", counting)
    more = [f"minillm.corpus={corpus}"] if method == "minillm" else []
    made = bench([f"method={method}", *SETTINGS[method], *more, "loss.chunk_rows=3"])
    made.method.loss(made.step())
    assert max(met) == 3


@pytest.mark.parametrize("method", ["gkd", "minillm", "seqkd"])
def test_no_more_than_batch_size_responses_are_written_at_once(method: str, bench: Bench, tmp_path: Path) -> None:
    made = bench([f"method={method}", f"{method}.batch_size=2", f"{method}.max_new_tokens=2"], count=6)
    writer, sizes = made.teacher if method == "seqkd" else made.student, []
    generator_for(writer)  # each model is probed once, with batches of the probe's own
    writer.model.register_forward_pre_hook(lambda _, __, given: sizes.append(len(given["input_ids"])), with_kwargs=True)
    if method == "seqkd":
        teacher_examples(made.recipe, examples_of(made), made.teacher, RewriteContext(tmp_path, torch.device("cpu")))
    else:
        made.method.start_step(0, made.examples)
    assert max(sizes) == 2


def cases_of_beta() -> Iterator[tuple[str, str, str]]:
    for strategy, entry in STRATEGIES.items():
        yield from (("akd", strategy, key) for key in sorted(entry.reads))
        if "initial" in entry.reads and entry.draws:
            yield "akd", strategy, "training.seed"
    yield from ((method, "M3", "learning_rate") for method in ("seqkd", "gkd"))


@pytest.mark.parametrize(("method", "strategy", "key"), list(cases_of_beta()))
def test_beta(method: str, strategy: str, key: str, bench: Bench) -> None:
    """Two epochs of two steps, by hand; the loss is the mix at the beta that is logged for its step."""
    needs, value = BETA.get(key, ([], "5"))
    common = [f"method={method}", f"beta.strategy={strategy}", *needs]
    common += [] if method == "akd" else ["loss.divergence=akd"]
    changed = f"{key}={value}" if key == "training.seed" else f"beta.{key}={value}"
    before = [] if key == "training.seed" else ["beta.initial=0.15"]
    after = [changed] if key == "initial" else [*before, changed]
    paths = [beta_path(bench([*common, *more], wide=True)) for more in (before, after)]
    assert paths[0] != pytest.approx(paths[1], abs=1e-5)


def beta_path(made: Any) -> list[float]:
    recipe, batch = made.recipe, made.batch
    with torch.no_grad():
        logits = made.logits(made.student, batch), made.logits(made.teacher, batch)
        rows = [forward_kl(*logits), reverse_kl(*logits), *head_tail_gap(*logits, 1.0, recipe.beta.head_mass)]
        forward, reverse, *gaps = (mean(each, batch.owner, "sample").item() for each in rows)
    policy = BetaPolicy(recipe.beta, recipe.training.seed)
    expected = beta_by_hand(recipe, [policy.draw(epoch) for epoch in (0, 1)], forward, reverse, gaps)
    found: list[float] = []
    for step, beta in enumerate(expected):
        if step % 2 == 0:
            made.method.start_epoch(step // 2)
        out = made.method.loss(batch)
        assert (out.loss / out.count).item() == pytest.approx((1.0 - beta) * forward + beta * reverse, rel=1e-6)
        metrics = {name: (total / out.count).item() for name, total in out.metrics.items()}
        logged = made.method.after_step(StepStatistics(0.0, metrics))
        found.append(logged["beta"])
    assert found == pytest.approx(expected, abs=1e-7)
    return found
