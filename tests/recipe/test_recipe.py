from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from codedistill.errors import UserError
from codedistill.losses import DIVERGENCES
from codedistill.methods import METHODS
from codedistill.recipe.explain import OTHER_NAMES
from codedistill.recipe.load import find_recipe, load_evaluation, load_recipe, load_spec, shipped_recipes
from codedistill.recipe.model import free_keys, recipe_fields
from codedistill.recipe.sections import Evaluation

MINIMAL = {"teacher": "t", "student": "s"}


def fault(values: Mapping[str, Any], *overrides: str) -> UserError:
    """The error of a recipe, in one line."""
    with pytest.raises(UserError) as error:
        load_recipe(values, overrides)
    assert "\n" not in str(error.value)
    return error.value


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        # Unknown keys and wrong values
        (["trainng.steps=3"], "trainng"),
        (["training.stepz=3"], "training.stepz"),
        (["learning_rate=1"], "learning_rate"),
        (["training.steps=many"], "training.steps"),
        (["training.steps=0"], "training.steps"),
        (["training.seed=4294967296"], "training.seed"),
        (["beta.initial=[a, b]"], "beta.initial"),
        (["beta.initial=[0.1, 0.2, 0.3]"], "beta.initial"),
        (["beta.initial=[0.6, 0.1]"], "beta.initial"),
        (["beta.initial=true"], "beta.initial"),
        (["beta.strategy=M9"], "beta.strategy"),
        (["beta.regulariser=eq14"], "beta.regulariser"),
        (["training.adam_betas=[0.9]"], "training.adam_betas"),
        (["training.adam_betas=[0.9, 0.9, 0.9]"], "training.adam_betas"),
        (["training.adam_betas=[0.9, x]"], "training.adam_betas.1"),
        (["training.compile=perhaps"], "training.compile"),
        (["data.source=3"], "data.source"),
        (["lora=true"], "lora"),
        (["lora=false"], "lora"),
        (["training=null"], "training"),
        (["student=3"], "student"),
        (["student={}"], "student.path"),
        (["student={architecture: {model_type: llama}}"], "student.tokenizer"),
        (["name=a/b"], "name"),
        (["template=alpacca"], "template"),
        (["evaluation.benchmarks=3"], "evaluation.benchmarks"),
        (["loss.parameters=3"], "loss.parameters"),
        (["method=akdd"], "method"),
        (["method=kd", "loss.divergence=jds"], "loss.divergence"),
        (["method=kd", "loss.divergence=akd"], "loss.divergence"),
        (["method=kd", "loss.divergence=jsd", "loss.parameters.alpha=0.1"], "loss.parameters"),
        (["method=kd", "loss.divergence=todi", "loss.parameters.alpha=0.1"], "loss.parameters"),
        (["method=kd", "loss.divergence=jsd", "loss.parameters.beta=1"], "loss.parameters"),
        (["method=kd", "loss.cross_entropy_weight=1.5"], "loss.cross_entropy_weight"),
        # Keys without effect
        (["method=sft", "loss.temperature=2"], "loss.temperature"),
        (["loss.divergence=jsd"], "loss.divergence"),
        (["method=rkd", "loss.parameters.beta=0.5"], "loss.parameters"),
        (["beta.strategy=M1", "beta.epsilon=0.1"], "beta.epsilon"),
        (["beta.strategy=gap", "beta.learning_rate=1"], "beta.learning_rate"),
        (["beta.regulariser=none", "beta.regulariser_weight=1"], "beta.regulariser_weight"),
        (["seqkd.temperature=1"], "seqkd.temperature"),
        (["method=seqkd", "seqkd.seed=1"], "seqkd.seed"),
        (["method=seqkd", "beta.initial=0.2"], "beta.initial"),
        (["method=seqkd", "seqkd.objective=cross_entropy", "loss.divergence=jsd"], "loss.divergence"),
        (["method=kd", "beta.initial=0.2"], "beta.initial"),
        # Contradictions
        (["student.dtype=float16"], "student.dtype"),
        (["student.dtype=bfloat16", "training.precision=bfloat16"], "training.precision"),
        (["beta.strategy=fixed"], "beta.initial"),
        (["teacher=null"], "teacher"),
        (["method=gkd", "student={architecture: {model_type: llama}, tokenizer: t}"], "student.architecture"),
        (["training={steps: 1, epochs: 1}"], "training.steps"),
        (["training.steps=1", "training.epochs=1"], "training.steps"),
        (["training.micro_batch_size=9"], "training.micro_batch_size"),
        (["training.steps=3", "training.warmup_steps=4"], "training.warmup_steps"),
        (["evaluation.samples=3"], "evaluation.samples"),
        # Arguments
        (["steps"], None),
        (["training={steps: 1, steps: 2}"], "training"),
        (["student={path:", "tiny/student}"], "student"),
        (["evaluation.benchmarks=[tiny,", "mbpp]"], "evaluation.benchmarks"),
        (["training.steps=2", "training.steps=3"], "training.steps"),
        (["training.steps=2", "training={epochs: 3}"], "training"),
        (["beta={initial: 0.2}", "beta.initial=0.3"], "beta.initial"),
    ],
)
def test_wrong_recipes_name_the_key(overrides: list[str], key: str | None) -> None:
    error = fault(MINIMAL, *overrides)
    assert error.key == key
    assert error.override in overrides
    assert error.file is None


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["training.stepz=3"], "training.steps?"),
        (["training.steps=many"], "training.steps: "),
        (["method=sft", "loss.temperature=2"], "method=kd or rkd or akd or seqkd or gkd"),
        (["template=alpacca"], " alpaca?"),
    ],
)
def test_the_message_says_how_to_fix_it(overrides: list[str], named: str) -> None:
    message = str(fault(MINIMAL, *overrides))
    assert message.startswith(f"override {overrides[-1]}: ")
    assert named in message


@pytest.mark.parametrize(
    ("overrides", "override"),
    [
        (["data.limit=3", "trainng.steps=3"], 1),
        (["method=sft", "loss.temperature=2"], 1),
        (["method=sft", "data.max_length=2"], 1),
        (["evaluation.limit=2", "evaluation.samples=3"], 1),
        (["beta={strategy: M9}", "beta.initial=0.3"], 0),
        (["lora={}", "lora.rank=0"], 1),
        (["beta.smoothing=0.3", "beta.strategy=M3"], 0),
        (["method=kd", "loss.divergence=jsd", "loss.parameters.beta=3"], 2),
        (["method=kd", "loss={divergence: jsd, parameters: {beta: 3}}"], 1),
    ],
)
def test_one_of_several_overrides_is_blamed(overrides: list[str], override: int) -> None:
    error = fault(MINIMAL, *overrides)
    assert error.override == overrides[override]
    assert str(error).startswith(f"override {overrides[override]}: ")


def test_the_override_of_the_other_key_is_blamed() -> None:
    """The recipe's key is right by itself."""
    error = fault(MINIMAL | {"loss": {"temperature": 2}}, "data.limit=3", "method=sft")
    assert (error.key, error.override) == ("loss.temperature", "method=sft")
    error = fault(MINIMAL | {"training": {"micro_batch_size": 5}}, "training.batch_size=4")
    assert (error.key, error.override) == ("training.micro_batch_size", "training.batch_size=4")


@pytest.mark.parametrize(
    ("values", "key"),
    [({"training": {"steps": "ten"}}, "training.steps"), ({"training": {"stepz": 1}}, "training.stepz")],
)
def test_the_file_is_blamed_for_its_own_faults(values: dict[str, Any], key: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(MINIMAL | values))
    with pytest.raises(UserError) as error:
        load_recipe(file, ["data.limit=3"])
    assert (error.value.file, error.value.key, error.value.override) == (str(file), key, None)
    assert str(error.value).startswith("mine.yaml: ")


def test_overrides_may_set_a_section_and_then_its_keys() -> None:
    recipe = load_recipe(MINIMAL, ["lora={}", "lora.rank=2", "beta={strategy: M2}", "beta.initial=0.2"])
    assert recipe.lora is not None
    assert (recipe.lora.rank, recipe.beta.strategy, recipe.beta.initial) == (2, "M2", 0.2)


def test_an_unknown_key_comes_before_a_missing_one() -> None:
    assert fault({"teacher": "t", "studnt": "s"}).key == "studnt"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("data.path", "data.source"),
        ("training.gradient_accumulation_steps", "training.micro_batch_size"),
        ("gradient_accumulation_steps", "training.micro_batch_size"),
        ("evaluation.tasks", "evaluation.benchmarks"),
        ("output_dir", "output"),
        ("lora.r", "lora.rank"),
    ],
)
def test_names_of_other_tools_lead_to_ours(theirs: str, ours: str) -> None:
    error = fault(MINIMAL, f"{theirs}=1")
    assert error.key == theirs
    assert str(error).endswith(f" {ours}?")


def test_every_other_name_leads_to_a_key_or_a_divergence() -> None:
    assert set(OTHER_NAMES.values()) <= {*recipe_fields(), *DIVERGENCES}


def test_missing_student_is_named() -> None:
    assert fault({"teacher": "t"}).key == "student"


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_valid(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name.split("/")[-1]


def test_overrides_reach_every_depth_and_parse_numbers() -> None:
    recipe = load_recipe(MINIMAL, ["training.learning_rate=1e-3", "student.keep_layers=4", "beta.initial=[0.2, 0.3]"])
    assert recipe.training.learning_rate == 0.001
    assert recipe.student.path == "s"
    assert recipe.student.keep_layers == 4
    assert recipe.beta.initial == (0.2, 0.3)


@pytest.mark.parametrize("given", [{"limit": 4, "seed": 2}, Evaluation(limit=4, seed=2)])
def test_overrides_reach_the_settings_of_an_evaluation(given: Evaluation | dict[str, int]) -> None:
    assert load_evaluation(given) == Evaluation(limit=4, seed=2)
    assert load_evaluation(given, ["evaluation.limit=7"]) == Evaluation(limit=7, seed=2)
    for override in ("evaluation.limit=0", "limit=0"):
        with pytest.raises(UserError) as error:
            load_evaluation(given, [override])
        assert (error.value.key, error.value.override) == ("limit", override)
    with pytest.raises(UserError) as error:
        load_evaluation({"limt": 3})
    assert error.value.key == "limt"


def test_a_model_that_nothing_trains_may_be_float16() -> None:
    assert load_spec({"path": "m", "dtype": "float16"}).dtype == "float16"
    assert load_spec("m").path == "m"
    with pytest.raises(UserError) as error:
        load_spec({"path": "m", "dtype": "int8"})
    assert error.value.key == "dtype"


def test_text_alone_is_a_list_of_one() -> None:
    recipe = load_recipe(MINIMAL, ["evaluation.benchmarks=humaneval", "lora.targets=q_proj"])
    assert recipe.evaluation.benchmarks == ["humaneval"]
    assert recipe.lora is not None
    assert recipe.lora.targets == ["q_proj"]


def test_an_override_of_steps_replaces_the_recipes_epochs() -> None:
    recipe = load_recipe(MINIMAL | {"training": {"epochs": 3}}, ["training.steps=5"])
    assert (recipe.training.steps, recipe.training.epochs) == (5, None)


def test_an_override_of_steps_shortens_the_recipes_warm_up() -> None:
    long = MINIMAL | {"training": {"steps": 500, "warmup_steps": 40}}
    assert [load_recipe(long, [f"training.steps={n}"]).training.warmup_steps for n in (7, 40, 41)] == [7, 40, 40]
    assert load_recipe(long, ["training.epochs=2"]).training.warmup_steps == 40
    assert fault(long, "training.steps=7", "training.warmup_steps=8").key == "training.warmup_steps"
    assert fault(MINIMAL | {"training": {"steps": 7, "warmup_steps": 8}}).key == "training.warmup_steps"


ROUND_TRIPS = {
    **{method: [] for method in METHODS},
    "kd": ["loss.divergence=alpha_beta", "loss.parameters.alpha=0.3", "loss.squared_temperature=true"],
    "akd": ["beta.strategy=gap", "beta.smoothing=0.8"],
    "seqkd": ["loss.divergence=akd", "seqkd.temperature=1", "seqkd.seed=3"],
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("plain", [True, False])
def test_the_resolved_recipe_is_a_recipe(method: str, plain: bool) -> None:
    recipe = load_recipe(MINIMAL | {"method": method}, [] if plain else ROUND_TRIPS[method])
    again = load_recipe(recipe.dump())
    assert again.dump() == recipe.dump()
    assert again.ineffective() == recipe.ineffective()


def test_the_resolved_recipe_has_what_is_used_and_no_more() -> None:
    resolved = load_recipe(MINIMAL | {"method": "kd"}, ["loss.divergence=alpha_beta"]).dump()
    assert resolved["loss"]["parameters"] == {"alpha": 0.2, "beta": 0.7}
    assert not resolved.keys() & {"beta", "seqkd"}
    resolved = load_recipe(MINIMAL | {"method": "seqkd"}, ["seqkd.objective=cross_entropy"]).dump()
    assert resolved["loss"].keys() == {"normalization", "chunk_rows"}
    assert "seed" not in resolved["seqkd"]
    assert load_recipe(MINIMAL).dump()["beta"]["strategy"] == "M3"


def test_what_methods_read_are_recipe_fields() -> None:
    known = set(recipe_fields())
    assert {key for entry in METHODS.values() for key in entry.reads} <= known


def test_what_a_resumed_run_may_change() -> None:
    """Sizes of what is computed at once are free, whatever section they are in; all else needs a decision here."""
    sizes = {key for key in recipe_fields() if key.split(".")[-1] in ("batch_size", "micro_batch_size", "chunk_rows")}
    places = {"name", "output", "resume", "evaluation", "seqkd.responses"}
    checkpoints = {"training.checkpoint_every", "training.keep_checkpoints"}
    sizes -= {"training.batch_size", "evaluation.batch_size"}  # decides the result; part of a free section
    assert free_keys() == sizes | places | checkpoints


def test_a_recipe_is_read_without_torch() -> None:
    overrides = ["beta.strategy=gap", "beta.smoothing=0.8"]
    code = f"""
import sys
from codedistill.recipe.load import load_recipe
load_recipe("tiny", {overrides})
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("teacher: a\nstudent: [b\n", "line 3"),
        ("student: s\nmethod: sft\ntraining:\n  steps: 5\n  seed: 1\n  steps: 7\n", "line 6"),
        ("- a\n", ""),
    ],
)
def test_yaml_faults_name_the_line(text: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_recipe(file)
    assert error.value.file == str(file)
    assert line in str(error.value)


def test_a_merged_key_may_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "merged.yaml"
    file.write_text("teacher: &large {path: t, dtype: bfloat16}\nstudent: {<<: *large, path: s, dtype: float32}\n")
    assert load_recipe(file).student.path == "s"


def test_an_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(UserError) as error:
        find_recipe("tinny")
    assert error.value.file == "tinny"
    assert str(error.value).endswith(" tiny?")


def test_the_keys_that_stay() -> None:
    stay = [
        "teacher",
        "student",
        "method",
        "data.source",
        "template",
        "training.steps",
        "training.epochs",
        "training.batch_size",
        "training.learning_rate",
        "training.seed",
        "loss.temperature",
        "beta.strategy",
        "beta.initial",
        "beta.learning_rate",
        "beta.regulariser",
        "lora",
        "evaluation.benchmarks",
        "output",
    ]
    assert set(stay) <= set(recipe_fields())
