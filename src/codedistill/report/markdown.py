"""report.md: what report.html says, without pictures, in GitHub's markdown."""

from __future__ import annotations

from urllib.parse import quote

import yaml

from codedistill.report import captions
from codedistill.report.facts import Fact, about, environment_facts, files, run_facts
from codedistill.report.html import MESSAGE_LIMIT, PROMPT_LIMIT, SOLUTION_LIMIT
from codedistill.report.load import Answer, Run
from codedistill.report.paired import difference_table, differences
from codedistill.report.samples import Shown, shown
from codedistill.report.series import curve_table
from codedistill.report.tables import NAMES, headlines, markdown, markdown_table
from codedistill.report.taxonomy import taxonomy
from codedistill.report.text import clipped, fenced, for_markdown


def report_markdown(run: Run) -> str:
    """The report of one run."""
    several = len(run.table.benchmarks) > 1
    parts = [f"# {for_markdown(run.name)}\n", f"{for_markdown(about(run))}\n"]
    parts += [*(f"{for_markdown(text)}.\n" for text in headlines(run.summary))]
    parts += ["## Results\n", *(_captioned(markdown(run.table), captions.RESULTS) if run.table.rows else [_NO_MODEL])]
    header, rows = difference_table(differences(run))
    parts += ["## Task by task\n"]
    pairs = markdown_table(header, rows, 2 if "benchmark" in header else 1)
    parts += _captioned(pairs, captions.PAIRED) if rows else [_NO_PAIR]
    header, rows = curve_table(run.steps)
    parts += ["## Training\n", markdown_table(header, rows, 0) if rows else "This run has no metrics.\n"]
    parts += ["## Kinds of errors\n"]
    for benchmark in run.table.benchmarks:
        parts += [f"### {for_markdown(benchmark)}\n"] if several else []
        results = run.table.of(benchmark)
        parts += [markdown_table(*taxonomy(results, [row.name for row in results]).cells(), 1)]
    parts += ["## Samples\n"]
    for benchmark in run.table.benchmarks:
        parts += [f"### {for_markdown(benchmark)}\n"] if several else []
        tasks = shown(run, benchmark)
        parts += [_task(item) for item in tasks] or ["No task was put to all models.\n"]
    parts += ["## Recipe\n", fact_table(run_facts(run)), _recipe(run)]
    parts += ["## Environment\n"]
    parts += [
        fact_table(environment_facts(run.environment))
        if run.environment is not None
        else "environment.json is not there.\n"
    ]
    parts += ["## Files\n", "".join(f"- [{for_markdown(name)}]({quote(name)})\n" for name in files(run))]
    return "\n".join(parts)


_NO_MODEL = "No model was evaluated.\n"

_NO_PAIR = "There is no second model to compare the student with.\n"


def _captioned(table: str, caption: str) -> list[str]:
    return [table, f"{for_markdown(caption)}\n"]


def fact_table(facts: list[Fact]) -> str:
    return markdown_table(["", "value"], [[name, value] for name, value in facts], 2)


def _recipe(run: Run) -> str:
    if run.recipe is None:
        return "recipe.yaml is not there.\n"
    text = yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True)
    return f"<details><summary>Resolved recipe</summary>\n\n{fenced(text, 'yaml')}\n</details>\n"


def _task(item: Shown) -> str:
    parts = [f"#### {for_markdown(item.task_id)}: {item.why}\n", f"{item.how_many}\n"]
    parts += [fenced(clipped(item.prompt, PROMPT_LIMIT), "text")] if item.prompt else []
    parts += [_answer(NAMES.get(who, who), answer, item.verdicts[who]) for who, answer in item.answers.items()]
    return "\n".join(parts)


def _answer(name: str, answer: Answer, verdicts: tuple[bool, ...]) -> str:
    verdict = "passed" if answer.passed else for_markdown(answer.category)
    of = f" ({sum(verdicts)} of {len(verdicts)} samples pass)" if len(verdicts) > 1 else ""
    message = f": {for_markdown(clipped(answer.message, MESSAGE_LIMIT))}" if answer.message else ""
    program = (
        fenced(clipped(answer.solution.strip("\n"), SOLUTION_LIMIT), "python") if answer.solution else "(no program)\n"
    )
    return f"**{for_markdown(name)}**: {verdict}{of}{message}\n\n{program}"
