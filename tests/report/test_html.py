"""report.html, as a parser sees it: its parts are there, it loads nothing, and nothing of a model's is markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from codedistill.report import write_report
from tests.report.made_runs import tell_again, write_run

SECTIONS = ["results", "paired", "curves", "errors", "samples", "recipe", "environment", "files"]
VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """Elements with their attributes, text by section, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.section = ""
        self.text: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = dict(attrs)["id"] or ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("th", "td"):
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        self.text[self.section] = self.text.get(self.section, "") + data

    def attributes(self, name: str) -> list[str]:
        return [values[name] or "" for _, values in self.elements if name in values]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def page_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(made_run: Path) -> Page:
    return Page((made_run / "report.html").read_text(encoding="utf-8"))


def check_loads_nothing(page: Page, text: str) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "video", "audio", "form", "base", "image", "use"}
    assert not page.attributes("src")
    assert not page.attributes("srcset")
    assert not [name for _, values in page.elements for name in values if name.startswith("on")]
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    for address in page.attributes("href"):
        assert not re.match(r"(?i)[a-z]+:|//", address) or address == "data:,"


def test_the_page_has_its_parts(page: Page) -> None:
    assert [values["id"] for tag, values in page.elements if tag == "section"] == SECTIONS
    assert "the student went from 35.0% to 75.0% of 40 tasks" in page.text[""]
    assert page.count("article") == 5
    assert page.count("svg") == 1 + 6 + 1  # intervals; loss, divergences, beta, rate, gradient norm, speed; errors
    assert page.text["results"].count("distilled student") == 2  # the table and the chart
    assert "+40.0 points" in page.text["paired"]
    assert "method: akd" in page.text["recipe"]
    assert "torch" in page.text["environment"]
    assert "tiny/teacher (2.4 M parameters) to tiny/student" in page.text[""]
    assert "tiny: akd, tiny/teacher to tiny/student - codedistill" in page.text[""]


def test_the_page_loads_nothing(made_run: Path, page: Page) -> None:
    text = (made_run / "report.html").read_text()
    check_loads_nothing(page, text)
    assert "http://" not in text
    assert "https://" not in text
    policy = next(v["content"] for t, v in page.elements if t == "meta" and "http-equiv" in v)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_links_lead_to_files(made_run: Path, page: Page) -> None:
    links = [values["href"] or "" for tag, values in page.elements if tag == "a"]
    assert len(links) == 3 + 9 + 1
    assert all((made_run / unquote(link)).exists() for link in links)


def test_charts_say_what_they_are(page: Page) -> None:
    for tag, values in page.elements:
        if tag == "svg":
            assert values["role"] == "img"
            assert values["aria-label"]


def test_tables_are_whole(page: Page) -> None:
    assert page.count("th") > 0
    text = " ".join(page.text["errors"].split())
    assert "passed 32 14 30" in text
    assert "all programs 40 40 40" in text


def test_cells_of_wide_tables_have_their_heading(page: Page) -> None:
    """On a narrow screen a row is a block, and each cell shows the name of its column."""
    tables = [values for tag, values in page.elements if tag == "table"]
    assert [values.get("class") for values in tables] == ["wide", "wide", "wide", None]  # the last: kinds of errors
    cells = [values["data-name"] for tag, values in page.elements if tag == "td"]
    assert cells[:8] == ["pass@1", "95% interval", "accuracy loss", "complete", "correct", "correct/complete",
                         "parameters", "model"]  # fmt: skip


def test_wrapped_lines_of_a_program_go_on_further_in(tmp_path: Path) -> None:
    """A wrapped line that goes on at the left edge reads as broken Python."""
    folder = write_run(tmp_path / "run", who=("student",), tasks=1, steps=1)
    path = folder / "evaluation/student/tiny/samples.jsonl"
    program = "def f(x):\n    if x:\n\n\t\treturn 1\n" + " " * 40 + "# deep"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"solution": program}) + "\n")
    found = page_of(folder)
    assert program in found.text["samples"]
    lines = [values["style"] for tag, values in found.elements if tag == "span" and values["class"] == "line"]
    last = lines.index("--in: 16")
    assert lines[last - 4 : last + 1] == ["--in: 0", "--in: 4", "--in: 0", "--in: 8", "--in: 16"]
    style = write_report(folder).read_text().split("</style>")[0]
    assert "padding-left: calc((var(--in) + 6) * 1ch)" in style
    assert "text-indent: calc((var(--in) + 6) * -1ch)" in style


NASTY = "</pre></style><script>alert(1)</script><img src=http://x onerror=alert(2)>\x00\x1b[2J\u202e{{ 7*7 }}\ud800"


def test_what_a_model_wrote_is_text(tmp_path: Path) -> None:
    """In every place where a model, a file or a recipe can put text."""
    folder = write_run(tmp_path / "run", tasks=6, steps=2)
    for who in ("teacher", "base", "student"):
        for name, keys in (("samples", ("prompt", "solution")), ("results", ("message",))):
            path = folder / "evaluation" / who / "tiny" / f"{name}.jsonl"
            rows = [json.loads(line) | dict.fromkeys(keys, NASTY) for line in path.read_text().splitlines()]
            if name == "results":
                rows = [row if row["passed"] else row | {"category": NASTY} for row in rows]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = json.loads((folder / "summary.json").read_text())
    summary["name"] = "<b>run</b>"
    for model in summary["models"]:
        failed = model["samples"] - model["correct"]
        model |= {"model": NASTY, "categories": {NASTY: failed}, "complete": model["correct"], "incomplete": failed}
    (folder / "summary.json").write_text(json.dumps(summary))
    environment = json.loads((folder / "environment.json").read_text()) | {"processor": NASTY, NASTY: "key"}
    (folder / "environment.json").write_text(json.dumps(environment))

    text = write_report(folder).read_text(encoding="utf-8")
    found = Page(text)
    check_loads_nothing(found, text)
    assert [values["id"] for tag, values in found.elements if tag == "section"] == SECTIONS
    assert not [c for c in text if c in "\x00\x1b\u202e"]
    shown = NASTY.replace("\x00", r"\x00").replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")
    shown = shown.replace("\ud800", r"\ud800")
    for section in ("samples", "errors", "environment"):
        assert shown in found.text[section], section
    assert found.text["samples"].count(shown) >= 5 * (1 + 3)
    assert "<b>run</b>" in found.text[""]
    assert found.count("b") == 5 * 3  # the verdicts only


def test_a_run_without_base(tmp_path: Path) -> None:
    found = page_of(write_run(tmp_path / "run", who=("teacher", "student"), tasks=10, steps=5))
    assert "base student" not in "".join(found.text.values())
    assert "student minus teacher" in found.text["paired"]


def test_a_run_without_teacher(tmp_path: Path) -> None:
    found = page_of(write_run(tmp_path / "run", who=("base", "student"), tasks=10, steps=5, overrides=["method=sft"]))
    assert found.count("svg") == 1 + 4 + 1  # no divergences and no beta
    assert "accuracy loss" not in found.attributes("data-name")
    assert "beta" not in found.text["curves"]


def test_a_student_alone(tmp_path: Path) -> None:
    found = page_of(write_run(tmp_path / "run", who=("student",), tasks=10, steps=5, overrides=["method=sft"]))
    assert "no second model" in found.text["paired"]
    assert "every model" in found.text["samples"]


def test_several_benchmarks(tmp_path: Path) -> None:
    found = page_of(write_run(tmp_path / "run", benchmarks=("tiny", "humaneval"), tasks=12, steps=5))
    assert found.count("article") == 10
    assert found.count("svg") == 2 + 6 + 2
    assert "akd on humaneval" in found.text[""]
    for section in ("results", "paired", "errors", "samples", "recipe"):
        assert "humaneval" in found.text[section], section


def test_a_model_without_failures(tmp_path: Path) -> None:
    found = page_of(write_run(tmp_path / "run", who=("student",), tasks=12, steps=5, student_fails=1000))
    assert "No program failed." not in found.text["errors"]  # task 0 fails
    path = tmp_path / "run" / "evaluation/student/tiny/results.jsonl"
    rows = [json.loads(line) | {"passed": True, "category": "passed"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tell_again(tmp_path / "run")
    assert "No program failed." in page_of(tmp_path / "run").text["errors"]


def test_long_programs_are_cut(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", who=("student",), tasks=1, steps=1)
    path = folder / "evaluation/student/tiny/samples.jsonl"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"solution": "x" * 100_000}) + "\n")
    found = page_of(folder)
    assert "more characters" in found.text["samples"]
    assert len(found.text["samples"]) < 10_000


def test_reports_are_the_same_twice(made_run: Path) -> None:
    before = (made_run / "report.html").read_bytes(), (made_run / "report.md").read_bytes()
    write_report(made_run)
    assert before == ((made_run / "report.html").read_bytes(), (made_run / "report.md").read_bytes())


def test_nothing_evaluated(tmp_path: Path) -> None:
    found = page_of(write_run(tmp_path / "run", who=(), steps=5))
    assert "No model was evaluated." in found.text["results"]
    assert "No model was evaluated." in (tmp_path / "run" / "report.md").read_text()
