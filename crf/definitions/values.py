"""What people type, as the one value that is stored; and back, as people read it.

Stored: text str, integer int, decimal float, date 'YYYY-MM-DD' (or 'YYYY-MM-UK', 'YYYY-UK-UK'), time 'HH:MM',
datetime 'YYYY-MM-DDTHH:MM', choice its code, choices a list of codes in the codelist's order, and a missing value
{"missing": "not_done" | "unknown" | "not_applicable", "reason": ""}. None is: not answered. A file is
{"file": uuid, "name", "size", "sha256", "type"}, an image series {"series": its id, "label"}; rows: see rows.py.
Beside the items, `_typed` tells of converted numbers what was typed: {address: {"value": "1.2", "unit": "mg/dL"}}.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .errors import Refusal
from .model import NUMERIC, Choice, Codelist, Item, Text
from .units import as_typed, to_own, units_of

MAX_TEXT = 4000
CODED = ("choice", "choices")
TYPED = "_typed"
MISSING = {
    "not_done": Text(zh="未做", en="Not done"),
    "unknown": Text(zh="未知", en="Unknown"),
    "not_applicable": Text(zh="不适用", en="Not applicable"),
}
MISSING_WORDS = {
    **dict.fromkeys(("ND", "NOT DONE", "未做", "未查", "未检查"), "not_done"),
    **dict.fromkeys(("UNK", "UNKNOWN", "UK", "NK", "未知", "不详"), "unknown"),
    **dict.fromkeys(("NA", "N/A", "NOT APPLICABLE", "不适用"), "not_applicable"),
}
UNKNOWN_PART = r"UK|UNK?|NK|XX|不详|未知"


class BadValue(Refusal):
    """An answer that cannot be read as what its item asks for; `zh` and `en` say what was expected."""


def parse_value(item: Item, codelist: Codelist | None, raw: Any) -> Any:
    """The canonical value of an answer to `item`; None when it is empty. Raises BadValue.

    Missing words (ND, UNK, NA) count for every entered item except text, where they may be text: there only the
    mapping form {"missing": ...} does, and for choices a code or label of that spelling wins. A number may be
    {"value": "1.2", "unit": "mg/dL"} or "1.2 mg/dL" in a unit that the item declares.
    """
    if isinstance(raw, dict):
        return _parse_mapping(item, codelist, raw)
    kind = item.value_kind
    if isinstance(raw, str):
        # Most answers of a large file are plain numbers, and need none of what follows.
        if kind in NUMERIC and (plain := plain_value(kind, item.precision, raw)) is not None:
            return plain
        refuse_unprintable(raw)
        raw = _narrow(raw) if kind != "text" else raw.strip()
        if kind not in ("text", "choice", "choices") and (reason := MISSING_WORDS.get(raw.upper())):
            return missing(reason)
    if raw is None or raw in ("", [], ()):
        return None
    if kind in ("choice", "choices"):
        return _parse_coded(item, codelist, raw)
    if kind in NUMERIC and isinstance(raw, str) and not NUMBER.match(raw) and (split := _split_unit(item, raw)):
        return _parse_measured(item, *split)
    return _PARSERS[kind](item, raw)


def plain_value(kind: str, precision: int | None, raw: str) -> int | float | None:
    """The number that `raw` plainly is, by the rules of an item of this kind; None where it takes more to say."""
    plain = PLAIN.fullmatch(raw)
    if plain is None:
        return None
    decimals = len(plain[1] or "")
    if kind == "integer":
        return None if decimals else int(raw)
    return float(raw) + 0.0 if precision is None or decimals <= precision else None  # -0.0 becomes 0.0


def typed_in_unit(item: Item, raw: Any) -> dict[str, str] | None:
    """What to remember of an answer that is converted: number and unit as typed; None where it is in the own unit."""
    if not item.units:
        return None
    if isinstance(raw, str):
        split = _split_unit(item, _narrow(raw))
    else:
        split = as_typed(raw) if isinstance(raw, dict) and "unit" in raw else None
    if split is None or split[1] in ("", item.unit) or not NUMBER.match(_narrow(split[0]).replace(",", ".")):
        return None
    return {"value": _narrow(split[0]), "unit": split[1]}


def _parse_mapping(item: Item, codelist: Codelist | None, raw: dict[str, Any]) -> Any:
    if "missing" in raw:
        return _missing(raw)
    if item.type in _REFERENCES:
        return _parse_reference(item, raw)
    if item.value_kind in NUMERIC and set(raw) == {"value", "unit"}:
        number, unit = as_typed(raw)
        if not unit or not number.strip() or _narrow(number).upper() in MISSING_WORDS:
            return parse_value(item, codelist, number)
        refuse_unprintable(number)
        return _parse_measured(item, _narrow(number), unit)
    return _missing(raw)


def _split_unit(item: Item, text: str) -> tuple[str, str] | None:
    """`1.2 mg/dL` as its number and a unit of the item, the longest that fits."""
    text = text.replace("\u03bc", "µ")
    for unit in sorted((item.unit or "", *(one.unit for one in item.units)), key=len, reverse=True):
        if unit and text.endswith(spelt := unit.replace("\u03bc", "µ")):
            number = text[: -len(spelt)].strip()
            return (number, unit) if NUMBER.match(number.replace(",", ".")) else None
    return None


def _parse_measured(item: Item, number: str, unit: str) -> Any:
    if unit == item.unit:
        return _PARSERS[item.value_kind](item, number)
    try:
        return to_own(item, _decimal(number), unit)
    except KeyError:
        known = "、".join(units_of(item)) or item.unit or "-"
        raise BadValue(f"没有单位“{unit[:20]}”;可用:{known}", f"no unit {unit[:20]!r}; there are: {known}") from None


# The keys of an answer that points at something stored elsewhere; the first one may not be empty.
_REFERENCES = {"file": ("file", "name", "size", "sha256", "type"), "series": ("series", "label")}


def _parse_reference(item: Item, raw: Any) -> Any:
    keys = _REFERENCES[item.type]
    if isinstance(raw, str) and item.type == "series" and len(raw) <= 200:
        return {"series": raw, "label": ""}
    is_whole = isinstance(raw, dict) and set(raw) == set(keys) and isinstance(raw[keys[0]], str) and raw[keys[0]]
    if not is_whole or not all(isinstance(value, str | int) and len(str(value)) <= 500 for value in raw.values()):
        raise BadValue("请用本条的上传或选择按钮", "use this item's own button to upload or choose")
    for value in raw.values():
        refuse_unprintable(str(value))
    return {key: raw[key] for key in keys}


def missing(kind: str, reason: str = "") -> dict[str, str]:
    """A value that is missing for a known reason."""
    return {"missing": kind, "reason": reason}


def is_missing(value: Any) -> bool:
    return isinstance(value, dict) and "missing" in value


def _missing(raw: dict[str, Any]) -> dict[str, str]:
    kind, reason = raw.get("missing"), raw.get("reason") or ""
    strange = kind not in list(MISSING) or set(raw) - {"missing", "reason"}  # a list, since `kind` may be unhashable
    if strange or not isinstance(reason, str) or len(reason) > MAX_TEXT:
        known = "、".join(f"{code}({text.zh})" for code, text in MISSING.items())
        raise BadValue(f"缺失原因应为:{known}", f"a missing value is one of {', '.join(MISSING)}")
    refuse_unprintable(reason)
    return missing(str(kind), reason.strip())


def refuse_unprintable(text: str) -> None:
    """Raise BadValue for a control character, which no database text and no export can hold."""
    if text.isprintable():
        return
    for character in text:
        if (unicodedata.category(character) == "Cc" and character not in "\t\n\r") or "\ud800" <= character <= "\udfff":
            code = f"U+{ord(character):04X}"
            raise BadValue(f"含不可见的控制字符 {code},请删除", f"contains the control character {code}; remove it")


def _narrow(text: str) -> str:
    """Full-width digits, letters and punctuation as ASCII, outer spaces off; superscripts are left alone."""
    if text.isascii():
        return text.strip()
    text = "".join(chr(ord(c) - 0xFEE0) if "！" <= c <= "～" else c for c in text)
    return text.replace("\u3000", " ").replace("。", ".").replace("−", "-").replace("–", "-").strip()


def _parse_text(item: Item, raw: Any) -> str:
    if not isinstance(raw, str | int | float):
        raise BadValue("应为文字", "should be text")
    raw = str(raw)
    limit = item.max_length or MAX_TEXT
    if len(raw) > limit:
        raise BadValue(f"不超过{limit}个字符,现为{len(raw)}个", f"at most {limit} characters, not {len(raw)}")
    return unicodedata.normalize("NFC", raw)


PLAIN = re.compile(r"-?\d{1,12}(?:\.(\d{1,10}))?", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)$", re.ASCII)
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+$", re.ASCII)


def _decimal(raw: Any) -> Decimal:
    """The number in `raw`. `1,234` is refused: it is 1.234 where the comma is the decimal sign and 1234 elsewhere."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float | Decimal):
        raise _not_a_number(raw)
    text = raw if isinstance(raw, str) else repr(raw)
    if GROUPED.match(text):
        plain, point = text.replace(",", ""), text.replace(",", ".", 1)
        raise BadValue(f"“{text}”有歧义:请写成 {plain} 或 {point}", f"{text!r} is ambiguous; write {plain} or {point}")
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    if isinstance(raw, str) and not NUMBER.match(text):
        raise _not_a_number(raw)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _not_a_number(raw) from None
    if not number.is_finite() or abs(number) >= Decimal(10) ** 15:
        raise _not_a_number(raw)
    return number


def _not_a_number(raw: Any) -> BadValue:
    shown = str(raw)[:40]
    return BadValue(f"“{shown}”不是数字;请输入数字,如 12.5", f"{shown!r} is not a number; enter one such as 12.5")


def _parse_integer(item: Item, raw: Any) -> int:
    if isinstance(raw, str) and len(raw) < 15 and raw.isascii() and raw.isdigit():
        return int(raw)
    number = _decimal(raw)
    if number != number.to_integral_value():
        raise BadValue(f"“{raw}”不是整数;请输入整数", f"{raw!r} is not a whole number; enter one without decimals")
    return int(number)


def _parse_decimal(item: Item, raw: Any) -> float:
    plain = PLAIN.fullmatch(raw) if isinstance(raw, str) else None
    if plain and (item.precision is None or len(plain[1] or "") <= item.precision):
        return float(raw) + 0.0  # nothing to weigh: what most cells of a file are
    number = _decimal(raw)
    exponent = number.normalize().as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    if item.precision is not None and digits > item.precision:
        raise BadValue(
            f"最多{item.precision}位小数,“{raw}”有{digits}位",
            f"at most {item.precision} decimals; {raw!r} has {digits}",
        )
    return float(number) + 0.0  # -0.0 becomes 0.0


_YEAR = r"(?P<y>\d{4})"
DATE = re.compile(
    rf"{_YEAR}(?:(?P<sep>[-/.])|年)(?P<m>\d{{1,2}}|{UNKNOWN_PART})(?:(?P=sep)|月|(?<=月))?"
    rf"(?:(?P<d>\d{{1,2}}|{UNKNOWN_PART})日?)?$",
    re.IGNORECASE | re.ASCII,
)
COMPACT_DATE = re.compile(rf"{_YEAR}(?P<m>\d\d|UK)(?P<d>\d\d|UK)$", re.IGNORECASE | re.ASCII)
DAY_FIRST = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}$", re.ASCII)
DATE_EXPECTED = (
    "请输入日期,如 2026-04-03、20260403 或 2026年4月3日;日或月不详写 UK,如 2026-04-UK",
    "enter a date such as 2026-04-03, 20260403 or 2026年4月3日; UK for an unknown part, such as 2026-04-UK",
)


def parse_date(raw: Any) -> str:
    """A date as it is stored, possibly partial; BadValue for anything else."""
    return _parse_date(None, _narrow(raw) if isinstance(raw, str) else raw)


def _parse_date(item: Item | None, raw: Any) -> str:
    if isinstance(raw, date):
        return raw.strftime("%Y-%m-%d")
    if isinstance(raw, str) and _is_stored_date(raw):
        return raw
    text = str(raw).replace(" ", "")
    match = COMPACT_DATE.match(text) or DATE.match(text)
    if match is None:
        if DAY_FIRST.match(text):
            raise BadValue(
                f"“{text}”的日月顺序不明;{DATE_EXPECTED[0]}",
                f"day and month of {text!r} are ambiguous; {DATE_EXPECTED[1]}",
            )
        raise _bad_date(text)
    found = _calendar_date(text, match["y"], match["m"], match["d"])
    if item is not None and item.complete_date and "UK" in found:
        raise BadValue(
            f"“{text[:40]}”不完整;本条需要完整日期,不接受 UK",
            f"{text[:40]!r}: this item needs a whole date, without UK",
        )
    return found


def _is_stored_date(text: str) -> bool:
    """Whether a text is a whole date as it is stored, so that imports of thousands need not look further."""
    if len(text) != 10 or text[4] != "-" or text[7] != "-" or not (text.isascii() and text.replace("-", "0").isdigit()):
        return False
    try:
        return 1850 <= date.fromisoformat(text).year <= 2200
    except ValueError:
        return False


def _bad_date(text: str) -> BadValue:
    return BadValue(f"“{text[:40]}”不是日期;{DATE_EXPECTED[0]}", f"{text[:40]!r} is not a date; {DATE_EXPECTED[1]}")


def _calendar_date(text: str, year: str, month: str, day: str | None) -> str:
    """A checked date; an unknown month makes the day unknown, and a date without a day must say so with UK."""
    if day is None:
        raise BadValue(
            f"“{text}”缺少日;不详请写 {year}-{month.zfill(2) if month.isdigit() else 'UK'}-UK",
            f"{text!r} has no day; if it is unknown write {year}-{month.zfill(2) if month.isdigit() else 'UK'}-UK",
        )
    if not month.isdigit():
        if day.isdigit():
            raise BadValue(f"“{text}”:月不详时日也写 UK", f"{text!r}: when the month is unknown so is the day")
        _existing(text, int(year), 1, 1)
        return f"{year}-UK-UK"
    _existing(text, int(year), int(month), int(day) if day.isdigit() else 1)
    return f"{year}-{int(month):02d}-{int(day):02d}" if day.isdigit() else f"{year}-{int(month):02d}-UK"


def _existing(text: str, year: int, month: int, day: int) -> None:
    try:
        date(year, month, day)
    except ValueError:
        raise BadValue(f"日历上没有“{text}”这一天", f"{text!r} is not a day of the calendar") from None
    if not 1850 <= year <= 2200:
        raise BadValue(f"年份 {year} 不在 1850–2200 之间", f"the year {year} is outside 1850-2200")


TIME = re.compile(r"(\d{1,2})(?::|时|点)(\d{1,2})分?(?::?(\d{1,2})秒?)?$", re.ASCII)


def _parse_time(item: Item, raw: Any) -> str:
    text = str(raw).replace(" ", "")
    match = TIME.match(text) or re.match(r"(\d\d)(\d\d)()$", text, re.ASCII)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise BadValue(
            f"“{text[:40]}”不是时间;请按24小时制输入,如 14:30",
            f"{text[:40]!r} is not a time; enter it on the 24-hour clock, such as 14:30",
        )
    return f"{int(match[1]):02d}:{match[2].zfill(2)}"


def _parse_datetime(item: Item, raw: Any) -> str:
    if isinstance(raw, datetime):
        return raw.strftime("%Y-%m-%dT%H:%M")
    parts = re.split(r"[T\s]+|(?<=日)", str(raw).strip(), maxsplit=1)
    if len(parts) != 2:
        raise BadValue(
            f"“{str(raw)[:40]}”应为日期和时间,如 2026-04-03 14:30",
            f"{str(raw)[:40]!r} should be a date and a time, such as 2026-04-03 14:30",
        )
    day = _parse_date(None, parts[0])
    if "UK" in day:
        raise BadValue("日期时间不接受 UK;请输入完整日期", "a date with time takes no UK; enter the whole date")
    return f"{day}T{_parse_time(item, parts[1])}"


def _parse_coded(item: Item, codelist: Codelist | None, raw: Any) -> Any:
    """A code, or a label in either language; a missing word where no choice is spelt so."""
    if codelist is None:
        raise BadValue("本条目没有代码表", f"{item.name} has no code list")
    several = item.value_kind == "choices"
    if not several and isinstance(raw, str) and raw in codelist.by_code:
        return raw
    if isinstance(raw, str) and _find(codelist, raw) is None and (reason := MISSING_WORDS.get(raw.upper())):
        return missing(reason)
    if not several:
        return _code(codelist, raw)
    parts = raw if isinstance(raw, list | tuple) else re.split(r"[;；|、]|,(?!\d{3})", str(raw))
    codes = {_code(codelist, part) for part in parts if str(part).strip()}
    return [code for code in codelist.codes() if code in codes] or None


def _code(codelist: Codelist, raw: Any) -> str:
    choice = _find(codelist, raw)
    if choice is None:
        raise no_choice(codelist, raw)
    return choice.code


def no_choice(codelist: Codelist, raw: Any) -> BadValue:
    """What to say of an answer that is none of the choices."""
    zh = "、".join(f"{c.code}={c.label.zh}" for c in codelist.choices[:12])
    en = ", ".join(f"{c.code} = {c.label.en}" for c in codelist.choices[:12])
    more = len(codelist.choices) - 12
    tail_zh, tail_en = (f" 等{len(codelist.choices)}项", f" and {more} more") if more > 0 else ("", "")
    shown = str(raw)[:40]
    return BadValue(f"“{shown}”不在选项中:{zh}{tail_zh}", f"{shown!r} is not one of: {en}{tail_en}")


def _find(codelist: Codelist, raw: Any) -> Choice | None:
    """By exact code first, then by code or label whatever the case and width, if only one fits."""
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    text = str(raw).strip()
    exact = codelist.choice(text)
    if exact:
        return exact
    folded = _narrow(text).casefold()
    matches = [
        choice
        for choice in codelist.choices
        if folded in (_narrow(spelling).casefold() for spelling in (choice.code, choice.label.zh, choice.label.en))
    ]
    return matches[0] if len(matches) == 1 else None


def _refuse_rows(item: Item, raw: Any) -> Any:
    raise BadValue("应为若干行", "should be rows")


_PARSERS: dict[str, Callable[[Item, Any], Any]] = {
    "text": _parse_text,
    "integer": _parse_integer,
    "decimal": _parse_decimal,
    "date": _parse_date,
    "time": _parse_time,
    "datetime": _parse_datetime,
    "file": _parse_reference,
    "series": _parse_reference,
    "group": _refuse_rows,
}


def display_value(
    item: Item, codelist: Codelist | None, value: Any, language: str = "en", *, unit: bool = False
) -> str:
    """The value as people read it, in the language; "" when there is none."""
    if value is None or value in ("", []):
        return ""
    if is_missing(value):
        text = MISSING[value["missing"]].of(language)
        colon = "：" if language.lower().startswith("zh") else ": "
        return f"{text}{colon}{value['reason']}" if value.get("reason") else text
    kind = item.value_kind
    if kind in CODED:
        codes = value if isinstance(value, list) else [value]
        labels = [_label(codelist, str(code), language) for code in codes]
        return ("、" if language.lower().startswith("zh") else ", ").join(labels)
    if isinstance(value, dict | list):
        return _reference_text(value, language)
    # A value that a migration kept may be of another type than the item has now.
    text = value.replace("T", " ") if kind == "datetime" and isinstance(value, str) else _number_text(item, value)
    return f"{text} {item.unit}" if unit and item.unit else text


def _reference_text(value: Any, language: str) -> str:
    """A file by its name, a series by its label, rows by their number."""
    if isinstance(value, dict):
        return str(value.get("name") or value.get("label") or value.get("series") or value.get("file") or "")
    return f"{len(value)} 行" if language.lower().startswith("zh") else f"{len(value)} rows"


def _label(codelist: Codelist | None, code: str, language: str) -> str:
    choice = codelist.choice(code) if codelist else None
    return choice.label.of(language) if choice else code


def _number_text(item: Item, value: Any) -> str:
    """Decimals with the item's precision; never an exponent."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if item.value_kind == "decimal" and item.precision is not None:
        return f"{value:.{item.precision}f}"
    return plain_number(value)


def plain_number(value: float) -> str:
    """All its digits, without an exponent or a trailing `.0`."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")
