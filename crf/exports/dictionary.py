"""What the columns of an export are: as rows for CSV and XLSX, with their code lists, and as a PDF to read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from crf.definitions.model import Text

from .layout import Column, Question, TableLayout, code_numbers
from .naming import adapted
from .rules import WORDS, Rule
from .writers import FORMULA, NUMBER

NAMED_IN = ("xpt", "xpt8", "dta", "sav")
HEADER = (
    "table", "column", "item", "part", "kind", "label", "label_zh", "label_en", "unit", "rule",
    "definition_zh", "definition_en", "cdisc", *(f"name_{format}" for format in NAMED_IN),
)  # fmt: skip
CODES = ("table", "column", "code", "label", "label_zh", "label_en", "number_dta")
PARTS = {
    "missing": Text(zh="not_done 未做、unknown 未知、not_applicable 不适用", en="not_done, unknown or not_applicable"),
    "earliest": Text(zh="日期不完整时可能的第一天", en="first day that a partial date can be"),
    "latest": Text(zh="日期不完整时可能的最后一天", en="last day that a partial date can be"),
}


def rows(layouts: Sequence[TableLayout], language: str) -> Iterator[tuple[str, ...]]:
    """One line a column of every table, and one for each item that was left out; the header first."""
    yield HEADER
    for layout in layouts:
        names = {format: adapted([column.name for column in layout.columns], format) for format in NAMED_IN}
        questions = {question.path: question for question in layout.questions}
        for column in layout.columns:
            shorts = [names[format][column.name] for format in NAMED_IN]
            yield _row(layout, column, questions.get(column.item), language, shorts)
        for question in layout.questions:
            if question.rule.leaves_out:
                gone = Column(
                    "", question.kind, question.item.label, question.path, "value", (), question.item.unit or ""
                )
                yield _row(layout, gone, question, language, [""] * len(NAMED_IN))


def _row(
    layout: TableLayout, column: Column, question: Question | None, language: str, shorts: list[str]
) -> tuple[str, ...]:  # fmt: skip
    item = question.item if question else None
    meant = item.definition if item and item.definition else PARTS.get(column.part)
    return (
        layout.name, column.name, column.item, column.part, column.kind, column.label.of(language), column.label.zh,
        column.label.en, column.unit, _rule(column, question).value,
        meant.zh if meant else "", meant.en if meant else "", (item.cdisc or "") if item else "", *shorts,
    )  # fmt: skip


def _rule(column: Column, question: Question | None) -> Rule:
    return question.rule if question else column.rule


def code_rows(layouts: Sequence[TableLayout], language: str) -> Iterator[tuple[str, ...]]:
    """One line a code of every coded column; the header first. `number_dta` is what stands for it in Stata."""
    yield CODES
    for layout in layouts:
        for column in layout.columns:
            numbers = code_numbers(column, "dta") or {}
            for choice in column.choices:
                label = choice.label
                number = str(numbers.get(choice.code, ""))
                yield layout.name, column.name, choice.code, label.of(language), label.zh, label.en, number


def as_csv(lines: Iterator[tuple[str, ...]]) -> bytes:
    """UTF-8 with a byte order mark; a cell that a spreadsheet could run has an apostrophe before it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([safe(cell) for cell in line] for line in lines)
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def safe(cell: str) -> str:
    return f"'{cell}" if re.match(FORMULA, cell) and not re.match(NUMBER, cell) else cell


WIDTHS = (0.20, 0.09, 0.31, 0.40)
HEADINGS = (
    Text(zh="变量", en="Column"),
    Text(zh="类型", en="Kind"),
    Text(zh="含义", en="Meaning"),
    Text(zh="代码与处理", en="Codes and treatment"),
)


def write_pdf(
    path: Path, layouts: Sequence[TableLayout], *, title: str, language: str, font: Callable[[], str]
) -> None:
    """The dictionary on A4: a table for each form. `font` gives the name of a face that is embedded and can write
    Chinese."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4, landscape
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    face = font()
    small = ParagraphStyle("small", fontName=face, fontSize=7.5, leading=10, wordWrap="CJK")
    head = ParagraphStyle("head", parent=small, textColor=colors.HexColor("#0b3a53"))
    heading = ParagraphStyle("heading", fontName=face, fontSize=12, leading=16, spaceBefore=10, spaceAfter=4)
    page = landscape(A4)
    width = page[0] - 30 * mm
    document = SimpleDocTemplate(
        str(path), pagesize=page, leftMargin=15 * mm, rightMargin=15 * mm, topMargin=15 * mm, bottomMargin=15 * mm,
        title=title, invariant=1,
    )  # fmt: skip
    story: list[Any] = [Paragraph(escape(title), heading)]
    for layout in layouts:
        lines = [[Paragraph(escape(text.of(language)), head) for text in HEADINGS]]
        lines += [[Paragraph(cell, small) for cell in line] for line in _printed(layout, language)]
        style = [
            ("GRID", (0, 0), (-1, -1), 0.25, colors.HexColor("#b8c2cc")),
            ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#eef2f6")),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
        story.append(Paragraph(f"{escape(layout.name)} · {escape(layout.label.of(language))}", heading))
        story.append(Table(lines, [width * part for part in WIDTHS], repeatRows=1, style=TableStyle(style)))
        story.append(Spacer(1, 4 * mm))
    document.build(story)


def _printed(layout: TableLayout, language: str) -> Iterator[list[str]]:
    questions = {question.path: question for question in layout.questions}
    for column in layout.columns:
        question = questions.get(column.item)
        label = column.label.of(language) + (f" ({column.unit})" if column.unit else "")
        codes = "<br/>".join(
            f"{escape(choice.code)} = {escape(choice.label.of(language))}" for choice in column.choices
        )
        treated = _rule(column, question) is not Rule.KEEP and column.part == "value"
        rule = WORDS[_rule(column, question)].of(language) if treated else ""
        yield [
            escape(column.name),
            column.kind,
            escape(label),
            "<br/>".join(part for part in (codes, escape(rule)) if part),
        ]
    for question in layout.questions:
        if question.rule.leaves_out:
            label = question.item.label.of(language)
            yield ["—", question.kind, escape(label), escape(WORDS[question.rule].of(language))]
