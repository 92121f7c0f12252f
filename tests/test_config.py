from __future__ import annotations

from pathlib import Path

import pytest

from codedistill.config import find_recipe, load_recipe, recipe_keys, shipped_recipes, validate
from codedistill.errors import UserError

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
        (["training.steps=many"], "training.steps: should be a valid integer"),
        (["training.steps=0"], "training.steps: should be greater than or equal to 1"),
        (["method=akdd"], "method: should be 'sft', "),
        (["beta.strategy=fixed"], "a fixed beta needs beta.initial"),
        (["beta.initial=[0.6, 0.1]"], "initial is a number in [0, 1] or a rising pair"),
        (["method=kd", "beta.initial=0.2"], "beta.initial would have no effect with method kd"),
        (["teacher=null"], "method akd needs a teacher"),
        (["student={}"], "give either a path or an architecture"),
        (["steps"], "write key=value"),
        (["training={steps: 1, epochs: 1}"], "give steps or epochs, not both"),
    ],
)
def test_wrong_recipes_say_what_and_how(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(MINIMAL, overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


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


def test_an_override_of_steps_replaces_the_recipes_epochs() -> None:
    recipe = load_recipe(MINIMAL | {"training": {"epochs": 3}}, ["training.steps=5"])
    assert (recipe.training.steps, recipe.training.epochs) == (5, None)


@pytest.mark.parametrize("method", ["akd", "kd", "sft"])
def test_the_resolved_recipe_is_a_recipe(method: str) -> None:
    recipe = load_recipe(MINIMAL | {"method": method})
    again = validate(recipe.dump(), "recipe.yaml")
    assert again.dump() == recipe.dump()


def test_yaml_faults_name_the_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("teacher: a\nstudent: [b\n")
    with pytest.raises(UserError, match=r"broken.yaml: line 3: not valid YAML"):
        load_recipe(file)
    file.write_text("- a\n")
    with pytest.raises(UserError, match="a recipe is a mapping"):
        load_recipe(file)


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
