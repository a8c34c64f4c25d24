"""ODM's conditions, methods and range checks as CEL, limits and checks; what cannot be is kept word for word."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .logic import Field, quoted, translate
from .logic_parse import Dialect, Untranslatable
from .odm_file import Metadata
from .odm_oids import negation
from .odm_plan import MISSING_REFERENCE, FormPlan, ItemPlan, SectionPlan
from .odm_report import Report
from .xml_tree import Node

DIALECTS: dict[str, Dialect] = {
    "openedc": "openedc", "xpath": "odm", "xpath1": "odm", "xpath2": "odm", "odm": "odm", "redcap": "redcap", "": "odm",
}  # fmt: skip
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)$")
SIGNS = {"LT": "<", "LE": "<=", "GT": ">", "GE": ">=", "EQ": "==", "NE": "!="}
SHOWN = SIGNS | {"LE": "≤", "GE": "≥", "EQ": "=", "NE": "≠", "IN": "∈", "NOTIN": "∉"}
RANGE_CHILDREN = ("CheckValue", "FormalExpression", "MethodSignature", "MeasurementUnitRef", "ErrorMessage")
VALUE_TYPES = ("text", "integer", "decimal", "date", "choice")
ANSWERS = {"1": "1", "0": "0", "true": "1", "false": "0"}


@dataclass(frozen=True)
class Rule:
    """A formal expression of the file: whose it is, its texts by context, and how it reads here (None: it doesn't)."""

    oid: str
    node: Node
    texts: tuple[tuple[str, str], ...]
    cel: str | None
    description: dict[str, str] | None

    def verbatim(self, **more: Any) -> str:
        """All of it as JSON for `alias`; `cel` tells whether the translation still is the file's."""
        texts = [pair for pair in self.texts if pair[0] != "CEL"]
        facts = {"oid": self.oid, "name": self.node.get("Name"), "texts": texts, "cel": self.cel, **more}
        if self.description:
            facts["description"] = self.description
        return json.dumps(facts, ensure_ascii=False, sort_keys=True)


def formal_texts(node: Node) -> tuple[tuple[str, str], ...]:
    """(context, text) of each FormalExpression; ODM 2 writes the text into Code."""
    return tuple(
        (one.get("Context"), one.content("Code") or one.text.strip()) for one in node.all("FormalExpression")
    )  # fmt: skip


class Names:
    """What names in an expression stand for: a form's own items by OID, those of others where only one fits."""

    def __init__(self, forms: Iterable[FormPlan], codes: Mapping[str, Mapping[str, str]]) -> None:
        self.codes = codes
        self.elsewhere: dict[str, Field] = {}
        homes: dict[str, int] = {}
        for form in forms:
            for section, item in form.items():
                if section.rows:
                    continue
                field = self.field(item, f"forms.{form.oid}.{item.name}")
                self.elsewhere[f"{form.node.get('OID')}/{item.oid}"] = field
                self.elsewhere[f"{form.node.get('OID')}-{section.node.get('OID')}-{item.oid}"] = field
                self.elsewhere[item.oid] = field
                homes[item.oid] = homes.get(item.oid, 0) + 1
        for oid, count in homes.items():
            if count > 1:
                del self.elsewhere[oid]

    def field(self, item: ItemPlan, path: str) -> Field:
        codes = ANSWERS if item.coded == "boolean" else self.codes.get(item.coded, {})
        return Field(path, item.type, codes)

    def within(self, form: FormPlan) -> _Within:
        return _Within(self, form)


class _Within(Mapping[str, Field]):
    """The names of one form before those of the others."""

    def __init__(self, names: Names, form: FormPlan) -> None:
        self.others = names.elsewhere
        self.own: dict[str, Field] = {}
        for section, item in form.items():
            path = item.name
            field = names.field(item, path)
            self.own.setdefault(item.oid, field)
            self.own.setdefault(f"{section.node.get('OID')}-{item.oid}", field)
            self.own.setdefault(f"{form.node.get('OID')}/{item.oid}", field)
        self.row: dict[str, Field] = {}

    def __getitem__(self, name: str) -> Field:
        return self.own[name] if name in self.own else self.others[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.others, **self.own})

    def __len__(self) -> int:
        return len({**self.others, **self.own})


class Rules:
    """Translates the rules that the definitions of one file refer to, and reports those that stay untranslated."""

    def __init__(self, metadata: Metadata, report: Report) -> None:
        self.metadata = metadata
        self.report = report
        self.used: set[str] = set()

    def condition(self, ref: Node, fields: Mapping[str, Field]) -> Rule | None:
        """The CollectionExceptionCondition of a reference as the condition under which it *is* collected."""
        return self._rule(ref, "CollectionExceptionConditionOID", "ConditionDef", fields, "condition")

    def method(self, ref: Node, fields: Mapping[str, Field]) -> Rule | None:
        return self._rule(ref, "MethodOID", "MethodDef", fields, "value")

    def _rule(
        self, ref: Node, attribute: str, tag: str, fields: Mapping[str, Field], want: Literal["condition", "value"]
    ) -> Rule | None:
        oid = ref.get(attribute)
        if not oid:
            return None
        node = self.metadata.all(tag).get(oid)
        if node is None:
            self.report.lose("dropped", ref, oid, "", *MISSING_REFERENCE, element=f"{ref.tag}/@{attribute}")
            return None
        if oid not in self.used:
            self.used.add(oid)
            self.report.rest(node, oid, ("OID", "Name", "Type"), ("Description", "FormalExpression", "MethodSignature"))
        texts = formal_texts(node)
        cel, zh, en = self.cel(texts, fields, want, negated=want == "condition")
        if cel is None:
            shown = "; ".join(text for _context, text in texts) or node.compact(400)
            self.report.lose("kept", node, oid, shown, f"不能译为 CEL:{zh}", f"not translated to CEL: {en}")
        described = self.report.text(node.first("Description"))
        name = node.get("Name") or oid
        return Rule(oid, node, texts, cel, described if described != {"zh": name, "en": name} else None)

    def cel(
        self,
        texts: Iterable[tuple[str, str]],
        fields: Mapping[str, Field],
        want: Literal["condition", "value"],
        *,
        negated: bool = False,
    ) -> tuple[str | None, str, str]:
        """The first text that reads as CEL, or why none does. CEL itself, which this product writes, wins."""
        zh, en = "没有表达式", "it has no formal expression"
        for context, text in sorted(texts, key=lambda pair: pair[0] != "CEL"):
            if context == "CEL":
                return (negation(text) if negated else text), "", ""
            dialect = DIALECTS.get(context.lower().replace(" ", "").replace(".", ""))
            if dialect is None or not text:
                zh, en = f"不认识表达式语言“{context}”", f"the language {context!r} is not known"
                continue
            made = translate(text, dialect, fields, want=want, negated=negated)
            if made.cel is not None:
                return made.cel, "", ""
            zh, en = made.zh, made.en
        return None, zh, en

    def say_unused(self) -> None:
        """Conditions and methods that nothing refers to."""
        for tag in ("ConditionDef", "MethodDef"):
            for oid, node in self.metadata.all(tag).items():
                if oid not in self.used:
                    zh, en = "没有被引用", "nothing refers to it"
                    self.report.lose("dropped", node, oid, node.compact(400), zh, en)


class Ranges:
    """The range checks of one item as limits, checks, and what is neither."""

    def __init__(self, rules: Rules, item: ItemPlan, unit: str, symbol: Callable[[Node], str]) -> None:
        self.rules = rules
        self.symbol = symbol
        self.report = rules.report
        self.item = item
        self.unit = unit
        self.limits: dict[str, list[float | None]] = {"range": [None, None], "soft_range": [None, None]}
        self.checks: list[dict[str, Any]] = []
        self.alias: dict[str, str] = {}
        self.kept = 0

    def read(self, fields: Mapping[str, Field]) -> None:
        for node in self.item.node.all("RangeCheck"):
            self.one(node, fields)
        self.reconcile()

    def one(self, node: Node, fields: Mapping[str, Field]) -> None:
        self.report.rest(node, self.item.oid, ("Comparator", "SoftHard"), RANGE_CHILDREN, fate="dropped")
        reference = node.first("MeasurementUnitRef")
        if reference and reference.get("MeasurementUnitOID") not in ("", self.unit):
            self.keep(node, "限值用另一单位", "its limits are in another unit")
            return
        if self.limit(node):
            return
        texts = formal_texts(node)
        context = next((context for context, _text in texts if context.startswith("CEL#")), "")
        if context:
            self.check(context.removeprefix("CEL#"), node, dict(texts)[context], None)
            return
        cel, zh, en = self.rules.cel(texts, fields, "condition") if texts else self.comparison(node)
        if cel is None:
            self.keep(node, f"不能译为 CEL:{zh}", f"not translated to CEL: {en}")
        else:
            self.check(f"rc_{self.item.name[:32]}_{len(self.checks) + 1}", node, cel, self.verbatim(node, cel))

    def limit(self, node: Node) -> bool:
        """Take `>= 18` or, for whole numbers, `< 120` as a limit."""
        values = [one.text.strip() for one in node.all("CheckValue")]
        comparator = node.get("Comparator")
        if self.item.type not in ("integer", "decimal") or len(values) != 1 or not NUMBER.match(values[0]):
            return False
        number = float(values[0])
        bound = _bound(comparator, number, whole=self.item.type == "integer") if math.isfinite(number) else None
        if bound is None:
            return False
        key = "soft_range" if node.get("SoftHard") == "Soft" else "range"
        side, value = bound
        present = self.limits[key][side]
        tightest = max if side == 0 else min
        self.limits[key][side] = value if present is None else tightest(present, value)
        self.message(key, side, node)
        return True

    def message(self, key: str, side: int, node: Node) -> None:
        """The product says itself what a limit expects; the file's own words stay for its next export."""
        text = self.report.text(node.first("ErrorMessage"))
        if text:
            zh, en = "超出范围时显示系统自己的提示", "outside the limits the product shows words of its own"
            self.report.lose("kept", node, self.item.oid, text["en"], zh, en, element="RangeCheck/ErrorMessage")
            self.alias[f"odm:message:{key}:{side}"] = json.dumps(text, ensure_ascii=False, sort_keys=True)

    def comparison(self, node: Node) -> tuple[str | None, str, str]:
        """A comparator with its values as CEL."""
        comparator, values = node.get("Comparator"), [one.text.strip() for one in node.all("CheckValue")]
        numeric = comparator in ("LT", "LE", "GT", "GE") and self.item.type in ("choice", "text")
        name = f"number({self.item.name})" if numeric else self.item.name
        try:
            literals = [self.literal(value, numeric) for value in values]
        except Untranslatable as why:
            return None, why.zh, why.en
        if comparator in ("IN", "NOTIN") and literals:
            test = f"{name} in [{', '.join(literals)}]"
            return (test if comparator == "IN" else f"!({test})"), "", ""
        if comparator in SIGNS and len(literals) == 1:
            return f"{name} {SIGNS[comparator]} {literals[0]}", "", ""
        return (
            None,
            f"不认识 {comparator}({len(values)}个值)",
            f"{comparator or 'no comparator'} with {len(values)} values",
        )

    def literal(self, value: str, numeric: bool) -> str:
        if numeric or self.item.type in ("integer", "decimal"):
            if not NUMBER.match(value):
                raise Untranslatable(f"“{value}”不是数字", f"{value!r} is no number")
            return value.removeprefix("+")
        return quoted(ANSWERS.get(value, value) if self.item.coded == "boolean" else value)

    def check(self, name: str, node: Node, cel: str, verbatim: str | None) -> None:
        message = self.report.text(node.first("ErrorMessage")) or _message(node, cel)
        check: dict[str, Any] = {"id": name, "items": [self.item.name], "require": cel, "message": message}
        if node.get("SoftHard") == "Hard":
            check["severity"] = "hard"
        if verbatim:
            check["alias"] = {"odm": verbatim}
        self.checks.append(check)

    def keep(self, node: Node, zh: str, en: str) -> None:
        self.report.lose("kept", node, self.item.oid, node.compact(400), zh, en)
        self.kept += 1
        self.alias[f"odm:rangecheck:{self.kept}"] = self.verbatim(node, None)

    def verbatim(self, node: Node, cel: str | None) -> str:
        """A RangeCheck word for word, as JSON; one that became a check keeps its message there."""
        said = node.first("ErrorMessage") if cel is None else None
        message = {one.get("lang"): one.text.strip() for one in (said.all("TranslatedText") if said else ())}
        return json.dumps(
            {
                "comparator": node.get("Comparator"),
                "soft": node.get("SoftHard") == "Soft",
                "values": [one.text.strip() for one in node.all("CheckValue")],
                "texts": formal_texts(node),
                "unit": self.unit_facts(node),
                "message": {language: text for language, text in message.items() if text},
                "cel": cel,
            },
            ensure_ascii=False,
            sort_keys=True,
        )

    def unit_facts(self, node: Node) -> list[str]:
        """OID, name and symbol of the unit that a limit is in; one that the file does not define has its OID only."""
        reference = node.first("MeasurementUnitRef")
        if reference is None or not reference.get("MeasurementUnitOID"):
            return []
        oid = reference.get("MeasurementUnitOID")
        unit = self.rules.metadata.units.get(oid)
        if unit is None:
            return [oid if oid.startswith("MU") else f"MU.{oid}", oid, oid]
        return [oid, unit.get("Name"), self.symbol(unit)]

    def reconcile(self) -> None:
        """Soft limits lie within hard ones; limits that no value meets are kept, not applied."""
        hard, soft = self.limits["range"], self.limits["soft_range"]
        for side, looser in ((0, operator.lt), (1, operator.gt)):
            inner, outer = soft[side], hard[side]
            if inner is not None and outer is not None and looser(inner, outer):
                self.say(
                    f"Soft {inner:g}", "软限值在硬限值之外,不起作用", "a soft limit beyond the hard one has no effect"
                )
                soft[side] = None
        for key, (low, high) in self.limits.items():
            if low is not None and high is not None and low > high:
                self.say(f"{key} {low:g}-{high:g}", "没有值能满足的范围", "no value meets these limits")
                self.limits[key] = [None, None]

    def say(self, what: str, zh: str, en: str) -> None:
        self.report.lose("dropped", self.item.node, self.item.oid, what, zh, en, element="RangeCheck")


def _bound(comparator: str, value: float, *, whole: bool) -> tuple[int, float] | None:
    """(side, limit): 0 = lowest, 1 = highest; None where the comparison is no limit."""
    if comparator == "GE":
        return 0, float(math.ceil(value)) if whole else value
    if comparator == "LE":
        return 1, float(math.floor(value)) if whole else value
    if comparator == "GT" and whole:
        return 0, float(math.floor(value) + 1)
    if comparator == "LT" and whole:
        return 1, float(math.ceil(value) - 1)
    return None


def _message(node: Node, cel: str) -> dict[str, str]:
    values = ", ".join(one.text.strip() for one in node.all("CheckValue"))
    expected = f"{SHOWN.get(node.get('Comparator'), '')} {values}".strip() or cel
    return {"zh": f"应为 {expected}", "en": f"should be {expected}"}


def section_condition(rules: Rules, section: SectionPlan, fields: Mapping[str, Field]) -> list[Rule]:
    """The conditions of the references that lead to a section."""
    found = (rules.condition(ref, fields) for ref in section.refs)
    return [rule for rule in found if rule is not None]
