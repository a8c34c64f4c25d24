"""A study build is a value: events, forms, items and code lists, frozen, with one canonical JSON and its hash."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from .errors import Refusal
from .expressions import compile_expression
from .order import dependency_order
from .rows import address

Origin = Literal["protocol", "standard", "assumed"]
ItemType = Literal[
    "text", "integer", "decimal", "date", "time", "datetime", "choice", "choices", "file", "series", "derived",
    "label", "group",
]  # fmt: skip
ValueType = Literal["text", "integer", "decimal", "date", "choice"]
Severity = Literal["hard", "soft"]
NUMERIC = ("integer", "decimal")
UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # control characters, halves of UTF-16
MOST_REPEATS = 9999

# Words that CEL keeps for itself, and the roots of the names that PLAN gives expressions.
RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "null",
        "package",
        "namespace",
        "return",
        "true",
        "var",
        "void",
        "while",
        "bool",
        "bytes",
        "double",
        "dyn",
        "duration",
        "int",
        "list",
        "map",
        "string",
        "timestamp",
        "type",
        "uint",
        "forms",
        "events",
        "subject",
        "visit",
        "today",
    ]
)


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise Refusal(
            f"{name} 是表达式语言的保留词,请换名", f"{name!r} is a word of the expression language; choose another name"
        )
    return name


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$"), AfterValidator(_not_reserved)]
Oid = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,39}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[^\s{}][^{}]{0,63}$", strip_whitespace=True)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
# What a series' headers can answer: DICOM keywords (PS3.6), and the sequences that intake recognised.
DICOM_FACTS = (
    "AcquisitionDate",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
    "KVP",
    "SliceThickness",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "DiffusionBValue",
    "sequences",
)
DicomSource = Annotated[str, StringConstraints(pattern=rf"^([A-Z][A-Z0-9_]*\.)?({'|'.join(DICOM_FACTS)})$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$")]
# Python fills it in for each subject, so that only these two may stand in braces.
SubjectNumber = Annotated[
    str, StringConstraints(pattern=r"^(?:[^{}]|\{site\})*\{sequence(?::0[1-9]d)?\}(?:[^{}]|\{site\})*$")
]
WindowDay = Annotated[int, Field(ge=-36600, le=36600)]


class Part(BaseModel):
    """Base of every piece of a definition: frozen, and deaf to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _writable(cls, value: Any) -> Any:
        """No text holds what no database and no export can; YAML and JSON have escapes for it."""
        for text in _texts(value):
            if found := UNWRITABLE.search(text):
                code = f"U+{ord(found[0]):04X}"
                raise Refusal(f"含不可见的控制字符 {code}", f"contains the control character {code}")
        return value

    def __copy__(self) -> Self:
        """Without what was worked out of the fields, which a changed copy must work out again."""
        copied = super().__copy__()
        for key in copied.__dict__.keys() - type(self).model_fields.keys():
            if key != "_home":
                del copied.__dict__[key]
        return copied


def _texts(value: Any) -> Iterator[str]:
    """The texts in plain values, keys too; pieces of the definition have looked after their own."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


class Text(Part):
    """One text in the two languages of the product; both are required."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)

    def of(self, language: str) -> str:
        """The text for a Django language code such as `zh-hans` or `en`."""
        return self.zh if language.lower().startswith("zh") else self.en


class Coding(Part):
    """A concept of a terminology: system (LOINC, SNOMED CT, MedDRA, NCIt, ICD-10 …), its code, its name there."""

    system: str = Field(min_length=1, max_length=80)
    code: str = Field(min_length=1, max_length=80)
    name: str | None = None


# What a foreign format calls this piece, and what of it has no place here, kept word for word: {"odm": "IT.AGE"}.
Aliases = dict[str, str]


class Choice(Part):
    code: Code
    label: Text
    cdisc: str | None = None
    codings: tuple[Coding, ...] = ()
    alias: Aliases = Field(default_factory=dict)


class Codelist(Part):
    name: Text
    choices: tuple[Choice, ...] = Field(min_length=1)
    cdisc: str | None = None
    codings: tuple[Coding, ...] = ()
    alias: Aliases = Field(default_factory=dict)
    origin: Origin | None = None

    def codes(self) -> list[str]:
        return [choice.code for choice in self.choices]

    @functools.cached_property
    def by_code(self) -> dict[str, Choice]:
        """The choices by code; of a code that a faulty list has twice, the first."""
        return {choice.code: choice for choice in reversed(self.choices)}

    def choice(self, code: str) -> Choice | None:
        return self.by_code.get(code)


Range = Annotated[tuple[float | None, float | None], Field(description="[lowest, highest]; null = open")]


class UnitConversion(Part):
    """Another unit in which the item may be entered; stored is `entered × factor + offset`, in the item's own unit."""

    unit: str = Field(min_length=1, max_length=40)
    factor: float = Field(gt=0)
    offset: float = 0.0


class FileRule(Part):
    """What a file item takes: extensions without the dot, and the largest size."""

    types: tuple[str, ...] = Field(default=("pdf", "jpg", "png"), min_length=1)
    max_mb: int = Field(default=20, ge=1, le=200)


class Item(Part):
    """One question of a form, or a value derived from others.

    `help` is the short line under the question, `definition` what is meant, `guideline` how to complete it.
    """

    name: Name
    type: ItemType
    label: Text
    help: Text | None = None
    definition: Text | None = None
    guideline: Text | None = None
    codings: tuple[Coding, ...] = ()
    critical: bool = Field(default=False, description="verified against the source under a plan of critical items")
    units: tuple[UnitConversion, ...] = ()
    file: FileRule | None = None
    complete_date: bool = Field(default=False, description="a date whose day and month are known; UK is refused")
    lab: str | None = Field(default=None, description="analyte of `labs`, whose normal range applies")
    ctcae: str | None = Field(default=None, description="CTCAE term that grades the result")
    alias: Aliases = Field(default_factory=dict)
    unit: str | None = None
    precision: int | None = Field(default=None, ge=0, le=10)
    codelist: str | None = None
    required: bool | Expression = False
    show_if: Expression | None = None
    range: Range | None = None
    soft_range: Range | None = None
    derive: Expression | None = None
    value_type: ValueType | None = None
    max_length: int | None = Field(default=None, ge=1, le=20000)
    cdisc: str | None = None
    dicom: DicomSource | None = Field(default=None, description="[SEQUENCE.]Keyword that fills the item")
    role: Literal["identifier", "predictor", "outcome", "time", "none"] = "none"
    blinded: bool = False
    origin: Origin | None = None

    @property
    def value_kind(self) -> str:
        """The type of the stored value: `value_type` of a derived item, else `type`."""
        return self.value_type or self.type if self.type == "derived" else self.type

    @property
    def is_entered(self) -> bool:
        """True where a person answers; labels and derived items are not entered, a group is (its rows)."""
        return self.type not in ("derived", "label")

    @property
    def dicom_source(self) -> tuple[str, str]:
        """Sequence (empty: any) and DICOM keyword of `dicom`; both empty where it has none."""
        sequence, _, keyword = (self.dicom or "").rpartition(".")
        return sequence, keyword


class Rows(Part):
    """Makes a section a repeating group: its answers are rows, kept as a list under `name` in the record's data."""

    name: Name
    min: int = Field(default=0, ge=0, le=999)
    max: int = Field(default=100, ge=1, le=999)


class Section(Part):
    name: Text
    help: Text | None = None
    show_if: Expression | None = None
    rows: Rows | None = None
    items: tuple[Item, ...] = Field(min_length=1)
    alias: Aliases = Field(default_factory=dict)


class Check(Part):
    """A rule between items: when `require` is false, a finding on `items`."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,39}$")]
    items: tuple[str, ...] = Field(min_length=1)
    require: Expression
    severity: Severity = "soft"
    query: bool = Field(default=False, description="a finding of this check opens a query when it is saved")
    message: Text
    alias: Aliases = Field(default_factory=dict)
    origin: Origin | None = None


class Form(Part):
    oid: Oid
    name: Text
    help: Text | None = None
    repeating: bool = False
    double_entry: bool = Field(default=False, description="entered twice, by two people, and compared")
    sections: tuple[Section, ...] = Field(min_length=1)
    checks: tuple[Check, ...] = ()
    alias: Aliases = Field(default_factory=dict)
    origin: Origin | None = None

    @functools.cached_property
    def items(self) -> dict[str, Item]:
        """Items by name, in the order of the form; a repeating group is one item of type `group`."""
        found: dict[str, Item] = {}
        for section in self.sections:
            if section.rows:
                found[section.rows.name] = Item(name=section.rows.name, type="group", label=section.name)
            else:
                found |= {item.name: item for item in section.items}
        return found

    @property
    def study(self) -> StudyDefinition | None:
        """The study that the form is part of; None for a form that stands alone."""
        home: _Home | None = self.__dict__.get("_home")
        return home.study if home else None

    @functools.cached_property
    def groups(self) -> dict[str, Section]:
        """The repeating groups by name; their `items` are the columns of their rows."""
        return {section.rows.name: section for section in self.sections if section.rows}

    @functools.cached_property
    def group_of(self) -> dict[str, str]:
        """By item inside a repeating group, that group's name."""
        return {item.name: name for name, section in self.groups.items() for item in section.items}

    @functools.cached_property
    def questions(self) -> dict[str, Item]:
        """All items by name, those inside groups too and the groups themselves not, in the order of the form."""
        return {item.name: item for section in self.sections for item in section.items}

    @functools.cached_property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """By item and group, the expressions that must all be true for it to be shown: its section's and its own."""
        found: dict[str, tuple[str, ...]] = {}
        for section in self.sections:
            outer = (section.show_if,) if section.show_if else ()
            if section.rows:
                found[section.rows.name], outer = outer, ()
            for item in section.items:
                found[item.name] = (*outer, item.show_if) if item.show_if else outer
        return found

    @functools.cached_property
    def renewed(self) -> frozenset[str]:
        """The names of a record's data that evaluation may change: derived items, and groups that hold some."""
        derived = {name for name, item in self.questions.items() if item.type == "derived"}
        return frozenset(self.group_of.get(name, name) for name in derived)

    def needs(self, item: Item) -> list[str]:
        """The names that an item's visibility and derivation read, dotted where they are not of this form.

        A group needs what its rows read outside of them.
        """
        texts = [*self.conditions[item.name], *([item.derive] if item.derive else [])]
        found = [name for text in texts for name in compile_expression(text).names]
        if item.type == "group":
            inner = self.groups[item.name].items
            own = {one.name for one in inner}
            found += [name for one in inner for name in self.needs(one) if name not in own]
        return found

    @functools.cached_property
    def order(self) -> tuple[str, ...]:
        """Items in the order in which they can be evaluated."""
        return tuple(dependency_order({name: self.needs(item) for name, item in self.items.items()}))

    def row_order(self, group: str) -> tuple[Item, ...]:
        """The items of a group's rows in the order in which they can be evaluated."""
        items = {item.name: item for item in self.groups[group].items}
        return tuple(items[name] for name in dependency_order({name: self.needs(one) for name, one in items.items()}))

    def may_be_number(self, number: int) -> bool:
        """Whether a record of this form can be the `number`-th at its visit."""
        return 1 <= number <= (MOST_REPEATS if self.repeating else 1)

    def has(self, name: str) -> bool:
        """Whether the form has an item of this name or address."""
        try:
            return bool(self.item(name))
        except NotInDefinition:
            return False

    def item(self, name: str) -> Item:
        """The item of a name, or of an address such as `meds[3].dose`. Raises NotInDefinition."""
        place = address(name)
        found = self.questions.get(place.item) if place and place.row else self.items.get(name)
        if found is None or (place and place.row and self.group_of.get(place.item) != place.name):
            raise NotInDefinition(f"form {self.oid} has no item {name}")
        return found


class _Home:
    """A form's study, out of sight of comparisons: two forms are equal by what they ask, wherever they stand."""

    def __init__(self, study: StudyDefinition) -> None:
        self.study = study


class Event(Part):
    """A planned visit, a visit that may repeat, or a log without a date such as adverse events."""

    oid: Oid
    name: Text
    kind: Literal["scheduled", "repeating", "unscheduled", "log"] = "scheduled"
    anchor: str | None = None
    day: int | None = Field(default=None, ge=-3660, le=36600)
    window: tuple[WindowDay, WindowDay] | None = None
    every: int | None = Field(default=None, ge=1, le=3660, description="days between repeats")
    forms: tuple[str, ...] = Field(min_length=1)
    optional: bool = False
    groups: tuple[str, ...] = ()
    alias: Aliases = Field(default_factory=dict)
    origin: Origin | None = None

    @model_validator(mode="after")
    def _dates_belong_to_planned_events(self) -> Event:
        if self.kind == "scheduled" and (self.anchor is None or self.day is None):
            raise Refusal("定期访视需要 anchor 和 day", "a scheduled event needs `anchor` and `day`")
        if self.kind == "log" and (self.day is not None or self.window or self.anchor):
            raise Refusal(
                "log 没有日期:去掉 anchor、day 和 window", "a log has no date: leave out `anchor`, `day` and `window`"
            )
        if self.window and self.window[0] > self.window[1]:
            raise Refusal(
                "window 应从较早的一天到较晚的一天,如 [-7, 7]",
                "`window` runs from the earlier to the later day, such as [-7, 7]",
            )
        return self


class Site(Part):
    code: Code
    name: Text
    target: int | None = Field(default=None, ge=0)
    origin: Origin | None = None
    coordinating: bool = False


class Group(Part):
    code: Oid
    name: Text
    target: int | None = Field(default=None, ge=0)
    origin: Origin | None = None


class Named(Part):
    code: str = Field(min_length=1)
    name: Text
    required: bool = False
    origin: Origin | None = None


class Imaging(Part):
    modality: str
    sequences: tuple[Named, ...] = ()
    rois: tuple[Named, ...] = ()
    readers: int = Field(default=1, ge=1)
    event: str | None = None
    origin: Origin | None = None


class NormalRange(Part):
    """Normal limits of an analyte for whom they hold: sex (its code), age in years [from, below), site; empty = all."""

    low: float | None = None
    high: float | None = None
    unit: str
    sex: str | None = None
    age: Range | None = None
    site: str | None = None
    origin: Origin | None = None


class Lab(Part):
    """An analyte with its normal ranges; the most specific range that fits a subject applies."""

    name: Text
    ranges: tuple[NormalRange, ...] = Field(min_length=1)
    codings: tuple[Coding, ...] = ()


class Capture(Part):
    """How the study captures: which items tell sex and age for normal ranges, whether soft findings become queries."""

    sex: str | None = Field(default=None, description="FORM.item whose codes the normal ranges use")
    age: str | None = Field(default=None, description="FORM.item in years")
    baseline: str | None = Field(default=None, description="event whose results are the baseline of CTCAE grades")
    soft_to_query: bool = False


QualityRule = Literal[
    "duplicate_subject", "future_date", "visit_order", "outside_window", "far_from_visit", "outlier", "site_shift",
    "digit_preference", "missingness",
]  # fmt: skip


class Quality(Part):
    """The rules that look over all records every night: their limits, and which of them open queries.

    `outlier_z` is the modified z-score above which a value stands out; `missing_share` (0-1) the share of an item's
    values that a site may miss; `days_from_visit` how far the date of an examination may lie from its visit.
    """

    off: tuple[QualityRule, ...] = ()
    to_query: tuple[QualityRule, ...] = ("future_date", "visit_order", "far_from_visit")
    outlier_z: float = Field(default=5.0, gt=1)
    missing_share: float = Field(default=0.2, gt=0, le=1)
    days_from_visit: int = Field(default=60, ge=1, le=3660)


class StudyFile(Part):
    """What study.yaml holds: all of a study but its forms and code lists."""

    code: Oid
    version: Version
    title: Text
    short_title: Text | None = None
    registration_number: str = ""
    protocol: dict[str, Any] = Field(default_factory=dict)
    subject_number: SubjectNumber = "{site}-{sequence:04d}"
    synthetic: bool = False
    sites: tuple[Site, ...] = Field(min_length=1)
    groups: tuple[Group, ...] = ()
    events: tuple[Event, ...] = Field(min_length=1)
    imaging: Imaging | None = None
    labs: dict[str, Lab] = Field(default_factory=dict)
    capture: Capture = Field(default_factory=Capture)
    quality: Quality = Field(default_factory=Quality)
    alias: Aliases = Field(default_factory=dict)


class StudyDefinition(StudyFile):
    """One version of a study, complete: what a build stores and everything else reads."""

    forms: tuple[Form, ...] = Field(min_length=1)
    codelists: dict[str, Codelist] = Field(default_factory=dict)

    def model_post_init(self, context: Any) -> None:
        """Tell each form its study: normal ranges belong to the study, and findings of a form need them."""
        for form in self.forms:
            form.__dict__["_home"] = _Home(self)

    @functools.cached_property
    def _forms(self) -> dict[str, Form]:
        return {form.oid: form for form in self.forms}

    @functools.cached_property
    def readers(self) -> dict[str, frozenset[str]]:
        """By form, the forms whose derived items read it."""
        found: dict[str, set[str]] = {}
        for form, item in self.items():
            for name in form.needs(item) if item.name in form.renewed else []:
                for part in name.split(".")[1:-1]:
                    found.setdefault(part, set()).add(form.oid)
        return {oid: frozenset(forms) for oid, forms in found.items()}

    def form(self, oid: str) -> Form:
        try:
            return self._forms[oid]
        except KeyError:
            raise NotInDefinition(f"study {self.code} {self.version} has no form {oid}") from None

    def event(self, oid: str) -> Event:
        for event in self.events:
            if event.oid == oid:
                return event
        raise NotInDefinition(f"study {self.code} {self.version} has no event {oid}")

    def codelist(self, item: Item) -> Codelist | None:
        return self.codelists.get(item.codelist) if item.codelist else None

    def items(self) -> Iterator[tuple[Form, Item]]:
        for form in self.forms:
            for item in form.items.values():
                yield form, item

    def canonical_json(self) -> str:
        """The same definition gives the same text: sorted keys, no spaces, no unset values."""
        return canonical(self.model_dump(mode="json", exclude_defaults=True))

    def sha256(self) -> str:
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, stored: str | dict[str, Any]) -> StudyDefinition:
        """Read a stored build again; it was checked when it was published."""
        return cls.model_validate(json.loads(stored) if isinstance(stored, str) else stored)


class NotInDefinition(LookupError):
    """A form, event or item that the study's definition does not have."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; a whole float is written as an integer, so JSONB cannot change the text."""
    return json.dumps(_whole(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(inner) for inner in value]
    return value


def json_schema() -> dict[str, Any]:
    """JSON Schema of the files of a study folder, for editors: study, form and code list."""
    return {
        "study.yaml": StudyFile.model_json_schema(),
        "forms/*.yaml": Form.model_json_schema(),
        "codelists.yaml": {
            "type": "object",
            "additionalProperties": Codelist.model_json_schema(),
        },
    }
