"""A page in GitHub's markdown, without its charts."""

from __future__ import annotations

from codedistill.report.blocks import Answer, Block, Code, Facts, Grid, Heading, Links, Page, ShownTask, Table, Text
from codedistill.report.text import fenced, for_markdown


def markdown(page: Page) -> str:
    """The page as one markdown file. A section of which nothing but charts is known is left out."""
    parts = [f"# {for_markdown(page.title)}\n", *map(_block, page.opening)]
    for section in page.sections:
        blocks = [text for block in section.blocks if (text := _block(block))]
        parts += [f"## {for_markdown(section.title)}\n", *blocks] if blocks else []
    return "\n".join(parts)


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return f"{for_markdown(text)}\n"
        case Heading(text):
            return f"### {for_markdown(text)}\n"
        case Table():
            return markdown_table(block)
        case Grid(blocks):
            return "\n".join(text for inner in blocks if (text := _block(inner)))
        case Facts(items):
            lines = [f"| {for_markdown(name)} | {for_markdown(value)} |\n" for name, value in items]
            return "".join(["|  | value |\n", "| --- | --- |\n", *lines])
        case Links(items):
            return "".join(f"- [{for_markdown(name)}]({address})\n" for name, address in items)
        case Code(text, language, title, folded):
            code = fenced(text, language)
            return f"<details><summary>{for_markdown(title)}</summary>\n\n{code}\n</details>\n" if folded else code
        case ShownTask(title, note, prompt, answers):
            parts = [f"#### {for_markdown(title)}\n", f"{for_markdown(note)}\n"]
            parts += [fenced(prompt, "text")] if prompt else []
            return "\n".join([*parts, *map(_answer, answers)])
    return ""  # a chart


def _answer(answer: Answer) -> str:
    remark = f" ({for_markdown(answer.remark)})" if answer.remark else ""
    message = f": {for_markdown(answer.message)}" if answer.message else ""
    program = fenced(answer.program, "python") if answer.program else "(no program)\n"
    return f"**{for_markdown(answer.name)}**: {for_markdown(answer.verdict)}{remark}{message}\n\n{program}"


def markdown_table(table: Table) -> str:
    """A markdown table; numbers are aligned right."""
    rule = ["---:" if column.kind == "number" else "---" for column in table.columns]
    lines = [list(map(for_markdown, line)) for line in (table.header, *table.rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in (lines[0], rule, *lines[1:]))
