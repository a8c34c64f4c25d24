"""An XLSForm as a study of one form: groups become sections, repeats rows, XPath CEL where it can."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .logic import Field, Translation, translate
from .loss import Fate, Imported, Loss
from .naming import Names
from .numbers import read_number
from .redcap_fields import readable
from .settle import settle
from .xlsform_file import open_xlsform

Raw = dict[str, Any]
TYPES = {
    "string": "text", "text": "text", "barcode": "text", "phone number": "text", "username": "text", "email": "text",
    "int": "integer", "integer": "integer", "decimal": "decimal", "date": "date", "time": "time",
    "datetime": "datetime", "dateTime": "datetime", "select one": "choice", "select all that apply": "choices",
    "note": "label", "calculate": "derived", "range": "decimal", "trigger": "choice", "acknowledge": "choice",
    "photo": "file", "image": "file", "audio": "file", "video": "file", "file": "file",
}  # fmt: skip
FILES = {
    "photo": ["jpg", "jpeg", "png"], "image": ["jpg", "jpeg", "png"], "audio": ["mp3", "m4a", "wav"],
    "video": ["mp4", "mov"], "file": ["pdf", "jpg", "png"],
}  # fmt: skip
# What the device notes by itself; nobody answers it.
DEVICE = frozenset([
    "start", "end", "today", "deviceid", "simserial", "subscriberid", "phonenumber", "uri:deviceid", "audit", "hidden",
    "instanceID", "start-geopoint", "background-audio", "background-geopoint", "xml-external", "csv-external",
])  # fmt: skip
ACKNOWLEDGED = ("OK", "已确认", "OK")
VALUE_TYPES = {"number": "decimal", "text": "text", "choice": "text", "date": "date"}
KEPT = (
    ("default", "没有默认值:每个值都由人填写", "there are no defaults: a person gives each value"),
    ("choice_filter", "选项不随其他答案筛选", "choices are not filtered by other answers"),
    ("media", "图片、音频等媒体不导入", "pictures and sounds beside a question do not come along"),
    ("trigger", "不由其他题触发", "nothing is triggered by another question"),
)


def read_xlsform(content: bytes, *, file: str = "form.xlsx", code: str = "", version: str = "") -> Imported:
    """The study of an XLSForm (.xls or .xlsx): one form at one event.

    Raises DefinitionErrors, with the row where there is one, for what is no XLSForm, is broken or hostile.
    """
    tree, losses = open_xlsform(content, file)
    return _Builder(tree, losses, file, code, version).build()


@dataclass
class Planned:
    """One question: its place, what it becomes, and the conditions of the groups around it."""

    node: Raw
    name: str
    kind: str
    group: str = ""
    codelist: str = ""
    codes: dict[str, str] = field(default_factory=dict)
    relevant: tuple[str, ...] = ()
    derive: str = ""
    result: str = "text"


@dataclass
class Part:
    """A run of questions that share a section."""

    node: Raw
    rows: str
    relevant: tuple[str, ...]
    questions: list[Planned] = field(default_factory=list)


class _Builder:
    def __init__(self, tree: Raw, losses: list[Loss], file: str, code: str, version: str) -> None:
        self.tree = tree
        self.losses = losses
        self.file = file
        name = str(tree.get("id_string") or tree.get("name") or "form")
        self.code = code or Names(upper=True, first="F").take(name)
        self.oid = Names(upper=True, first="F").take(name)
        self.version = version or _version(str(tree.get("version") or ""))
        self.names = Names()
        self.codelists: dict[str, Raw] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.groups: dict[str, str] = {}
        self.reported: set[str] = set()
        self.parts: list[Part] = []
        self.readable: dict[str, dict[str, Field]] = {}
        self.walk(tree, "", (), tree)
        self.questions = {str(one.node["name"]): one for part in self.parts for one in part.questions}

    def lose(self, fate: Fate, element: str, node: Raw, what: str, zh: str, en: str) -> None:
        self.losses.append(Loss(fate, element, str(node.get("name", "")), what, zh, en))

    def build(self) -> Imported:
        self.calculate()
        checks: list[Raw] = []
        sections = [self.section(part, checks) for part in self.parts if part.questions]
        title = self.text(self.tree.get("title") or self.tree.get("name"), self.code)
        self.losses.append(
            Loss("assumed", "site", "01", "", "表单没有中心:假定一个", "a form has no sites: one is assumed")
        )
        event = {"oid": "EVENT_1", "name": {"zh": "访视1", "en": "Event 1"}, "anchor": "enrolment", "day": 0}
        form = {"oid": self.oid, "name": title, "sections": sections, "checks": checks}
        raw: Raw = {
            "code": self.code, "version": self.version, "title": title,
            "sites": [{"code": "01", "name": {"zh": "中心 1", "en": "Site 1"}}],
            "events": [event | {"kind": "scheduled", "forms": [self.oid]}],
            "forms": [form], "codelists": self.codelists,
            "alias": {"xlsform": str(self.tree.get("id_string") or self.tree.get("name") or "")},
        }  # fmt: skip
        return settle(raw, self.losses, file=self.file)

    # Texts

    def text(self, said: Any, otherwise: str) -> Raw:
        """A text in both languages; what the form says in one only stands for both."""
        if not isinstance(said, dict):
            plain = readable(str(said or "")) or otherwise
            return {"zh": plain, "en": plain}
        texts = {str(language): readable(str(text)) for language, text in said.items() if str(text or "").strip()}
        zh = next((text for name, text in texts.items() if re.search(r"\bzh\b|chinese|中文|汉语", name, re.I)), "")
        en = next((text for name, text in texts.items() if re.search(r"\ben\b|english", name, re.I)), "")
        first = en or zh or next(iter(texts.values()), "") or otherwise
        self.note_languages(list(texts))
        return {"zh": zh or first, "en": en or first}

    def note_languages(self, names: list[str]) -> None:
        for name in names:
            if name not in self.reported and not re.search(
                r"\b(zh|en)\b|chinese|中文|汉语|english|^default$", name, re.I
            ):
                self.reported.add(name)
                zh, en = "只保留中文和英文", "texts are kept in Chinese and English only"
                self.losses.append(Loss("dropped", "language", "", name, zh, en))

    # Structure

    def walk(self, node: Raw, rows: str, relevant: tuple[str, ...], owner: Raw) -> None:
        """Lay the questions below `node` out: each group, and what follows it, is a section of its own."""
        part = Part(owner, rows, relevant)
        self.parts.append(part)
        for child in node.get("children", []):
            kind = str(child.get("type", ""))
            if kind in ("group", "repeat") and child.get("name") != "meta":
                self.walk_group(child, rows, (*relevant, *_bound(child, "relevant")), part)
                part = Part(owner, rows, relevant)
                self.parts.append(part)
            elif kind not in ("group", "repeat"):
                self.place(child, part)

    def walk_group(self, child: Raw, rows: str, relevant: tuple[str, ...], part: Part) -> None:
        repeats = child["type"] == "repeat"
        if rows and not repeats:  # a group inside a repeat: its questions are columns of the same rows
            for one in child.get("children", []):
                if one.get("type") in ("group", "repeat"):
                    self.walk_group(one, rows, (*relevant, *_bound(one, "relevant")), part)
                else:
                    self.place(one, part, relevant)
            return
        if repeats:
            if rows:
                self.lose(
                    "changed",
                    "repeat",
                    child,
                    "",
                    "重复组中的重复组单独成组",
                    "a repeat inside a repeat stands on its own",
                )
            rows = self.names.take(str(child["name"]))
            self.groups[str(child["name"])] = rows
            self.note_count(child)
        self.walk(child, rows, relevant, child)

    def note_count(self, child: Raw) -> None:
        count = (child.get("control") or {}).get("jr:count")
        if count:
            self.lose(
                "kept", "repeat_count", child, str(count), "行数由人决定", "people decide how many rows there are"
            )

    def place(self, node: Raw, part: Part, relevant: tuple[str, ...] = ()) -> None:
        kind = str(node.get("type", ""))
        name = str(node.get("name", ""))
        if kind in DEVICE or name.startswith("reserved_name_for_field_list_labels"):
            if kind in DEVICE:
                self.lose("dropped", kind, node, "", "设备自动记录的信息", "what the device notes by itself")
            return
        ours = TYPES.get(kind)
        if ours is None:
            self.lose(
                "changed", kind or "type", node, "", "没有该题型:改为文字", "there is no such type: it becomes a text"
            )
        planned = Planned(node, self.names.take(name), ours or "text", part.rows, relevant=relevant)
        if planned.kind in ("choice", "choices"):
            self.give_codelist(planned)
        part.questions.append(planned)

    def give_codelist(self, planned: Planned) -> None:
        kind = planned.node.get("type")
        listed = str(planned.node.get("itemset") or planned.node.get("list_name") or "")
        if kind in ("trigger", "acknowledge"):
            listed = "acknowledged"
            choices: list[Raw] = [{"name": ACKNOWLEDGED[0], "label": {"中文 (zh)": "已确认", "English (en)": "OK"}}]
        else:
            choices = planned.node.get("choices") or self.tree.get("choices", {}).get(listed) or []
        if not choices or any(len(str(one.get("name", ""))) > 64 for one in choices):
            planned.kind = "text"
            self.lose(
                "changed",
                "choices",
                planned.node,
                listed,
                "选项不在文件中:改为文字",
                "choices from elsewhere: it becomes a text",
            )
            return
        if listed not in self.codelists:
            self.add_codelist(listed, choices)
        planned.codelist, planned.codes = listed, self.codes[listed]

    def add_codelist(self, listed: str, choices: list[Raw]) -> None:
        found: dict[str, Raw] = {}
        for one in choices:
            code = re.sub(r"[{}]", "_", str(one["name"]).strip())
            if code not in found:
                found[code] = {"code": code, "label": self.text(one.get("label"), code)}
            if one.get("media") or one.get("image") or one.get("audio"):
                zh, en = "选项的图片、声音不导入", "a picture or sound of a choice does not come along"
                self.losses.append(Loss("dropped", "choices", f"{listed}.{code}", "", zh, en))
        self.codelists[listed] = {"name": {"zh": listed, "en": listed}, "choices": list(found.values())}
        self.codes[listed] = {str(one["name"]): re.sub(r"[{}]", "_", str(one["name"]).strip()) for one in choices}

    # Logic

    def fields(self, group: str, me: Planned | None = None) -> Mapping[str, Field]:
        """What XPath of a question in `group` can read; `.` is the question itself."""
        if group not in self.readable:
            self.readable[group] = self.read_in(group)
        found = self.readable[group]
        return ChainMap({".": found[str(me.node["name"])]}, found) if me else found

    def read_in(self, group: str) -> dict[str, Field]:
        found = {name: Field(rows, "group") for name, rows in self.groups.items()}
        for name, one in self.questions.items():
            kind = one.result if one.kind == "derived" else one.kind
            if one.group in ("", group):
                found[name] = Field(one.name, kind, one.codes)
            else:
                number = "number" if kind in ("integer", "decimal", "number") else kind
                found[name] = Field(f"{one.group}.{one.name}", f"rows:{number}", one.codes)
        return found

    def calculate(self) -> None:
        """Translate calculations until what each gives is settled: one may decide how another reads it."""
        wanted = [one for one in self.questions.values() if one.kind == "derived"]
        made: dict[str, Translation] = {}
        for _ in range(4):
            before = [one.result for one in wanted]
            for one in wanted:
                text = next(iter(_bound(one.node, "calculate")), "")
                made[one.name] = translate(text, "xpath", self.fields(one.group), want="value")
                one.result = made[one.name].kind or "text"
            self.readable = {}
            if before == [one.result for one in wanted]:
                break
        for one in wanted:
            self.settle_calculation(one, made[one.name])
        self.readable = {}

    def settle_calculation(self, one: Planned, made: Translation) -> None:
        kind = VALUE_TYPES.get(made.kind)
        if made.cel and kind:
            one.derive, one.result = made.cel, kind
            return
        one.kind = "text"
        text = next(iter(_bound(one.node, "calculate")), "")
        zh, en = made.zh or "结果类型不支持", made.en or "a result of a kind that is not stored"
        self.lose("kept", "calculation", one.node, text, f"不计算,由人填写:{zh}", f"entered, not calculated: {en}")

    def conditions(self, texts: tuple[str, ...], group: str, node: Raw) -> str:
        """The CEL of several conditions that must all hold; those that cannot be said are listed."""
        found = []
        for text in texts:
            made = translate(text, "xpath", self.fields(group))
            if made.cel is None:
                self.lose("kept", "relevant", node, text, f"始终显示:{made.zh}", f"always shown: {made.en}")
            else:
                found.append(made.cel)
        return found[0] if len(found) == 1 else " && ".join(f"({text})" for text in found)

    # Sections and items

    def section(self, part: Part, checks: list[Raw]) -> Raw:
        name = self.text(part.node.get("label") or part.node.get("title"), str(part.node.get("name") or self.code))
        raw: Raw = {"name": name, "items": [self.item(one, part, checks) for one in part.questions]}
        if part.rows:
            raw["rows"] = {"name": part.rows}
        condition = self.conditions(part.relevant, "", part.node)
        if condition:
            raw["show_if"] = condition
        raw["alias"] = {f"xlsform:relevant:{at}": text for at, text in enumerate(part.relevant, start=1)}
        return raw

    def item(self, one: Planned, part: Part, checks: list[Raw]) -> Raw:
        node = one.node
        raw: Raw = {"name": one.name, "type": one.kind, "label": self.text(node.get("label"), one.name)}
        for key, target in (("hint", "help"), ("guidance_hint", "guideline")):
            if node.get(key):
                raw[target] = self.text(node[key], one.name)
        if one.derive:
            raw |= {"derive": one.derive, "value_type": one.result}
        if one.codelist:
            raw["codelist"] = one.codelist
        if one.kind == "file":
            raw["file"] = {"types": FILES[str(node["type"])]}
        if node.get("type") == "range":
            self.take_range(node, raw)
        self.take_required(one, raw)
        inner = one.relevant[len(part.relevant) :]  # those of its section are said there
        condition = self.conditions((*inner, *_bound(node, "relevant")), one.group, node)
        if condition:
            raw["show_if"] = condition
        self.take_constraint(one, checks)
        self.report(node)
        raw["alias"] = self.alias(one)
        return raw

    def alias(self, one: Planned) -> dict[str, str]:
        """The form's own words, for whoever looks up what became of them."""
        node = one.node
        found = {"xlsform": str(node.get("name", "")), "xlsform:type": str(node.get("type", ""))}
        for key in ("relevant", "constraint", "calculate", "readonly", "required"):
            found |= {f"xlsform:{key}": text for text in _bound(node, key)}
        appearance = (node.get("control") or {}).get("appearance")
        found |= {"xlsform:appearance": str(appearance)} if appearance else {}
        return found | {f"xlsform:{key}": str(node[key]) for key in ("default", "choice_filter") if node.get(key)}

    def take_range(self, node: Raw, raw: Raw) -> None:
        given = node.get("parameters") or {}
        numbers = [read_number(given.get(key)) for key in ("start", "end")]
        step = read_number(given.get("step"))
        if all(number is not None and number.is_integer() for number in (*numbers, step if step is not None else 1.0)):
            raw["type"] = "integer"
        if any(number is not None for number in numbers):
            raw["range"] = numbers

    def take_required(self, one: Planned, raw: Raw) -> None:
        text = next(iter(_bound(one.node, "required")), "").strip()
        if not text or one.kind in ("derived", "label") or text.lower() in ("no", "false", "false()"):
            return
        if text.lower() in ("yes", "true", "true()"):
            raw["required"] = True
            return
        made = translate(text, "xpath", self.fields(one.group, one))
        if made.cel:
            raw["required"] = made.cel
        else:
            self.lose("kept", "required", one.node, text, f"不必填:{made.zh}", f"not required: {made.en}")

    def take_constraint(self, one: Planned, checks: list[Raw]) -> None:
        for text in _bound(one.node, "constraint"):
            made = translate(text, "xpath", self.fields(one.group, one))
            if made.cel is None or one.kind in ("derived", "label"):
                self.lose("kept", "constraint", one.node, text, f"不检查:{made.zh}", f"not checked: {made.en}")
                continue
            said = (one.node.get("bind") or {}).get("jr:constraintMsg")
            expected = {"zh": f"应满足:{text}", "en": f"should satisfy {text}"}
            message = self.text(said, text) if said else expected
            checks.append(
                {
                    "id": f"{one.name[:28]}.{len(checks) + 1}",
                    "items": [one.name],
                    "require": made.cel,
                    "severity": "hard",
                    "message": message,
                    "alias": {"xlsform": text},
                }
            )

    def report(self, node: Raw) -> None:
        for key, zh, en in KEPT:
            if node.get(key):
                self.lose("kept", key, node, str(node[key]), zh, en)
        for text in _bound(node, "readonly"):
            if node.get("type") not in ("calculate", "note"):
                self.lose(
                    "kept", "readonly", node, text, "只读的题在此可填写", "a read-only question can be filled in here"
                )
        if "${" in str(node.get("label", "")):
            self.lose(
                "kept",
                "label",
                node,
                str(node["label"]),
                "标签中引用的值不替换",
                "a value named in the label is not filled in",
            )


def _bound(node: Raw, key: str) -> Iterator[str]:
    """The text of a `bind` attribute, if there is one."""
    text = (node.get("bind") or {}).get(key)
    if text not in (None, ""):
        yield str(text)


def _version(text: str) -> str:
    plain = re.sub(r"[^0-9A-Za-z._-]", "-", text).strip("-._")[:32]
    return plain or "1"
