"""Views of the answers as typed columns, one per form and repeating group, for people who work in SQL.

Names and texts come from study definitions, which anybody may have written: everything is quoted by `sql`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from .layout import KEYS, Question, TableLayout
from .naming import LIMITS, adapted, unique
from .rules import Rule
from .sql import identifier, literal

SCHEMA = "analysis"
READER = "lobule_analyst"
KEY_SQL = {
    "study": "study.code",
    "site": "site.code",
    "subject": "subject.number",
    "group": "grp.code",
    "event": "visit.event",
    "repeat": "visit.repeat",
    "visited_on": "visit.occurred_on",
    "form": "record.form",
    "number": "record.repeat",
    "row": "(entry.value->>'row')::integer",
    "status": "record.status",
    "revision": "record.revision",
    "build": "build.version",
}
DAY, MONTH, YEAR = "'^[0-9]{4}-[0-9]{2}-[0-9]{2}$'", "'^[0-9]{4}-[0-9]{2}-UK$'", "'^[0-9]{4}-UK-UK$'"


def is_shown(question: Question) -> bool:
    """Views show what was recorded, without what identifies a person and without blinded items."""
    return question.rule not in (Rule.BLINDED, Rule.IDENTIFIER, Rule.FILE)


def view_names(study: str, layouts: Sequence[TableLayout], taken: Collection[str]) -> list[str]:
    """`v_<study>_<form>` of each table, within PostgreSQL's 63 characters; none is `taken` and no two are alike."""
    names: list[str] = []
    for layout in layouts:
        names.append(unique(f"v_{study}_{layout.name}".lower(), {*taken, *names}, LIMITS["sql"]))
    return names


def mark(study: str) -> str:
    """How the comment of each of a study's views begins, by which they are found again."""
    return f"lobule-records/1 {study}: "


def create_view(name: str, study: str, study_id: int, layout: TableLayout) -> Iterator[str]:
    """The statements that make one view, name what its columns mean, and let the reporting role read it."""
    place = f"{SCHEMA}.{identifier(name)}"
    columns = list(_columns(layout))
    names = adapted([column for column, _, _ in columns], "sql")
    listed = ",\n  ".join(f"{expression} AS {identifier(names[column])}" for column, expression, _ in columns)
    source = "record.data"
    rows = (
        f"CROSS JOIN LATERAL jsonb_array_elements({source}->{literal(layout.group)}) AS entry(value)\n"
        if layout.group
        else ""
    )
    yield (
        f"CREATE VIEW {place} AS SELECT\n  {listed}\nFROM public.crf_record AS record\n"
        "JOIN public.registry_visit AS visit ON visit.id = record.visit_id\n"
        "JOIN public.registry_subject AS subject ON subject.id = record.subject_id\n"
        "JOIN public.registry_site AS site ON site.id = subject.site_id\n"
        "JOIN public.registry_study AS study ON study.id = subject.study_id\n"
        "JOIN public.crf_studybuild AS build ON build.id = record.build_id\n"
        "LEFT JOIN public.registry_group AS grp ON grp.id = subject.group_id\n"
        f"{rows}WHERE subject.study_id = {int(study_id)} AND record.form = {literal(layout.form)}"
    )
    label = mark(study) + f"{layout.label.zh} / {layout.label.en}"
    yield f"COMMENT ON VIEW {place} IS {literal(label)}"
    for column, _expression, text in columns:
        yield f"COMMENT ON COLUMN {place}.{identifier(names[column])} IS {literal(text)}"
    yield f"GRANT SELECT ON {place} TO {READER}"


def _columns(layout: TableLayout) -> Iterator[tuple[str, str, str]]:
    """Name, expression and meaning of each column."""
    for key in KEYS:
        if key.name != "row" or layout.group:
            yield key.name, KEY_SQL[key.name], f"{key.label.zh} / {key.label.en}"
    source = "entry.value" if layout.group else "record.data"
    for question in layout.questions:
        if is_shown(question):
            yield from _answers(question, source)


def _answers(question: Question, source: str) -> Iterator[tuple[str, str, str]]:
    value = next(column for column in question.columns if column.part == "value")
    label = f"{value.label.zh} / {value.label.en}" + (f" ({value.unit})" if value.unit else "")
    answer = f"{source}->{literal(question.item.name)}"
    yield value.name, _typed(question.kind, answer), label
    if question.kind == "date":
        yield f"{value.name}__earliest", _earliest(answer), f"{label}: earliest day it can be"
        yield f"{value.name}__latest", _latest(answer), f"{label}: latest day it can be"
    if question.item.is_entered:
        yield f"{value.name}__missing", f"({answer})->>'missing'", f"{label}: why it is missing"
        yield f"{value.name}__reason", f"({answer})->>'reason'", f"{label}: reason given for its being missing"


def _text(answer: str) -> str:
    """The answer as text; null where it is missing for a reason."""
    return f"CASE WHEN jsonb_typeof({answer}) <> 'object' THEN ({answer}) #>> '{{}}' END"


def _typed(kind: str, answer: str) -> str:
    if kind in ("integer", "decimal"):
        return f"CASE jsonb_typeof({answer}) WHEN 'number' THEN ({answer})::numeric END"
    if kind == "choices":
        chosen = f"ARRAY(SELECT jsonb_array_elements_text({answer}))"
        return f"CASE jsonb_typeof({answer}) WHEN 'array' THEN {chosen} END"
    if kind in ("datetime", "time"):
        return f"({_text(answer)})::{'timestamp' if kind == 'datetime' else 'time'}"
    return f"({answer})->>'series'" if kind == "series" else _text(answer)


def _earliest(answer: str) -> str:
    text = f"({answer}) #>> '{{}}'"
    return (
        f"CASE WHEN {text} ~ {DAY} THEN ({text})::date"
        f" WHEN {text} ~ {MONTH} THEN (left({text}, 7) || '-01')::date"
        f" WHEN {text} ~ {YEAR} THEN (left({text}, 4) || '-01-01')::date END"
    )


def _latest(answer: str) -> str:
    text = f"({answer}) #>> '{{}}'"
    return (
        f"CASE WHEN {text} ~ {DAY} THEN ({text})::date"
        f" WHEN {text} ~ {MONTH} THEN ((left({text}, 7) || '-01')::date + interval '1 month - 1 day')::date"
        f" WHEN {text} ~ {YEAR} THEN (left({text}, 4) || '-12-31')::date END"
    )
