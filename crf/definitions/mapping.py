"""How the columns of somebody's file become items of a study: written as YAML, or guessed from the column names."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from .errors import DefinitionError, DefinitionErrors, Refusal
from .model import Part
from .pydantic_faults import explain
from .yaml_lines import BadYaml, parse


class Source(Part):
    """Where one fact of a row comes from: a column, or the same value in every row; `values` translates cells."""

    column: str | None = None
    value: str | None = None
    values: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_both(self) -> Source:
        if (self.column is None) == (self.value is None):
            raise Refusal("写 column(列名)或 value(固定值)之一", "give either `column` or `value`")
        return self

    def of(self, cells: dict[str, str]) -> str:
        """What the row says, translated; "" where the cell is empty."""
        text = self.value if self.column is None else cells.get(self.column, "")
        return self.values.get(text or "", text or "")


class Target(Part):
    """The item of one column. `values` translates cells to codes, `missing` are words that mean: no answer.

    Numbers in another unit: `unit` names one that the item declares, `factor` converts without that. `date` says how
    the column writes dates that are not year first. Of a repeating group, `row` is the row that the column fills.
    """

    item: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*\.[a-z][a-z0-9_]*$")]
    values: dict[str, str] = Field(default_factory=dict)
    missing: tuple[str, ...] = ()
    factor: float | None = None
    unit: str | None = None
    date: Literal["dmy", "mdy", "excel"] | None = None
    row: int | None = Field(default=None, ge=1, le=999)

    @model_validator(mode="after")
    def _one_conversion(self) -> Target:
        if self.factor is not None and self.unit is not None:
            raise Refusal("factor 与 unit 只写一个", "give `factor` or `unit`, not both")
        return self


Given = Annotated[Source, BeforeValidator(lambda raw: {"value": raw} if isinstance(raw, str) else raw)]
Aimed = Annotated[Target, BeforeValidator(lambda raw: {"item": raw} if isinstance(raw, str) else raw)]

STANDARD = ("subject", "site", "group", "enrolled_on", "visited_on", "event", "repeat", "form", "number", "row")


class Mapping(Part):
    """A file's columns; without `columns`, those that bear the name of an item (`albumin`, `LB.albumin`) are it.

    `match: identifier` finds subjects by the source's own identifier (kept as the keyed, encrypted hospital number);
    `number` by the study's subject number. `row` numbers the rows of repeating groups; without it they count up in
    the order of the file. Empty cells leave the stored value alone unless `empty: clear`. An answer to a question
    that does not apply given the others is refused; `hidden: keep` stores it as the source system did, with a finding.
    """

    subject: Given = Source(column="subject")
    match: Literal["number", "identifier"] = "number"
    create_subjects: bool = False
    site: Given | None = None
    group: Given | None = None
    enrolled_on: Given | None = None
    visited_on: Given | None = None
    event: Given | None = None
    repeat: Given | None = None
    form: Given | None = None
    number: Given | None = None
    row: Given | None = None
    columns: dict[str, Aimed] = Field(default_factory=dict)
    constants: dict[str, Any] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    empty: Literal["keep", "clear"] = "keep"
    hidden: Literal["refuse", "keep"] = "refuse"
    complete: bool = False

    @model_validator(mode="after")
    def _new_subjects_can_be_found_again(self) -> Mapping:
        if self.create_subjects and (self.match != "identifier" or self.enrolled_on is None):
            raise Refusal(
                "create_subjects 需要 match: identifier(编号自动生成)和 enrolled_on",
                "create_subjects needs `match: identifier` (numbers are automatic) and `enrolled_on`",
            )
        return self

    def facts(self) -> dict[str, Source]:
        return {name: source for name in STANDARD if (source := getattr(self, name)) is not None}


def read_mapping(content: bytes | str, file: str = "mapping.yaml") -> Mapping:
    """A mapping from its YAML. Raises DefinitionErrors with file and line."""
    try:
        value, lines = parse(content)
    except BadYaml as bad:
        raise DefinitionErrors(
            [DefinitionError(file, bad.line, "", bad.en, "correct the file", bad.zh, "请修改该文件")]
        ) from bad
    try:
        return Mapping.model_validate(value or {})
    except ValidationError as error:
        raise DefinitionErrors(
            [
                DefinitionError(
                    file, lines.of(fault.place), fault.item, fault.en, fault.remedy_en, fault.zh, fault.remedy_zh
                )
                for fault in explain(error, value, [*Mapping.model_fields, *Source.model_fields, *Target.model_fields])
            ]
        ) from error


def guessed(columns: tuple[str, ...]) -> Mapping:
    """The mapping of a file whose columns bear the standard names; those not needed are left out."""
    return Mapping.model_validate({name: {"column": name} for name in STANDARD if name in columns})


def layout(columns: tuple[str, ...]) -> str:
    """A hash of a file's header, whatever the order: files of one layout share a mapping."""
    return hashlib.sha256("\0".join(sorted(columns)).encode()).hexdigest()


def as_yaml(mapping: Mapping) -> str:
    """The mapping as somebody would write it, without what is left at its default."""
    content = mapping.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
