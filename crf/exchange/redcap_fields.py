"""REDCap's own words: the 18 columns of a data dictionary, its field types, validations and action tags."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

COLUMNS = (
    "Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label",
    "Choices, Calculations, OR Slider Labels", "Field Note", "Text Validation Type OR Show Slider Number",
    "Text Validation Min", "Text Validation Max", "Identifier?", "Branching Logic (Show field only if...)",
    "Required Field?", "Custom Alignment", "Question Number (surveys only)", "Matrix Group Name", "Matrix Ranking?",
    "Field Annotation",
)  # fmt: skip
# The same columns as the API and other tools name them, in the same order.
API_COLUMNS = (
    "field_name", "form_name", "section_header", "field_type", "field_label", "select_choices_or_calculations",
    "field_note", "text_validation_type_or_show_slider_number", "text_validation_min", "text_validation_max",
    "identifier", "branching_logic", "required_field", "custom_alignment", "question_number", "matrix_group_name",
    "matrix_ranking", "field_annotation",
)  # fmt: skip


@dataclass(frozen=True)
class DictionaryRow:
    """One field, as a row of the dictionary says it; `line` is where it stands in the file."""

    variable: str
    form: str
    section: str = ""
    type: str = "text"
    label: str = ""
    choices: str = ""
    note: str = ""
    validation: str = ""
    minimum: str = ""
    maximum: str = ""
    identifier: str = ""
    branching: str = ""
    required: str = ""
    alignment: str = ""
    question: str = ""
    matrix: str = ""
    ranking: str = ""
    annotation: str = ""
    line: int = field(default=0, compare=False)

    def cells(self) -> list[str]:
        """The 18 cells in the order of COLUMNS."""
        return [getattr(self, name) for name in ROW]


ROW = tuple(name for name in DictionaryRow.__dataclass_fields__ if name != "line")

# Each field type as an item's type; what a text holds depends on its validation.
TYPES = {
    "text": "text", "notes": "text", "calc": "derived", "dropdown": "choice", "radio": "choice",
    "checkbox": "choices", "yesno": "choice", "truefalse": "choice", "file": "file", "slider": "integer",
    "descriptive": "label", "sql": "text",
}  # fmt: skip
# Other names of the same: project XML says select and textarea.
TYPE_NAMES = {"select": "dropdown", "textarea": "notes", "signature": "file"}
TWO_CHOICES = {
    "yesno": (("1", "是", "Yes"), ("0", "否", "No")),
    "truefalse": (("1", "真", "True"), ("0", "假", "False")),
}
VALIDATION_NAMES = {"int": "integer", "float": "number", "date": "date_ymd", "datetime": "datetime_ymd"}
NUMBERS = re.compile(r"number(?:_(?P<digits>[1-4])dp)?(?:_comma_decimal)?$")
DATES = re.compile(r"(?P<kind>date|datetime|datetime_seconds)_(?P<order>ymd|mdy|dmy)$")
# What texts of a validation look like; a finding where they do not. Types of one country that are not here are kept.
PATTERNS = {
    "email": r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
    "phone": r"^[+(]?[0-9][0-9 ().+-]{6,}( ?(x|ext\.?) ?[0-9]+)?$",
    "zipcode": r"^[0-9]{5}(-[0-9]{4})?$",
    "ssn": r"^[0-9]{3}-?[0-9]{2}-?[0-9]{4}$",
    "alpha_only": r"^[A-Za-z]+$",
    "postalcode_australia": r"^[0-9]{4}$",
    "postalcode_canada": r"^[A-Za-z][0-9][A-Za-z] ?[0-9][A-Za-z][0-9]$",
    "postalcode_french": r"^[0-9]{5}$",
    "postalcode_germany": r"^[0-9]{5}$",
    "mrn_10d": r"^[0-9]{10}$",
    "vmrn": r"^[0-9]{4,9}$",
    "time_hh_mm_ss": r"^([01]?[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$",
    "time_mm_ss": r"^[0-5]?[0-9]:[0-5][0-9]$",
    "datetime_seconds_ymd": r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$",
    "datetime_seconds_mdy": r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$",
    "datetime_seconds_dmy": r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$",
}


def validated_type(validation: str) -> tuple[str, int | None]:
    """The item type of a text field with this validation, and its decimals where the validation fixes them."""
    dated = DATES.match(validation)
    if dated:
        # Seconds have no place in a datetime here; as text the whole value stays.
        return ("text" if dated["kind"] == "datetime_seconds" else dated["kind"]), None
    number = NUMBERS.match(validation)
    if number:
        return "decimal", int(number["digits"]) if number["digits"] else None
    return {"integer": "integer", "time": "time", "time_hh_mm": "time"}.get(validation, "text"), None


def choices(text: str) -> list[tuple[str, str]]:
    """`1, one | 2, two` as pairs of code and label; a choice without a comma is its own label."""
    found = []
    for part in re.split(r"[|\n]", text):
        code, comma, label = part.partition(",")
        if code.strip():
            found.append((code.strip(), label.strip() if comma else code.strip()))
    return found


TAG = re.compile(r"@([A-Z][A-Z0-9_-]*)")


def tags(annotation: str) -> Iterator[tuple[str, str]]:
    """The action tags of an annotation with their arguments: `@CALCTEXT(…)`, `@DEFAULT='1'`, `@HIDDEN`.

    After a bracket that nothing closes, no tag has an argument in brackets: looking for each would take for ever.
    """
    at, closed = 0, True
    while match := TAG.search(annotation, at):
        at = match.end()
        if annotation[at : at + 1] != "(":
            argument, at = _assigned(annotation, at)
            yield match[1], argument
            continue
        end = _closing(annotation, at) if closed else 0
        closed = bool(end)
        yield match[1], annotation[at + 1 : end].strip() if end else ""
        at = end or at


def _assigned(text: str, at: int) -> tuple[str, int]:
    given = re.compile(r"\s*=\s*('[^']*'|\"[^\"]*\"|[^\s'\"]+)").match(text, at)
    return (given[1].strip("'\""), given.end()) if given else ("", at)


def _closing(text: str, at: int) -> int:
    """Where the bracket that opens at `at` closes, outside of quotes; 0 where it does not."""
    depth, quote = 0, ""
    for index in range(at, len(text)):
        character = text[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0:
                return index
    return 0


def readable(text: str) -> str:
    """A label without its HTML, on as many lines as it has paragraphs."""
    for tag in ("style", "script"):
        text = _without(text, tag)
    text = re.sub(r"</(p|div|li|tr|h\d)\s*>|<br\s*/?>", "\n", text, flags=re.IGNORECASE)
    text = html.unescape(re.sub(r"</?[A-Za-z][^<>]*>", "", text))
    lines = (" ".join(line.split()) for line in text.replace("\xa0", " ").splitlines())
    return "\n".join(line for line in lines if line)


def _without(text: str, tag: str) -> str:
    """A text without what stands from `<tag` to `</tag>`."""
    *_, last = [0, *(match.end() for match in re.finditer(rf"</{tag}\s*>", text, re.IGNORECASE))]
    inner = re.sub(rf"<{tag}\b.*?</{tag}\s*>", " ", text[:last], flags=re.IGNORECASE | re.DOTALL)
    return inner + text[last:]


def titled(name: str) -> str:
    """A form's name as REDCap shows it where nobody gave it a title."""
    return " ".join(word.capitalize() for word in name.split("_") if word) or name
