"""A REDCap project as a study definition; what has no place there goes to `alias` word for word, or to the report."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .logic import quoted, translate
from .logic_parse import Untranslatable
from .loss import Fate, Imported, Loss, refused
from .naming import Names
from .numbers import read_number, read_whole
from .redcap_fields import (
    DATES,
    PATTERNS,
    TWO_CHOICES,
    TYPES,
    DictionaryRow,
    choices,
    readable,
    tags,
    titled,
    validated_type,
)
from .redcap_parts import MOST_SITE_CODE, Project, unique_group
from .redcap_reach import FormReach, Reach, ReachEvent, Variable, smart_variables
from .settle import settle

Raw = dict[str, Any]
CLASSIC = "event_1_arm_1"
MOST_CODE = 64
NOTES_LENGTH = 20_000
# What an item of each type is called in REDCap where nothing else is said.
DEFAULT_TYPES = {
    "text": "text", "integer": "text", "decimal": "text", "date": "text", "time": "text", "datetime": "text",
    "choice": "radio", "choices": "checkbox", "derived": "calc", "label": "descriptive", "file": "file",
}  # fmt: skip
# Why an action tag has no effect here.
TAG_REASONS = {
    "HIDDEN": ("隐藏的字段在此仍显示", "a field that REDCap hides is shown here"),
    "READONLY": ("只读字段在此可填写", "a field that is read-only there can be filled in here"),
    "DEFAULT": ("没有默认值:每个值都由人填写", "there are no defaults: a person gives each value"),
    "TODAY": ("不自动填入日期", "today's date is not filled in"),
    "NOW": ("不自动填入时间", "the present time is not filled in"),
}
TAG_OTHER = ("没有与该标记相当的功能", "there is no equal of this action tag")


def both(text: str) -> Raw:
    """A text of one language for both."""
    return {"zh": text, "en": text}


def build(project: Project, *, file: str, code: str, version: str) -> Imported:
    """The project's study definition, verified, with the report of what did not come along."""
    return _Builder(project, file, code, version).build()


@dataclass
class Planned:
    """One field: where it goes and what it becomes."""

    row: DictionaryRow
    form: str
    name: str
    kind: str
    precision: int | None = None
    codelist: str = ""
    codes: dict[str, str] = field(default_factory=dict)
    derive: str = ""

    @property
    def derived(self) -> bool:
        return bool(self.derive)


class _Builder:
    def __init__(self, project: Project, file: str, code: str, version: str) -> None:
        self.project = project
        self.file = file
        self.code = code or Names(upper=True, first="S", most=40).spelt(project.title)
        self.version = version
        self.losses = list(project.losses)
        self.codelists: dict[str, Raw] = {}
        self.same: dict[tuple[Any, ...], str] = {}
        self.oids = self.named_forms()
        self.plan = self.planned()
        self.events = self.planned_events()
        self.sites = self.planned_sites()
        self.reached = self.reach()

    def lose(self, fate: Fate, element: str, row: DictionaryRow, what: str, zh: str, en: str) -> None:
        self.losses.append(Loss(fate, element, row.variable, what, zh, en, row.line))

    def refuse(self, row: DictionaryRow, zh: str, en: str, remedy_zh: str, remedy_en: str) -> Exception:
        return refused(self.file, row.line, row.variable, zh, en, remedy_zh, remedy_en)

    def build(self) -> Imported:
        self.calculate()
        forms = [self.form(form) for form in self.oids]
        title = readable(self.project.title)[:300] or self.code
        alias = {"redcap": self.project.title, "redcap:record_id": self.project.rows[0].variable}
        if self.project.missing:
            alias["redcap:missing"] = " | ".join(f"{one.code}, {one.label}" for one in self.project.missing)
        raw: Raw = {
            "code": self.code,
            "version": self.version,
            "title": both(title),
            "sites": self.sites,
            "groups": self.groups(),
            "events": self.events,
            "forms": forms,
            "codelists": self.codelists,
            "alias": alias,
        }
        return settle(raw, self.losses, file=self.file)

    # Names

    def named_forms(self) -> dict[str, str]:
        taken = Names(upper=True, first="F")
        return {form: taken.take(form) for form in dict.fromkeys(row.form for row in self.project.rows)}

    def planned(self) -> dict[str, Planned]:
        taken = {form: Names() for form in self.oids}
        found: dict[str, Planned] = {}
        for row in self.project.rows:
            if row.variable in found:
                before = found[row.variable].row.line
                raise self.refuse(
                    row,
                    f"变量名“{row.variable}”与第{before}行重复",
                    f"the variable {row.variable!r} is already in row {before}",
                    "变量名在项目中须唯一",
                    "a variable's name is unique in the project",
                )
            found[row.variable] = self.one(row, taken[row.form].take(row.variable))
        return found

    def one(self, row: DictionaryRow, name: str) -> Planned:
        if row.type not in TYPES:
            known = ", ".join(TYPES)
            raise self.refuse(row, f"没有字段类型“{row.type}”", f"there is no field type {row.type!r}",
                              f"可用:{known}", f"there are: {known}")  # fmt: skip
        kind, precision = TYPES[row.type], None
        if row.type == "text":
            kind, precision = validated_type(row.validation)
            self.note_validation(row)
        planned = Planned(row, row.form, name, kind, precision)
        if kind == "derived":
            planned.kind = "decimal"
        if row.type == "sql":
            self.lose("kept", "sql", row, row.choices, "SQL 选项不导入,改为文字", "a list read by SQL becomes a text")
        if kind in ("choice", "choices"):
            self.give_codelist(planned)
        return planned

    def note_validation(self, row: DictionaryRow) -> None:
        known = validated_type(row.validation)[0] != "text" or row.validation in ("", *PATTERNS)
        if DATES.match(row.validation) and "seconds" in row.validation:
            self.lose(
                "changed",
                "validation",
                row,
                row.validation,
                "含秒的日期时间作为文字保存并检查格式",
                "a date-time with seconds is kept as a text of that form",
            )
        elif not known:
            self.lose(
                "kept",
                "validation",
                row,
                row.validation,
                "没有与该校验相当的规则",
                "there is no equal of this validation",
            )

    # Code lists

    def give_codelist(self, planned: Planned) -> None:
        row = planned.row
        if row.type in TWO_CHOICES:
            listed = [(code, zh, en) for code, zh, en in TWO_CHOICES[row.type]]
            name = row.type
        else:
            listed = [(code, readable(label) or code, readable(label) or code) for code, label in choices(row.choices)]
            name = planned.name
        if not listed:
            planned.kind = "text"
            self.lose(
                "changed", "choices", row, "", "没有选项的选择题改为文字", "a choice without choices becomes a text"
            )
            return
        self.check_codes(row, [code for code, _zh, _en in listed])
        key = tuple(listed)
        if key not in self.same:
            self.same[key] = name if name not in self.codelists else f"{name}_{len(self.codelists)}"
            self.codelists[self.same[key]] = {
                "name": both(self.same[key]),
                "choices": [{"code": code, "label": {"zh": zh, "en": en}} for code, zh, en in listed],
            }
        planned.codelist = self.same[key]
        planned.codes = {code: code for code, _zh, _en in listed}

    def check_codes(self, row: DictionaryRow, codes: list[str]) -> None:
        twice = [code for code, count in Counter(codes).items() if count > 1]
        strange = [code for code in codes if len(code) > MOST_CODE or re.search(r"[{}]", code)]
        if twice:
            raise self.refuse(row, f"选项代码“{twice[0]}”重复", f"the code {twice[0]!r} is used twice",
                              "每个选项一个代码", "give each choice its own code")  # fmt: skip
        if strange:
            shown = strange[0][:40]
            raise self.refuse(row, f"选项代码“{shown}”过长或含 {{}}", f"the code {shown!r} is too long or holds {{}}",
                              f"代码不超过{MOST_CODE}个字符", f"a code has at most {MOST_CODE} characters")  # fmt: skip

    # Events

    def planned_events(self) -> list[Raw]:
        oids = Names(upper=True, first="E")
        arms = len(self.project.arms) > 1
        events: list[Raw] = []
        for event in self.project.events:
            forms = [self.oids[form] for form in dict.fromkeys(event.forms) if form in self.oids]
            if not forms:
                zh, en = "没有表单的访视不导入", "an event without forms is left out"
                self.losses.append(Loss("dropped", "StudyEventDef", event.unique, event.name, zh, en))
                continue
            repeating = event.unique in self.project.repeating_events
            events.append({
                "oid": oids.take(event.unique),
                "name": both(readable(event.name) or event.unique),
                "kind": "repeating" if repeating else "scheduled",
                "anchor": "enrolment",
                "day": max(-3660, min(36600, event.day)),
                "forms": forms,
                "alias": {"redcap": event.unique},
                **({"window": [-event.before, event.after]} if event.before or event.after else {}),
                **({"groups": [f"ARM_{event.arm}"]} if arms else {}),
            })  # fmt: skip
        placed = {form for event in events for form in event["forms"]}
        left = [oid for oid in self.oids.values() if oid not in placed]
        if left:
            events.append(self.other_event(oids, left, classic=not self.project.events))
        return events

    def other_event(self, oids: Names, forms: list[str], *, classic: bool) -> Raw:
        """The one event of a classic project; or the place of forms that REDCap has in none."""
        what = ", ".join(forms)
        if classic:
            zh, en = "没有访视计划:全部表单放入一次访视", "there is no plan of visits: all forms go into one event"
            event = {"oid": oids.take("EVENT_1"), "name": {"zh": "访视1", "en": "Event 1"}, "kind": "scheduled",
                     "anchor": "enrolment", "day": 0, "alias": {"redcap": CLASSIC}}  # fmt: skip
        else:
            zh, en = "不在任何访视中的表单放入计划外访视", "forms of no event go into an unscheduled one"
            event = {
                "oid": oids.take("UNASSIGNED"),
                "name": {"zh": "未安排", "en": "Not assigned"},
                "kind": "unscheduled",
            }
        self.losses.append(Loss("assumed", "event", str(event["oid"]), what, zh, en))
        return event | {"forms": forms}

    def groups(self) -> list[Raw]:
        if len(self.project.arms) < 2:
            return []
        return [
            {"code": f"ARM_{arm.number}", "name": both(arm.name or f"Arm {arm.number}")} for arm in self.project.arms
        ]

    def planned_sites(self) -> list[Raw]:
        if self.project.sites:
            codes = Names(first="s", most=MOST_SITE_CODE)
            return [{"code": codes.take(unique_group(name)), "name": both(name)} for name in self.project.sites]
        zh, en = "文件没有中心(数据访问组):假定一个中心", "the file has no data access groups: one site is assumed"
        self.losses.append(Loss("assumed", "site", "01", "", zh, en))
        return [{"code": "01", "name": {"zh": "中心 1", "en": "Site 1"}}]

    def reach(self) -> Reach:
        """What logic can read, as the fields are planned so far."""
        variables = {
            name: Variable(self.oids[one.form], one.name, one.kind, one.codes) for name, one in self.plan.items()
        }
        events = [
            ReachEvent(one["oid"], one.get("alias", {}).get("redcap", ""), frozenset(one["forms"]),
                       one["kind"] == "repeating") for one in self.events
        ]  # fmt: skip
        arms = [arm.number for arm in self.project.arms] if len(self.project.arms) > 1 else []
        facts = smart_variables(
            events,
            arms,
            {unique_group(one["name"]["en"]): one["code"] for one in self.sites} if self.project.sites else {},
        )
        repeating = frozenset(self.oids[form] for form in self.project.repeating if form in self.oids)
        return Reach(variables, events, repeating, facts)

    def fields(self, planned: Planned) -> FormReach:
        return self.reached.of(self.oids[planned.form])

    # Calculations

    def calculate(self) -> None:
        """Translate calc fields and @CALCTEXT; twice, since what one gives decides how another reads it."""
        wanted = [(planned, text) for planned in self.plan.values() if (text := _calculation(planned.row))]
        for _ in range(2):
            for planned, text in wanted:
                made = translate(text, "redcap", self.fields(planned), want="value")
                planned.derive = made.cel or ""
                if made.cel:
                    planned.kind = {"number": "decimal", "choice": "text"}.get(made.kind, made.kind)
            self.reached = self.reach()
        for planned, text in wanted:
            made = translate(text, "redcap", self.fields(planned), want="value")
            planned.derive = made.cel or ""
            if planned.kind not in ("decimal", "text", "date"):
                planned.derive, planned.kind = "", "text"
            if not planned.derive:
                zh, en = made.zh or "结果类型不支持", made.en or "a result of a kind that is not stored"
                self.lose(
                    "kept", "calculation", planned.row, text, f"不计算,由人填写:{zh}", f"entered, not calculated: {en}"
                )

    # Forms

    def form(self, form: str) -> Raw:
        mine = [planned for planned in self.plan.values() if planned.form == form]
        title = readable(self.project.form_titles.get(form, "")) or titled(form)
        checks: list[Raw] = []
        sections: list[Raw] = []
        for planned in mine:
            if planned.row.section or not sections:
                sections.append(self.section(planned.row, title))
            sections[-1]["items"].append(self.item(planned, checks))
        oid = self.oids[form]
        raw: Raw = {"oid": oid, "name": both(title), "sections": sections, "checks": checks}
        raw["alias"] = {"redcap": form} if oid.lower() != form else {}
        if form in self.project.repeating:
            raw["repeating"] = True
            self.note_repeats(form, oid)
        return raw

    def note_repeats(self, form: str, oid: str) -> None:
        named = set(self.project.repeating[form])
        mine = [event for event in self.events if oid in event["forms"]]
        others = [event for event in mine if event.get("alias", {}).get("redcap") not in named]
        if others and self.project.events:
            what = ", ".join(event["oid"] for event in others)
            zh, en = (
                "该表单在所有访视中都可重复",
                "here the form repeats in all its events, also where REDCap has it once",
            )
            self.losses.append(Loss("changed", "RepeatingInstrument", oid, what, zh, en))

    def section(self, row: DictionaryRow, title: str) -> Raw:
        shown = readable(row.section) or title
        alias = {"redcap": row.section} if row.section and row.section != shown else {}
        return {"name": both(shown), "items": [], "alias": alias}

    def item(self, planned: Planned, checks: list[Raw]) -> Raw:
        row = planned.row
        label = readable(row.label) or planned.name
        note = readable(row.note)
        raw: Raw = {"name": planned.name, "type": "derived" if planned.derived else planned.kind, "label": both(label)}
        raw["alias"] = self.alias(planned, label, note)
        if note:
            raw["help"] = both(note)
        if planned.derived:
            raw |= {"value_type": planned.kind, "derive": planned.derive}
        if planned.codelist:
            raw["codelist"] = planned.codelist
        if planned.precision is not None and planned.kind == "decimal":
            raw["precision"] = planned.precision
        if row.identifier.lower() == "y":
            raw["role"] = "identifier"
        if _is_required(planned):
            raw["required"] = True
        if row.type == "notes":
            raw["max_length"] = NOTES_LENGTH
        self.take_branching(planned, raw)
        self.take_limits(planned, raw, checks)
        self.take_tags(planned, raw, checks)
        self.take_pattern(planned, checks)
        if re.search(r"\[[a-z][a-z0-9_]*(\([^)\]]*\))?(:[a-z]+)?\]", row.label):
            self.lose(
                "kept",
                "label",
                row,
                row.label,
                "标签中引用的值显示为方括号",
                "a value piped into the label stays in brackets",
            )
        return raw

    def alias(self, planned: Planned, label: str, note: str) -> dict[str, str]:
        """What REDCap says of a field that an item does not, or says in other words."""
        row = planned.row
        kind = "derived" if planned.derived else planned.kind
        found = {
            "redcap": row.variable if row.variable != planned.name else None,
            "redcap:type": row.type if row.type != DEFAULT_TYPES[kind] else None,
            "redcap:validation": row.validation
            if row.validation != default_validation(kind, planned.precision)
            else None,
            "redcap:label": row.label if row.label != label else None,
            "redcap:note": row.note if row.note != note else None,
            "redcap:min": row.minimum or None,
            "redcap:max": row.maximum or None,
            "redcap:choices": row.choices or None,
            "redcap:branching": row.branching or None,
            "redcap:required": row.required if row.required and not _is_required(planned) else None,
            "redcap:alignment": row.alignment or None,
            "redcap:question": row.question or None,
            "redcap:matrix": row.matrix or None,
            "redcap:ranking": row.ranking or None,
            "redcap:annotation": row.annotation or None,
        }
        return {key: value for key, value in found.items() if value is not None}

    def take_branching(self, planned: Planned, raw: Raw) -> None:
        text = planned.row.branching
        if not text:
            return
        made = translate(text, "redcap", self.fields(planned))
        if made.cel is None:
            self.lose("kept", "branching", planned.row, text, f"始终显示:{made.zh}", f"always shown: {made.en}")
            return
        raw["show_if"] = made.cel
        for zh, en in made.notes:
            self.lose("changed", "branching", planned.row, text, zh, en)

    # Limits, formats, tags

    def take_limits(self, planned: Planned, raw: Raw, checks: list[Raw]) -> None:
        """REDCap's limits warn; @FORCE-MINMAX and the ends of a slider don't let pass."""
        row = planned.row
        low, high = row.minimum, row.maximum
        if row.type == "slider":
            raw["range"] = []
            for text, end in ((low, 0.0), (high, 100.0)):
                number = read_number(text)
                raw["range"].append(end if number is None else number)
                if text and number is None:
                    zh, en = "不是数字,按 REDCap 默认的 0 至 100", "no number; REDCap's own end, 0 or 100, is taken"
                    self.lose("kept", "limits", row, text, zh, en)
            return
        if not (low or high) or planned.derived:
            return
        hard = any(name == "FORCE-MINMAX" for name, _argument in tags(row.annotation))
        numbers = [read_number(text) for text in (low, high)]
        readable_limits = all(number is not None or not text for number, text in zip(numbers, (low, high), strict=True))
        whole = planned.kind != "integer" or all(number is None or number.is_integer() for number in numbers)
        if planned.kind in ("integer", "decimal") and readable_limits and whole:
            raw["range" if hard else "soft_range"] = numbers
            return
        try:
            require = self.limit(planned, low, high)
        except Untranslatable as why:
            self.lose("kept", "limits", row, f"{low} – {high}", f"不检查:{why.zh}", f"not checked: {why.en}")
            return
        message = {
            "zh": f"应在 {low or '…'} 至 {high or '…'} 之间",
            "en": f"should be from {low or '…'} to {high or '…'}",
        }
        checks.append(_check(planned, "range", require, message, checks, hard=hard))

    def limit(self, planned: Planned, low: str, high: str) -> str:
        tests = []
        for symbol, text in ((">=", low), ("<=", high)):
            if text:
                made = translate(
                    f"[{planned.row.variable}] {symbol} {_limit_text(text)}", "redcap", self.fields(planned)
                )
                if made.cel is None:
                    raise Untranslatable(made.zh, made.en)
                tests.append(made.cel)
        return " && ".join(tests)

    def take_pattern(self, planned: Planned, checks: list[Raw]) -> None:
        pattern = PATTERNS.get(planned.row.validation) if planned.row.type == "text" and not planned.derived else None
        if pattern and planned.kind == "text":
            what = planned.row.validation
            message = {"zh": f"格式应为 {what}", "en": f"should look like {what.replace('_', ' ')}"}
            checks.append(_check(planned, "format", f"{planned.name}.matches({quoted(pattern)})", message, checks))

    def take_tags(self, planned: Planned, raw: Raw, checks: list[Raw]) -> None:
        row = planned.row
        for name, argument in tags(row.annotation):
            if (name == "CALCTEXT" and _calculation(row)) or (name == "FORCE-MINMAX" and (row.minimum or row.maximum)):
                continue
            most = read_whole(argument)
            if name == "CHARLIMIT" and most is not None and planned.kind == "text" and not planned.derived:
                raw["max_length"] = max(1, min(NOTES_LENGTH, most))
            elif name == "MAXCHECKED" and most is not None and most >= 0 and planned.kind == "choices":
                message = {"zh": f"最多选{most}项", "en": f"at most {most} may be ticked"}
                require = f"count({planned.name}) <= {most}"
                checks.append(_check(planned, "most", require, message, checks, hard=True))
            elif name == "NONEOFTHEABOVE" and self.none_of_the_above(planned, argument, checks):
                continue
            else:
                self.lose("kept", f"@{name}", row, argument, *TAG_REASONS.get(name, TAG_OTHER))

    def none_of_the_above(self, planned: Planned, argument: str, checks: list[Raw]) -> bool:
        codes = [code.strip() for code in argument.split(",")] if argument else list(planned.codes)[-1:]
        if planned.kind != "choices" or not all(code in planned.codes for code in codes):
            return False
        alone = " && ".join(f"(!({quoted(code)} in {planned.name}) || count({planned.name}) == 1)" for code in codes)
        message = {"zh": "“以上都不是”不能与其他选项同选", "en": "“none of the above” stands alone"}
        checks.append(_check(planned, "none", alone, message, checks, hard=True))
        return True


def default_validation(kind: str, precision: int | None) -> str:
    """The validation of an item's type where nothing else is said."""
    if kind == "decimal":
        return "number" if precision not in (1, 2, 3, 4) else f"number_{precision}dp"
    return {"integer": "integer", "date": "date_ymd", "datetime": "datetime_ymd", "time": "time"}.get(kind, "")


def _calculation(row: DictionaryRow) -> str:
    if row.type == "calc":
        return row.choices
    if row.type in ("text", "notes"):
        return next((argument for name, argument in tags(row.annotation) if name == "CALCTEXT"), "")
    return ""


def _check(planned: Planned, what: str, require: str, message: Raw, checks: list[Raw], *, hard: bool = False) -> Raw:
    taken = {check["id"] for check in checks}
    base = f"{planned.name[:28]}.{what}"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}.{number}", number + 1
    return {
        "id": name, "items": [planned.name], "require": require, "severity": "hard" if hard else "soft",
        "message": message, "alias": {"redcap": what},
    }  # fmt: skip


def _is_required(planned: Planned) -> bool:
    return planned.row.required.lower() == "y" and not planned.derived and planned.kind != "label"


def _limit_text(text: str) -> str:
    """A limit as an expression: a number, `today`, a date, or another field in brackets."""
    text = text.strip()
    if text.startswith("[") or read_number(text) is not None:
        return text
    return f"'{text}'"
