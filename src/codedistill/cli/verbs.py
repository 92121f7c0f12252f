"""The command line: each verb hands over to the library within a few lines.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong input, 130
interrupted. Nothing heavy is imported before a verb needs it.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from codedistill import parallel
from codedistill.cli.overrides import evaluation_settings
from codedistill.cli.resume import RerunHint, ResumeHint
from codedistill.errors import CodedistillError, UserError
from codedistill.recipe import Dtype

if TYPE_CHECKING:
    from codedistill.runs.schema import RunSummary


class Verb(TyperCommand):
    """A command whose options are errors when repeated, unless they are lists. Click would take the last one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for param in given:
            if given.count(param) > 1 and not getattr(param, "multiple", True):
                ctx.fail(f"{param.opts[0]} is repeated; give it once")
        return super().parse_args(ctx, args)


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

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
RecipeName = Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="key=value", help="Recipe keys, as training.steps=100.")]
Settings = Annotated[list[str] | None, typer.Argument(metavar="key=value", help="Evaluation keys, such as limit=10.")]
Benchmark = Annotated[str, typer.Option("--benchmark", help="A benchmark's name, its file, or NAME=FILE.")]
Benchmarks = Annotated[
    list[str], typer.Option("--benchmark", help="A benchmark's name, its file, or NAME=FILE. May be repeated.")
]
Output = Annotated[Path | None, typer.Option("--output", help="Write to this folder.")]
ModelName = Annotated[str, typer.Argument(help="A model folder, a hub id, tiny/teacher or tiny/student.")]
TemplateName = Annotated[str | None, typer.Option("--template", help="Prompt template. [default: the model's own]")]
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


@app.command(cls=Verb)
def run(
    recipe: Annotated[str | None, typer.Argument(help="A recipe file or name. [default: tiny]")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Distill a student, evaluate it beside its teacher, write a report."""
    from codedistill.api import distill, take_part
    from codedistill.cli.bars import progress

    changes = overrides or []
    if recipe is not None and "=" in recipe:  # overrides alone
        changes = [recipe, *changes]
        recipe = None
    if parallel.rank() > 0:
        take_part(recipe, changes)
        return
    with ResumeHint() as hint, progress() as watch:
        result = distill(recipe, changes, hint.listen(watch))
    _show_run(result.summary, result.page, as_json)


@app.command(cls=Verb)
def train(recipe: RecipeName, overrides: Overrides = None, as_json: Json = False) -> None:
    """Train the student only."""
    from codedistill import api
    from codedistill.cli.bars import progress

    if parallel.rank() > 0:
        api.take_part(recipe, overrides or [])
        return
    with ResumeHint() as hint, progress() as watch:
        model = api.train(recipe, overrides or [], hint.listen(watch))
    _print(f"the student is in {model}", {"model": str(model)}, as_json)


@app.command(cls=Verb)
def generate(
    model: ModelName,
    benchmark: Benchmarks,
    settings: Settings = None,
    output: Output = None,
    template: TemplateName = None,
    dtype: DtypeName = "float32",
    as_json: Json = False,
) -> None:
    """Write a model's completions to samples.jsonl."""
    from codedistill import api
    from codedistill.cli.bars import progress

    chosen = evaluation_settings(settings, "timeout", "isolation")
    folders, written = _folders(model, benchmark, output), []
    with RerunHint(), progress() as watch:
        for name, folder in zip(benchmark, folders, strict=True):
            spec = {"path": model, "dtype": dtype}
            written.append(str(api.generate(spec, name, chosen, folder, template, watch)))
    _print(f"samples are in {', '.join(written)}", {"samples": written if written[1:] else written[0]}, as_json)


@app.command(cls=Verb)
def execute(
    samples: Annotated[Path, typer.Argument(help="samples.jsonl of any tool: task_id with completion or solution.")],
    benchmark: Benchmark,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="timeout=SECONDS, or isolation=data or shared.")
    ] = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Run the programs of a samples file."""
    from codedistill import api
    from codedistill.cli.bars import progress
    from codedistill.recipe.sections import Evaluation

    chosen = evaluation_settings(settings, *(Evaluation.model_fields.keys() - {"timeout", "isolation"}))
    with RerunHint(), progress() as watch:
        result = api.execute(samples, benchmark, chosen, output, watch)
    if (tasks := result.tasks + result.tasks_without_verdict) < (result.benchmark_tasks or 0):
        typer.echo(f"{tasks} of {result.benchmark_tasks} tasks have samples", err=True)
    _show_models([{"model": str(samples), **result.to_json()}], [output or samples.parent], as_json)


@app.command(cls=Verb)
def evaluate(
    model: ModelName,
    benchmark: Benchmarks,
    settings: Settings = None,
    output: Output = None,
    template: TemplateName = None,
    dtype: DtypeName = "float32",
    as_json: Json = False,
) -> None:
    """Generate and execute: one model on one or more benchmarks."""
    from codedistill import api
    from codedistill.cli.bars import progress

    chosen, folders, results = evaluation_settings(settings), _folders(model, benchmark, output), []
    with RerunHint(), progress() as watch:
        for name, folder in zip(benchmark, folders, strict=True):
            spec = {"path": model, "dtype": dtype}
            results.append(api.evaluate(spec, name, chosen, folder, template, watch).to_json())
    _show_models(results, folders, as_json)


@app.command(cls=Verb)
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories. Two or more are compared.")],
    output: Annotated[Path | None, typer.Option("--output", help="Write the comparison to this folder.")] = None,
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
    _print(render_comparison(comparison).rstrip("\n"), comparison.to_json(), as_json)


@app.command(cls=Verb)
def doctor(as_json: Json = False) -> None:
    """Check hardware, packages and sandbox of this machine."""
    from dataclasses import asdict

    from codedistill.cli.doctor import State, examine

    findings = examine()
    lines = [f"{f.state:8}{f.subject:15}{f.detail}{f'; {f.mend}' if f.mend else ''}" for f in findings]
    _print("\n".join(lines), {"findings": [asdict(finding) for finding in findings]}, as_json)
    if any(finding.state is State.FAULT for finding in findings):
        raise typer.Exit(1)


@recipes.command("ls", cls=Verb)
def recipes_ls(as_json: Json = False) -> None:
    """List the shipped recipes."""
    from codedistill.recipe.load import described_recipes

    found = described_recipes()
    width = max(map(len, found))
    lines = [f"{name:{width}}  {description}" for name, description in found.items()]
    _print("\n".join(lines), {"recipes": list(found), "descriptions": found}, as_json)


@recipes.command("show", cls=Verb)
def recipes_show(recipe: RecipeName, overrides: Overrides = None, as_json: Json = False) -> None:
    """Print every value of a recipe, with its meaning."""
    from codedistill.recipe.load import load_recipe
    from codedistill.recipe.reference import with_meanings

    resolved = load_recipe(recipe, overrides or []).dump()
    _print(with_meanings(resolved), resolved, as_json)


@recipes.command("cp", cls=Verb)
def recipes_cp(
    recipe: RecipeName,
    target: Annotated[Path, typer.Argument(help="The new file, or a folder for it.")],
    as_json: Json = False,
) -> None:
    """Copy a shipped recipe to a file of your own."""
    from codedistill.recipe.load import find_recipe

    source = find_recipe(recipe)
    if target.is_dir():
        target = target / source.name
    if target.exists():
        raise UserError(f"{target}: exists already; choose another name", file=str(target))
    try:
        target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}", file=str(target)) from None
    _print(f"wrote {target}", {"recipe": str(target)}, as_json)


@recipes.command("validate", cls=Verb)
def recipes_validate(recipe: RecipeName, overrides: Overrides = None, as_json: Json = False) -> None:
    """Check a recipe, and that its models and files exist."""
    from codedistill.benchmarks.loading import find_benchmark
    from codedistill.recipe.load import load_recipe, require_inputs

    checked = load_recipe(recipe, overrides or [])
    require_inputs(checked, ask_hub=False)
    for benchmark in checked.evaluation.benchmarks:
        find_benchmark(benchmark)
    _print(f"{recipe}: valid", {"recipe": recipe, "valid": True}, as_json)


def _folders(model: str, benchmarks: Sequence[str], output: Path | None) -> list[Path]:
    """A folder for each benchmark: several get subfolders of the output.

    Raises:
        UserError: there is no such benchmark, or two have the same name.
    """
    from codedistill.benchmarks.loading import find_benchmark
    from codedistill.runs.directory import evaluation_folder

    folders = [evaluation_folder(model, benchmark) for benchmark in benchmarks]
    if output is not None:
        folders = [output / folder.name for folder in folders] if len(folders) > 1 else [output]
    for benchmark, folder in zip(benchmarks, folders, strict=True):
        if folders.count(folder) > 1:
            raise UserError(f"--benchmark {benchmark}: another one has the name {folder.name}; remove or rename one")
        find_benchmark(benchmark)
    return folders


def _show_models(models: list[dict[str, Any]], folders: list[Path], as_json: bool) -> None:
    from codedistill.report import render_terminal, results_table

    table = render_terminal(results_table({"models": [{"who": "model", **values} for values in models]}))
    text = f"{table}results are in {', '.join(map(str, folders))}"
    _print(text, {"models": models} if len(models) > 1 else models[0], as_json)


def _show_run(summary: RunSummary, page: Path, as_json: bool) -> None:
    from codedistill.report import render_terminal, results_table

    _print(f"{render_terminal(results_table(summary.to_json()))}report: {page}", summary.to_json(), as_json)


def _print(text: str, value: dict[str, Any], as_json: bool) -> None:
    typer.echo(json.dumps(value, indent=2) if as_json else text)


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
        typer.echo(f"codedistill: {error.format_message()}", err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
