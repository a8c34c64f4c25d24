"""A study's case report form on paper, in both languages: blank, or annotated with names, codes, ranges and logic."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

from crf.definitions.model import Check, Choice, Codelist, Event, Form, Item, Lab, Section, StudyDefinition, Text
from crf.definitions.values import plain_number

WIDTH, HEIGHT = A4
MARGIN, GUTTER = 42, 14
LABEL_WIDTH = 212
ANSWER_X = MARGIN + LABEL_WIDTH + GUTTER
ANSWER_WIDTH = WIDTH - MARGIN - ANSWER_X
TOP, BOTTOM = HEIGHT - 62, 48
INK, QUIET, NOTE, RULE = HexColor("#1b2733"), HexColor("#5b6b7c"), HexColor("#0b5c8a"), HexColor("#c9d3dc")
BOX = "□"  # an empty square
RAISED = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")
MOST_CHOICES = 40  # of one item; a longer list is written, not ticked
BLANKS = {
    "date": "____ - __ - __",
    "time": "__ : __",
    "datetime": "____ - __ - __   __ : __",
    "integer": "__________",
    "decimal": "______ . ____",
    "file": "附件 Attachment: ______________",
    "series": "影像序列 Image series: ______________",
    "derived": "(自动计算 calculated)",
}


@dataclass(frozen=True)
class Line:
    """One wrapped piece of text: its size, colour and weight, and how far it is set in."""

    text: str
    size: float = 9
    colour: HexColor = INK
    bold: bool = False
    indent: float = 0


def write_pdf(study: StudyDefinition, *, annotated: bool, faces: tuple[str, str], form: str = "") -> bytes:
    """The whole CRF, or one form of it; equal definitions give equal bytes.

    `faces` are the names of a regular and a bold face that reportlab knows and that have Chinese.
    """
    out = io.BytesIO()
    paper = _Paper(Canvas(out, pagesize=A4, invariant=1), study, annotated, faces)
    chosen = [one for one in study.forms if form in ("", one.oid)]
    if not form:
        _cover(paper, study)
    for one in chosen:
        _form(paper, study, one)
    paper.save()
    return out.getvalue()


class _Widths:
    """How wide text is in one face: reportlab's own measure encodes each piece first, which takes most of the time."""

    def __init__(self, face: str) -> None:
        font = pdfmetrics.getFont(face)
        self.by_code, self.default = font.face.charWidths, font.face.defaultWidth

    def written(self, text: str) -> str:
        """The text in characters that the face has: 10⁹ as 10^9 where it has no raised nine."""
        if all(ord(one) in self.by_code for one in text):
            return text
        text = RAISED.sub(lambda found: self._raised(found[0]), text)
        return "".join(one if ord(one) in self.by_code else unicodedata.normalize("NFKC", one) for one in text)

    def _raised(self, digits: str) -> str:
        is_there = all(ord(one) in self.by_code for one in digits)
        return digits if is_there else f"^{unicodedata.normalize('NFKC', digits).replace('−', '-')}"

    def of(self, text: str, size: float) -> float:
        default = self.default
        return float(sum(self.by_code.get(ord(one), default) for one in text)) * size / 1000


class _Paper:
    """Pages that fill from the top; what does not fit any more goes on the next."""

    def __init__(self, canvas: Canvas, study: StudyDefinition, annotated: bool, faces: tuple[str, str]) -> None:
        self.canvas, self.study, self.annotated, self.faces = canvas, study, annotated, faces
        self.widths = [_Widths(face) for face in faces]
        self.page, self.digest = 0, study.sha256()
        self.y: float = BOTTOM
        canvas.setTitle(f"{study.code} {study.version} {'annotated CRF' if annotated else 'CRF'}")
        canvas.setAuthor(study.code)
        self.turn()

    def turn(self) -> None:
        """A new page with its head and foot."""
        if self.page:
            self.canvas.showPage()
        self.page, self.y = self.page + 1, TOP
        kind = "带注释 CRF · annotated CRF" if self.annotated else "空白 CRF · blank CRF"
        self.put(MARGIN, HEIGHT - 32, f"{self.study.code} · {self.study.version}", 8, bold=True)
        title = Line(f"{self.study.title.zh} · {self.study.title.en}", 7)
        self.put(MARGIN, HEIGHT - 43, next(self.broken(title, WIDTH - 2 * MARGIN)), 7, QUIET)
        self.right(HEIGHT - 32, kind, 8)
        self.canvas.setStrokeColor(RULE)
        self.canvas.line(MARGIN, HEIGHT - 50, WIDTH - MARGIN, HEIGHT - 50)
        self.put(MARGIN, 28, f"sha256 {self.digest}", 6, QUIET)
        self.right(28, str(self.page), 7)

    def put(self, x: float, y: float, text: str, size: float, colour: HexColor = INK, *, bold: bool = False) -> None:
        self.canvas.setFont(self.faces[bold], size)
        self.canvas.setFillColor(colour)
        self.canvas.drawString(x, y, text)

    def right(self, y: float, text: str, size: float) -> None:
        self.put(WIDTH - MARGIN - self.measured(text, size), y, text, size, QUIET)

    def measured(self, text: str, size: float, *, bold: bool = False) -> float:
        return self.widths[bold].of(text, size)

    def need(self, height: float) -> None:
        if self.y - height < BOTTOM:
            self.turn()

    def heading(self, title: Text, size: float, *, key: str, level: int) -> None:
        """A title in both languages with its bookmark."""
        self.need(size * 4)
        self.canvas.bookmarkHorizontal(key, 0, self.y + size)
        self.canvas.addOutlineEntry(f"{title.zh} · {title.en}", key, level, closed=level == 0)
        self.lines([Line(title.zh, size, bold=True), Line(title.en, size * 0.72, QUIET)], MARGIN, WIDTH - 2 * MARGIN)
        self.y -= 4

    def lines(self, lines: Sequence[Line], x: float, width: float) -> None:
        for line, text in self.wrapped(lines, width):
            self.need(line.size * 1.4)
            self.y -= line.size * 1.35
            self.put(x + line.indent, self.y, text, line.size, line.colour, bold=line.bold)

    def beside(self, left: Sequence[Line], right: Sequence[Line]) -> None:
        """Two columns that begin at the same height and stay on one page where they can."""
        first, second = list(self.wrapped(left, LABEL_WIDTH)), list(self.wrapped(right, ANSWER_WIDTH))
        height = max(sum(line.size * 1.35 for line, _text in column) for column in (first, second)) + 9
        if height > TOP - BOTTOM:
            self.lines(left, MARGIN, LABEL_WIDTH)
            self.lines(right, ANSWER_X, ANSWER_WIDTH)
            return
        self.need(height)
        top = self.y
        for x, column in ((MARGIN, first), (ANSWER_X, second)):
            self.y = top
            for line, text in column:
                self.y -= line.size * 1.35
                self.put(x + line.indent, self.y, text, line.size, line.colour, bold=line.bold)
        self.y = top - height
        self.canvas.setStrokeColor(RULE)
        self.canvas.setLineWidth(0.4)
        self.canvas.line(MARGIN, self.y + 3, WIDTH - MARGIN, self.y + 3)

    def wrapped(self, lines: Sequence[Line], width: float) -> Iterator[tuple[Line, str]]:
        for line in lines:
            for text in self.broken(line, width - line.indent):
                yield line, text

    def broken(self, line: Line, width: float) -> Iterator[str]:
        """Between words, and between any two characters of Chinese; a word too long is cut."""
        widths, size = self.widths[line.bold], line.size
        text = widths.written(" ".join(line.text.split()))
        if widths.of(text, size) <= width:
            yield text
            return
        held, used = "", 0.0
        for piece in _pieces(text):
            if held and used + widths.of(piece, size) > width:
                yield held.rstrip()
                held, used, piece = "", 0.0, piece.lstrip()
            while (wide := widths.of(piece, size)) > width and len(piece) > 1:
                cut = max(1, int(len(piece) * width / wide))
                yield piece[:cut]
                piece = piece[cut:]
            held, used = held + piece, used + wide
        yield held.rstrip()

    def save(self) -> None:
        self.canvas.showPage()
        self.canvas.save()


def _pieces(text: str) -> Iterator[str]:
    """Words with their space; each character beyond Latin by itself."""
    word = ""
    for character in text:
        if character == " ":
            yield word + character
            word = ""
        elif character > "\u2e7f":
            if word:
                yield word
            yield character
            word = ""
        else:
            word += character
    if word:
        yield word


def _cover(paper: _Paper, study: StudyDefinition) -> None:
    """What the study is, and which form belongs to which visit."""
    paper.heading(study.title, 17, key="study", level=0)
    facts = [
        ("研究编号 Study", study.code),
        ("版本 Version", study.version),
        ("注册号 Registration", study.registration_number),
        ("sha256", paper.digest),
    ]
    paper.lines([Line(f"{name}: {value}", 9) for name, value in facts if value], MARGIN, WIDTH - 2 * MARGIN)
    paper.y -= 12
    for event in study.events:
        names = [study.form(oid).name for oid in event.forms]
        left = [Line(event.name.zh, 9, bold=True), Line(event.name.en, 7.5, QUIET), *_event_notes(paper, event)]
        right = [Line(f"{BOX} {name.zh} · {name.en}", 8.5) for name in names]
        paper.beside(left, right)


def _event_notes(paper: _Paper, event: Event) -> list[Line]:
    if not paper.annotated:
        return []
    days = f" day {event.day}" if event.day is not None else ""
    window = f" [{event.window[0]}, {event.window[1]}]" if event.window else ""
    anchor = f" {event.anchor}" if event.anchor else ""
    return [Line(f"{event.oid} ({event.kind}{anchor}{days}{window})", 7, NOTE)]


def _form(paper: _Paper, study: StudyDefinition, form: Form) -> None:
    paper.turn()
    paper.heading(form.name, 14, key=f"form-{form.oid}", level=0)
    visits = [event.name for event in study.events if form.oid in event.forms]
    about = [Line(f"{name.zh} {name.en}", 7, QUIET) for name in visits[:1]]
    if len(visits) > 1:
        about = [Line("; ".join(f"{name.zh} {name.en}" for name in visits), 7, QUIET)]
    if form.help:
        about += [Line(form.help.zh, 8), Line(form.help.en, 7, QUIET)]
    if paper.annotated:
        about.append(Line(f"{form.oid}{' · repeating' if form.repeating else ''}", 7.5, NOTE))
    about.append(Line("受试者编号 Subject ______________    访视 Visit ______________    填写人 By ____________", 8))
    paper.lines(about, MARGIN, WIDTH - 2 * MARGIN)
    paper.y -= 6
    for number, section in enumerate(form.sections):
        _section(paper, study, form, section, f"form-{form.oid}-{number}")
    if paper.annotated and form.checks:
        paper.y -= 6
        for check in form.checks:
            paper.lines(_check(check), MARGIN, WIDTH - 2 * MARGIN)


def _section(paper: _Paper, study: StudyDefinition, form: Form, section: Section, key: str) -> None:
    paper.y -= 6
    paper.heading(section.name, 10.5, key=key, level=1)
    notes = [Line(section.help.zh, 7.5, QUIET), Line(section.help.en, 7, QUIET)] if section.help else []
    if section.rows:
        notes.append(Line("每行一份,可复印本页 One set per row; copy this page as needed", 7, QUIET))
    if paper.annotated:
        if section.rows:
            notes.append(Line(f"{section.rows.name}[ ] ({section.rows.min}-{section.rows.max} rows)", 7, NOTE))
        if section.show_if:
            notes.append(Line(f"show_if: {section.show_if}", 7, NOTE))
    paper.lines(notes, MARGIN, WIDTH - 2 * MARGIN)
    for item in section.items:
        paper.beside(_question(paper, item), _answer(paper, item, study.codelist(item)))


def _question(paper: _Paper, item: Item) -> list[Line]:
    star = " *" if item.required is not False and item.is_entered else ""
    lines = [Line(item.label.zh + star, 9, bold=item.type != "label"), Line(item.label.en, 7.5, QUIET)]
    if item.help:
        lines += [Line(item.help.zh, 7, QUIET), Line(item.help.en, 6.5, QUIET)]
    return lines + ([Line(text, 7, NOTE) for text in notes_of(item)] if paper.annotated else [])


def notes_of(item: Item) -> list[str]:
    """What the definition says of an item beside its words, one thing a line."""
    kind = f"{item.type}/{item.value_type}" if item.value_type else item.type
    found = [f"{item.name} ({kind}{f', {item.precision} decimals' if item.precision is not None else ''})"]
    for name in ("range", "soft_range"):
        if limits := getattr(item, name):
            low, high = ("…" if limit is None else plain_number(limit) for limit in limits)
            found.append(f"{name}: {low} to {high}")
    if isinstance(item.required, str):
        found.append(f"required if: {item.required}")
    for name in ("show_if", "derive", "codelist", "max_length", "lab", "ctcae", "dicom", "cdisc"):
        if text := getattr(item, name):
            found.append(f"{name}: {text}")
    found += [f"{name}: yes" for name in ("complete_date", "critical", "blinded") if getattr(item, name)]
    found += conversions(item)
    if item.file:
        found.append(f"file: {', '.join(item.file.types)}; at most {item.file.max_mb} MB")
    return found + codings(item)


def conversions(item: Item) -> list[str]:
    """How each other unit becomes the item's own."""
    found = []
    for one in item.units:
        offset = f" + {plain_number(one.offset)}" if one.offset else ""
        found.append(f"{item.unit} = {one.unit} × {plain_number(one.factor)}{offset}")
    return found


def codings(part: Item | Choice | Lab) -> list[str]:
    """The terminology codes of an item, a code or an analyte."""
    return [f"{coding.system} {coding.code}" for coding in part.codings]


def _answer(paper: _Paper, item: Item, codelist: Codelist | None) -> list[Line]:
    unit = f"  {item.unit}" if item.unit else ""
    if item.type == "label":
        return []
    if codelist and item.type in ("choice", "choices"):
        shown = codelist.choices[:MOST_CHOICES]
        lines = [line for one in shown for line in _choice(paper, one)]
        more = len(codelist.choices) - len(shown)
        return [*lines, Line(f"… +{more}: ____________________", 8.5, QUIET)] if more else lines
    if item.type == "text":
        return [Line("_" * 44, 9, RULE)] * (3 if (item.max_length or 0) > 200 else 1)
    other = "".join(f" / {one.unit}" for one in item.units)
    return [Line(f"{BLANKS.get(item.type, '__________')}{unit}{other}", 9)]


def _choice(paper: _Paper, one: Choice) -> list[Line]:
    code = f"{one.code} = " if paper.annotated else ""
    notes = [*([f"cdisc: {one.cdisc}"] if one.cdisc else []), *codings(one)] if paper.annotated else []
    words = Line(f"{BOX} {code}{one.label.zh} {_once(one.label)}", 8.5)
    return [words, *(Line(note, 7, NOTE, indent=12) for note in notes)]


def _once(label: Text) -> str:
    """The English label, unless it is the Chinese one."""
    return "" if label.en == label.zh else label.en


def _check(check: Check) -> list[Line]:
    return [
        Line(f"{check.id} ({check.severity}): {check.require}", 7, NOTE),
        Line(f"{check.message.zh} · {check.message.en}", 7, QUIET, indent=10),
    ]
