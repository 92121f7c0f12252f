"""The command line: each verb hands over to the library within a few lines.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong input, 130
interrupted.
Nothing heavy is imported before a verb needs it.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codedistill import parallel
from codedistill.cli.overrides import evaluation_settings, split_recipe
from codedistill.cli.resume import RerunHint, ResumeHint
from codedistill.errors import CodedistillError, UserError
from codedistill.recipe import Dtype

if TYPE_CHECKING:
    from codedistill.runs.schema import RunSummary

app = typer.Typer(
    name="codedistill",
    help="Make a small code model out of a large one, and see exactly what was lost on the way.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
recipes = typer.Typer(help="List, show, copy and validate recipes.", invoke_without_command=True, rich_markup_mode=None)
app.add_typer(recipes, name="recipes")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[key=value ...]", help="Override recipe keys.")]
BenchmarkName = Annotated[str, typer.Option("--benchmark", help="A benchmark's name or a file in HumanEval's form.")]
Output = Annotated[Path | None, typer.Option("--output", help="Folder for the files this writes.")]
ModelName = Annotated[str, typer.Argument(help="A model folder, a hub id, tiny/teacher or tiny/student.")]
TemplateName = Annotated[str | None, typer.Option("--template", help="Prompt template; default: the model's own.")]
DtypeName = Annotated[Dtype, typer.Option("--dtype", help="The type that the weights are loaded in.")]


@app.callback()
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from codedistill import __version__

        typer.echo(f"codedistill {__version__}")
        raise typer.Exit
    _require_verb(context)


@recipes.callback()
def _require_verb(context: typer.Context) -> None:
    """Without a verb: the help, and the exit code of wrong input."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@app.command()
def run(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE] [key=value ...]", help="A recipe file or name; then overrides."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Distil, evaluate, report. Without a recipe: the embedded pair."""
    from codedistill.api import distill, take_part
    from codedistill.cli.bars import progress

    recipe, overrides = split_recipe(arguments)
    if parallel.rank() > 0:
        take_part(recipe, overrides)
        return
    with ResumeHint() as hint, progress() as watch:
        result = distill(recipe, overrides, hint.listen(watch))
    _show_run(result.summary, result.page, as_json)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file or the name of a shipped one.")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Train the student only."""
    from codedistill import api
    from codedistill.cli.bars import progress

    if parallel.rank() > 0:
        api.take_part(recipe, overrides or [])
        return
    with ResumeHint() as hint, progress() as watch:
        model = api.train(recipe, overrides or [], hint.listen(watch))
    _print_json({"model": str(model)}) if as_json else typer.echo(f"the student is in {model}")


@app.command()
def generate(
    model: ModelName,
    benchmark: BenchmarkName,
    overrides: Overrides = None,
    output: Output = None,
    template: TemplateName = None,
    dtype: DtypeName = "float32",
    as_json: Json = False,
) -> None:
    """Completions only, into OUTPUT/samples.jsonl."""
    from codedistill import api
    from codedistill.cli.bars import progress

    settings = evaluation_settings(
        overrides, benchmarks="--benchmark names it", timeout="nothing is run; give it to execute"
    )
    with RerunHint(), progress() as watch:
        samples = api.generate({"path": model, "dtype": dtype}, benchmark, settings, output, template, watch)
    _print_json({"samples": str(samples)}) if as_json else typer.echo(f"samples are in {samples}")


@app.command()
def execute(
    samples: Annotated[Path, typer.Argument(help="samples.jsonl of any tool: task_id with completion or solution.")],
    benchmark: BenchmarkName,
    overrides: Overrides = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Verdicts only: run the programs of a samples file."""
    from codedistill import api
    from codedistill.cli.bars import progress

    for override in overrides or []:
        if override.partition("=")[0].removeprefix("evaluation.") != "timeout":
            raise UserError(f"override {override}: has no effect here; programs are only run: give timeout=SECONDS")
    with RerunHint(), progress() as watch:
        result = api.execute(samples, benchmark, evaluation_settings(overrides), output, watch)
    if (tasks := result.tasks + result.tasks_without_verdict) < (result.benchmark_tasks or 0):
        typer.echo(f"{tasks} of {result.benchmark_tasks} tasks have samples", err=True)
    _show_model({"model": str(samples), **result.to_json()}, output or samples.parent, as_json)


@app.command()
def evaluate(
    model: ModelName,
    benchmark: BenchmarkName,
    overrides: Overrides = None,
    output: Output = None,
    template: TemplateName = None,
    dtype: DtypeName = "float32",
    as_json: Json = False,
) -> None:
    """Generate and execute: one model on one benchmark."""
    from codedistill import api
    from codedistill.cli.bars import progress
    from codedistill.runs.directory import evaluation_folder

    settings = evaluation_settings(overrides, benchmarks="--benchmark names it")
    folder = output or evaluation_folder(model, benchmark)
    with RerunHint(), progress() as watch:
        result = api.evaluate({"path": model, "dtype": dtype}, benchmark, settings, folder, template, watch)
    _show_model(result.to_json(), folder, as_json)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories; with more than one they are compared.")],
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Write a run's report again, or compare runs."""
    from codedistill.report import compare_runs, render_comparison, write_comparison, write_report
    from codedistill.runs.directory import RunDirectory
    from codedistill.runs.files import read_model
    from codedistill.runs.schema import RunSummary

    if len(runs) == 1:
        if output is not None:
            raise UserError("--output is for comparisons; the report of one run goes to its directory")
        page = write_report(runs[0])
        _show_run(read_model(RunDirectory(runs[0]).summary, RunSummary), page, as_json)
        return
    comparison = compare_runs(runs)
    if output is not None:
        write_comparison(comparison, output)
    if as_json:
        _print_json(comparison.to_json())
    else:
        typer.echo(render_comparison(comparison), nl=False)


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine can do, and what is missing."""
    from codedistill.cli.doctor import State, examine

    findings = examine()
    if as_json:
        _print_json({"findings": [finding.to_json() for finding in findings]})
    else:
        for finding in findings:
            mend = f"; {finding.mend}" if finding.mend else ""
            typer.echo(f"{finding.state.value:8}{finding.subject:15}{finding.detail}{mend}")
    if any(finding.state is State.FAULT for finding in findings):
        raise typer.Exit(1)


@recipes.command("ls")
def recipes_ls(as_json: Json = False) -> None:
    """The shipped recipes: name and description."""
    from codedistill.recipe.load import described_recipes

    found = described_recipes()
    if as_json:
        _print_json({"recipes": list(found), "descriptions": found})
        return
    width = max(map(len, found))
    for name, description in found.items():
        typer.echo(f"{name:{width}}  {description}")


@recipes.command("show")
def recipes_show(recipe: str, overrides: Overrides = None, as_json: Json = False) -> None:
    """The resolved recipe: every value that a run would use, and what it means."""
    from codedistill.recipe.load import load_recipe
    from codedistill.recipe.reference import with_meanings

    resolved = load_recipe(recipe, overrides or []).dump()
    _print_json(resolved) if as_json else typer.echo(with_meanings(resolved))


@recipes.command("cp")
def recipes_cp(recipe: str, target: Path, as_json: Json = False) -> None:
    """Copy a shipped recipe to a file of your own."""
    from codedistill.recipe.load import find_recipe

    source = find_recipe(recipe)
    if target.is_dir():
        target = target / source.name
    if target.exists():
        raise UserError(f"{target}: exists already; choose another name")
    try:
        target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}") from None
    _print_json({"recipe": str(target)}) if as_json else typer.echo(f"wrote {target}")


@recipes.command("validate")
def recipes_validate(recipe: str, overrides: Overrides = None, as_json: Json = False) -> None:
    """Check a recipe without running it."""
    from codedistill.recipe.load import load_recipe

    load_recipe(recipe, overrides or [])
    _print_json({"recipe": recipe, "valid": True}) if as_json else typer.echo(f"{recipe}: valid")


def _show_model(values: dict[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        _print_json(values)
        return
    from codedistill.report import render_terminal, results_table

    typer.echo(render_terminal(results_table({"models": [{"who": "model", **values}]})), nl=False)
    typer.echo(f"results are in {folder}")


def _show_run(summary: RunSummary, page: Path, as_json: bool) -> None:
    if as_json:
        _print_json(summary.to_json())
        return
    from codedistill.report import render_terminal, results_table

    typer.echo(render_terminal(results_table(summary.to_json())), nl=False)
    typer.echo(f"report: {page}")


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=2))


def main() -> None:
    """Entry point: turns our errors into one line and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same message and exit code as Ctrl-C
    try:
        code = app(standalone_mode=False)
    except CodedistillError as error:
        if parallel.rank() == 0 or not error.everywhere:
            typer.echo(f"codedistill: {error}", err=True)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        typer.echo("codedistill: interrupted", err=True)
        sys.exit(130)
    except typer.TyperException as error:  # a wrong option or a missing argument
        message = error.format_message().replace("Value error, ", "")
        typer.echo(f"codedistill: {message}", err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
