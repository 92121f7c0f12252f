from __future__ import annotations

from pathlib import Path

import pytest

from codedistill.errors import UserError
from codedistill.losses import DIVERGENCES
from codedistill.methods import METHODS
from codedistill.recipe.explain import OTHER_NAMES
from codedistill.recipe.load import find_recipe, load_evaluation, load_recipe, load_spec, shipped_recipes, validate
from codedistill.recipe.model import recipe_keys
from codedistill.recipe.sections import Evaluation

MINIMAL = {"teacher": "t", "student": "s"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainng.steps=3"], "trainng is not a recipe key; did you mean training?"),
        (["training.stepz=3"], "training.stepz is not a recipe key; did you mean training.steps?"),
        (
            ["learning_rate=1"],
            "learning_rate is not a recipe key; did you mean training.learning_rate or beta.learning_rate?",
        ),
        (["training.steps=many"], "training.steps: should be a whole number, not 'many'"),
        (["training.steps=0"], "training.steps: should be greater than or equal to 1"),
        (["training.seed=4294967296"], "training.seed: should be less than or equal to 4294967295"),
        (["student.dtype=float16"], "override student.dtype=float16: student.dtype float16: its range is too small"),
        (
            ["student.dtype=bfloat16", "training.precision=bfloat16"],
            "training.precision bfloat16: keeps float32 weights, student.dtype is bfloat16",
        ),
        (["beta.initial=[a, b]"], "beta.initial: should be a number in [0, 1] or a range of two, such as [0.1, 0.6]"),
        (["training.adam_betas=[0.9]"], "training.adam_betas: should be two numbers, such as [0.9, 0.999], not [0.9]"),
        (["training.adam_betas=[0.9, 0.9, 0.9]"], "training.adam_betas: should be two numbers"),
        (["training.adam_betas=[0.9, x]"], "training.adam_betas.1: should be a number, not 'x'"),
        (["training.compile=perhaps"], "training.compile: should be true or false, not 'perhaps'"),
        (["data.source=3"], "data.source: should be text, not 3"),
        (["lora=true"], "lora: write lora={}, not true"),
        (["lora=false"], "lora: write lora=null, not false"),
        (["training=null"], "training: is a section with keys; write training={} for its defaults, not None"),
        (["student=3"], "student: should be a path, a hub id or a section with keys, not 3"),
        (["name=a/b"], "name: letters, digits, dots, dashes and underscores are allowed, the first a letter or digit"),
        (["evaluation.benchmarks=3"], "evaluation.benchmarks: should be a list of text, not 3"),
        (["loss.parameters=3"], "loss.parameters: should be a mapping of keys to values, not 3"),
        (["method=akdd"], "method: should be 'sft', 'kd', "),
        (["method=akdd"], "did you mean akd?"),
        (["method=sft", "loss.temperature=2"], "loss.temperature would have no effect with method sft"),
        (["loss.divergence=jsd"], "loss.divergence would have no effect with method akd; remove it or use method=kd"),
        (["method=rkd", "loss.parameters.beta=0.5"], "loss.parameters would have no effect with method rkd"),
        (["method=kd", "loss.divergence=jds"], "did you mean jsd?"),
        (["method=kd", "loss.divergence=akd"], "is a method of its own: use method=akd"),
        (["method=kd", "loss.divergence=jsd", "loss.parameters.alpha=0.1"], "jsd takes beta"),
        (["method=kd", "loss.divergence=todi", "loss.parameters.alpha=0.1"], "todi takes none"),
        (["method=kd", "loss.divergence=jsd", "loss.parameters.beta=1"], "must lie strictly between 0 and 1"),
        (["method=kd", "loss.cross_entropy_weight=1.5"], "loss.cross_entropy_weight: should be less than or equal"),
        (["beta.strategy=M9"], "strategy should be one of M1, "),
        (["beta.strategy=M1", "beta.epsilon=0.1"], "beta.epsilon would have no effect with beta.strategy=M1"),
        (["beta.strategy=gap", "beta.learning_rate=1"], "beta.learning_rate would have no effect with"),
        (["beta.regulariser=none", "beta.regulariser_weight=1"], "no effect with beta.regulariser=none"),
        (["seqkd.temperature=1"], "seqkd.temperature would have no effect with method akd"),
        (["method=seqkd", "seqkd.seed=1"], "seqkd.seed would have no effect with seqkd.temperature=0"),
        (["method=seqkd", "beta.initial=0.2"], "set loss.divergence=akd"),
        (
            ["method=seqkd", "seqkd.objective=cross_entropy", "loss.divergence=jsd"],
            "loss.divergence would have no effect with seqkd.objective=cross_entropy",
        ),
        (["beta.strategy=fixed"], "a fixed beta needs beta.initial"),
        (["beta.initial=[0.6, 0.1]"], "initial is a number in [0, 1] or a rising pair"),
        (["method=kd", "beta.initial=0.2"], "beta.initial would have no effect with method kd"),
        (["teacher=null"], "method akd needs a teacher"),
        (["student={}"], "give either a path or an architecture"),
        (["steps"], "write key=value"),
        (["training={steps: 1, epochs: 1}"], "give steps or epochs, not both"),
        (["training={steps: 1, steps: 2}"], "the value is not valid YAML: the key steps is there twice"),
        (["training.micro_batch_size=9"], "training: micro_batch_size=9 is more than batch_size=8"),
        (
            ["student={path:", "tiny/student}"],
            "override 'student={path:': the value is not valid YAML; quote the",
        ),
        (["evaluation.benchmarks=[tiny,", "mbpp]"], "not valid YAML; quote the whole argument, such as 'student={"),
    ],
)
def test_wrong_recipes_say_what_and_how(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(MINIMAL, overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        (["training.steps=many"], "override training.steps=many: training.steps: should be"),
        (["data.limit=3", "trainng.steps=3"], "override trainng.steps=3: trainng is not a recipe key"),
        (["beta={strategy: M9}"], "override beta={strategy: M9}: beta: strategy should be one of"),
        (["beta.initial=[0.6, 0.1]"], "override beta.initial=[0.6, 0.1]: beta: initial is a number"),
        (["teacher=null"], "override teacher=null: method akd needs a teacher"),
        (["method=sft", "loss.temperature=2"], "override loss.temperature=2: loss.temperature would have no effect"),
        (["method=sft", "data.max_length=2"], "override data.max_length=2: data.max_length: should be"),
        (["data.limit=3"], "recipe: training.steps: should be"),
        (["evaluation.limit=2", "evaluation.samples=3"], "override evaluation.samples=3: evaluation: samples=3 needs"),
        (["training.steps=5", "training=null"], "override training=null: training: "),
        (["training.steps=x", "training.steps=y"], "override training.steps=y: training.steps: should be"),
        (["beta={strategy: M9}", "beta.initial=0.3"], "override beta={strategy: M9}: beta: strategy should be one of"),
        (["beta.strategy=fixed"], "override beta.strategy=fixed: beta: a fixed beta needs"),
        (
            ["method=kd", "loss.divergence=jsd", "loss.parameters.beta=3"],
            "override loss.parameters.beta=3: loss.parameters: jsd",
        ),
        (
            ["method=kd", "loss={divergence: jsd, parameters: {beta: 3}}"],
            "override loss={divergence: jsd, parameters: ",
        ),
    ],
)
def test_the_override_is_blamed_not_the_file(overrides: list[str], start: str) -> None:
    wrong = {"training": {"steps": "ten"}} if overrides == ["data.limit=3"] else {}
    with pytest.raises(UserError) as error:
        load_recipe(MINIMAL | wrong, overrides)
    assert str(error.value).startswith(start)


def test_an_override_that_only_a_hint_mentions_is_not_blamed() -> None:
    with pytest.raises(UserError, match=r"^recipe: training.stepz is not a recipe key; did you mean training.steps"):
        load_recipe(MINIMAL | {"training": {"stepz": 1}}, ["training.steps=5"])


def test_an_unknown_key_is_said_before_a_missing_one() -> None:
    with pytest.raises(UserError, match=r"^recipe: studnt is not a recipe key; did you mean student\? \(and 1 more\)$"):
        load_recipe({"teacher": "t", "studnt": "s"})


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
    with pytest.raises(UserError, match=rf"{theirs} is not a recipe key; did you mean {ours}\?"):
        load_recipe(MINIMAL, [f"{theirs}=1"])


def test_every_other_name_leads_to_a_key_or_a_divergence() -> None:
    assert set(OTHER_NAMES.values()) <= {*recipe_keys(), *DIVERGENCES}


def test_missing_student_is_named() -> None:
    with pytest.raises(UserError, match="student is missing"):
        load_recipe({"teacher": "t"})


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
    with pytest.raises(UserError, match=r"override evaluation\.limit=0: evaluation\.limit: should be"):
        load_evaluation(given, ["evaluation.limit=0"])


def test_a_model_that_nothing_trains_may_be_float16() -> None:
    assert load_spec({"path": "m", "dtype": "float16"}).dtype == "float16"
    assert load_spec("m").path == "m"
    with pytest.raises(UserError, match=r"^recipe: student.dtype: should be 'float32', "):
        load_spec({"path": "m", "dtype": "int8"})


def test_text_alone_is_a_list_of_one() -> None:
    recipe = load_recipe(MINIMAL, ["evaluation.benchmarks=humaneval", "lora.targets=q_proj"])
    assert recipe.evaluation.benchmarks == ["humaneval"]
    assert recipe.lora is not None
    assert recipe.lora.targets == ["q_proj"]


def test_an_override_of_steps_replaces_the_recipes_epochs() -> None:
    recipe = load_recipe(MINIMAL | {"training": {"epochs": 3}}, ["training.steps=5"])
    assert (recipe.training.steps, recipe.training.epochs) == (5, None)


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
    again = validate(recipe.dump(), "recipe.yaml")
    assert again.dump() == recipe.dump()
    assert again.unread() == recipe.unread()


def test_the_resolved_recipe_has_what_is_used_and_no_more() -> None:
    resolved = load_recipe(MINIMAL | {"method": "kd"}, ["loss.divergence=alpha_beta"]).dump()
    assert resolved["loss"]["parameters"] == {"alpha": 0.2, "beta": 0.7}
    assert not resolved.keys() & {"beta", "seqkd"}
    resolved = load_recipe(MINIMAL | {"method": "seqkd"}, ["seqkd.objective=cross_entropy"]).dump()
    assert resolved["loss"].keys() == {"normalization", "chunk_rows"}
    assert "seed" not in resolved["seqkd"]
    assert load_recipe(MINIMAL).dump()["beta"]["strategy"] == "M3"


def test_what_methods_read_are_recipe_keys() -> None:
    known = set(recipe_keys())
    assert {key for entry in METHODS.values() for key in entry.reads} <= known


def test_yaml_faults_name_the_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("teacher: a\nstudent: [b\n")
    with pytest.raises(UserError, match=r"broken.yaml: line 3: not valid YAML"):
        load_recipe(file)
    file.write_text("student: s\nmethod: sft\ntraining:\n  steps: 5\n  seed: 1\n  steps: 7\n")
    with pytest.raises(UserError, match=r"broken.yaml: line 6: not valid YAML: the key steps is there twice$"):
        load_recipe(file)
    file.write_text("- a\n")
    with pytest.raises(UserError, match="a recipe is a mapping"):
        load_recipe(file)


def test_a_merged_key_may_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "merged.yaml"
    file.write_text("teacher: &large {path: t, dtype: bfloat16}\nstudent: {<<: *large, path: s, dtype: float32}\n")
    assert load_recipe(file).student.path == "s"


def test_an_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"did you mean tiny\?"):
        find_recipe("tinny")


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
    assert set(stay) <= set(recipe_keys())
