"""Whether the models and files that a recipe names exist; nothing is loaded."""

from __future__ import annotations

from pathlib import Path

from codedistill.benchmarks.loading import find_benchmark
from codedistill.data.examples import require_source
from codedistill.errors import UserError
from codedistill.methods.settings import Minillm, Seqkd
from codedistill.models.names import find_folder, resolve
from codedistill.recipe.model import Recipe


def require_inputs(recipe: Recipe, ask_hub: bool = True) -> None:
    """Look for models, data and responses of other runs.

    ask_hub: ask the hub whether it has a model that is not on this machine.

    Raises:
        UserError: one is missing; its `key` is the recipe key that names it.
    """
    for key, spec in (("teacher", recipe.teacher), ("student", recipe.student)):
        if spec is not None and spec.path is not None:
            (resolve if ask_hub else find_folder)(spec.path, key)
    require_source(recipe.data.source, "data.source")
    corpus = recipe.section(Minillm).corpus
    if recipe.method == "minillm" and corpus is not None:
        require_source(corpus, "minillm.corpus")
    responses = recipe.section(Seqkd).responses
    if recipe.method == "seqkd" and responses is not None and not Path(responses).exists():
        raise UserError(f"seqkd.responses {responses}: no such file", key="seqkd.responses", file=responses)


def require_benchmarks(recipe: Recipe) -> None:
    """Look for the files of the benchmarks, and for benchmarks of these names.

    Raises:
        UserError: there is no such benchmark or file.
    """
    for benchmark in recipe.evaluation.benchmarks:
        find_benchmark(benchmark)
