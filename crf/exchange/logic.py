"""Other systems' logic as our CEL: `translate` gives an expression that compiles, or says why there is none.

What is empty behaves as in the source: `[x] <> '1'` is true of an unanswered x, so `!given(x) || x != '1'`. Where a
comparison with an empty x is false there (`[x] = '1'`), unknown does the same here as long as nothing negates it;
under `not` and as the condition of `if` the guard `given(x)` is written out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

from crf.definitions.expressions import MAX_LENGTH, BadExpression, compile_expression

from .logic_parse import (
    Binary,
    Call,
    Dialect,
    Negative,
    Node,
    Not,
    Number,
    Option,
    Ref,
    String,
    Untranslatable,
    names,
    parse,
)

Want = Literal["condition", "value"]
ORDER = ("<", "<=", ">", ">=")
DATES = ("date", "datetime", "time")
# Roots that always have a value, so that asking whether they are given would only be noise.
FACTS = ("today", "subject.", "visit.")
TERNARY, OR, AND, COMPARE, ADD, MULTIPLY, UNARY, ATOM = 0, 1, 2, 4, 5, 6, 7, 9


@dataclass(frozen=True)
class Field:
    """What a foreign name stands for: `path` as our expressions write it, and the kind of its value.

    `kind` is an item's `value_kind`, or "rows:KIND" for a column of a repeating group seen from outside it (`path` is
    then `group.column`), or "elsewhere" for what expressions cannot reach. `codes` gives our code for each
    foreign one of a choice.
    """

    path: str
    kind: str
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Translation:
    """`cel` compiles and `kind` says what it gives; or it is None, and `zh` and `en` say why.

    `notes` name differences that stay: pairs of texts, Chinese and English.
    """

    cel: str | None
    kind: str = ""
    zh: str = ""
    en: str = ""
    notes: tuple[tuple[str, str], ...] = ()


class Cel(NamedTuple):
    """A piece of CEL, what it gives (number, text, bool, date …, empty for null), and how tightly it binds."""

    text: str
    kind: str
    binds: int = ATOM

    def within(self, least: int) -> str:
        return self.text if self.binds >= least else f"({self.text})"


def translate(
    text: str, dialect: Dialect, fields: Mapping[str, Field], *, want: Want = "condition", negated: bool = False
) -> Translation:
    """An expression of another system as CEL; `negated` for a condition that says when something is left out."""
    try:
        node = parse(text, dialect)
        printer = _Printer(fields, dialect)
        made = printer.condition(Not(node) if negated else node) if want == "condition" else printer.result(node)
        compile_expression(made.text)
    except (Untranslatable, BadExpression) as why:
        return Translation(None, zh=why.zh, en=why.en)
    return Translation(made.text, made.kind, notes=tuple(dict.fromkeys(printer.notes)))


def quoted(text: str) -> str:
    """A CEL string."""
    if any(ord(character) < 32 for character in text):
        raise Untranslatable("文字中有控制字符", "a text with a control character")
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def plain(number: str) -> str:
    """A number as CEL writes it: digits around a point, no exponent."""
    value = format(Decimal(number), "f")
    if len(value) > 40:
        raise Untranslatable("数字过长", "a number of too many digits")
    return value


def short(made: Cel) -> Cel:
    """The piece itself; refused where it is too long for an expression, before it doubles again."""
    if len(made.text) > MAX_LENGTH:
        raise Untranslatable(f"译文超过{MAX_LENGTH}个字符", f"the translation is longer than {MAX_LENGTH} characters")
    return made


def is_number(text: str) -> bool:
    return re.fullmatch(r"-?(\d+(\.\d*)?|\.\d+)", text.strip(), re.ASCII) is not None


def _joined(operator: str, parts: list[str], binds: int, kind: str = "bool") -> Cel:
    return Cel(f" {operator} ".join(parts), kind, binds if len(parts) > 1 else ATOM)


class _Printer:
    def __init__(self, fields: Mapping[str, Field], dialect: Dialect) -> None:
        self.fields = fields
        self.dialect = dialect
        self.notes: list[tuple[str, str]] = []
        self.made: dict[Node, Cel] = {}  # a side's kind is asked before it is written: work it out once

    # Names

    def field(self, name: str) -> Field:
        found = self.fields.get(name)
        if found is None and self.dialect == "odm" and "/" in name:
            found = self.fields.get(name.split("/", 1)[1]) or self.fields.get(name.rpartition("/")[2])
        if found is None:
            raise Untranslatable(f"没有可引用的“{name}”", f"there is no {name!r} to refer to")
        return found

    def given(self, node: Node) -> list[str]:
        """For each name that a tree reads, that it has a value."""
        return [
            f"given({one.path})"
            for one in map(self.field, names(node))
            if not one.path.startswith(FACTS) and not one.kind.startswith("rows")
        ]

    def guarded(self, node: Node, test: Cel, exact: bool) -> Cel:
        """`test`, false where a name of `node` has no value; unguarded where unknown does the same."""
        guards = self.given(node) if exact else []
        return _joined("&&", [*guards, test.within(AND + 1)], AND) if guards else test

    # Conditions

    def condition(self, node: Node, exact: bool = False) -> Cel:
        """True or false; with `exact`, never unknown for want of an answer."""
        return short(self.decided(node, exact))

    def decided(self, node: Node, exact: bool) -> Cel:
        if isinstance(node, Binary) and node.operator in ("and", "or"):
            symbol, binds = ("&&", AND) if node.operator == "and" else ("||", OR)
            sides = [self.condition(side, exact).within(binds) for side in (node.left, node.right)]
            return _joined(symbol, sides, binds)
        if isinstance(node, Not):
            return self.negated(node.inner, exact)
        if isinstance(node, Binary) and node.operator in ("=", "!=", *ORDER):
            return self.comparison(node, exact)
        return self.truth(node, exact)

    def negated(self, inner: Node, exact: bool) -> Cel:
        if isinstance(inner, Not):
            return self.condition(inner.inner, exact)
        if isinstance(inner, Binary) and inner.operator in ("=", "!="):
            other = "!=" if inner.operator == "=" else "="
            return self.condition(Binary(other, inner.left, inner.right), exact)
        return Cel(f"!{self.condition(inner, exact=True).within(UNARY)}", "bool", UNARY)

    def truth(self, node: Node, exact: bool) -> Cel:
        """A value where a condition is wanted: a tick, a number that is not 0, XPath's text that is not empty."""
        if isinstance(node, Number):
            return Cel("true" if Decimal(node.text) else "false", "bool")
        made = self.value(node)
        if made.kind == "bool":
            return made
        if self.dialect == "xpath" and isinstance(node, Ref) and made.kind not in ("integer", "decimal", "number"):
            return Cel(f"given({made.text})", "bool")
        return self.guarded(node, Cel(f"{self.number(node).within(COMPARE + 1)} != 0", "bool", COMPARE), exact)

    def comparison(self, node: Binary, exact: bool) -> Cel:
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(other, String) and other.text == "":
                return self.emptiness(one, node.operator)
        for one, other, turned in ((node.left, node.right, False), (node.right, node.left, True)):
            if isinstance(one, Option) and isinstance(other, String | Number):
                return self.tick(one, other, node.operator)
            if isinstance(other, String | Number) and isinstance(one, Ref):
                field = self.field(one.name)
                if field.kind in ("choice", "choices") and node.operator in ("=", "!="):
                    return self.coded(one, field, other, node.operator, exact)
            if turned:
                break
        return self.compared(node, exact)

    def emptiness(self, node: Node, operator: str) -> Cel:
        """`x = ''` asks for no answer; what reads several names is empty when one of them is."""
        if isinstance(node, Option):
            return Cel("true" if operator == "!=" else "false", "bool")
        guards = self.given(node)
        if operator not in ("=", "!=") or not guards:
            raise Untranslatable("不能与空值这样比较", "such a comparison with nothing has no equal")
        self.value(node)
        if operator == "!=":
            return _joined("&&", guards, AND)
        return _joined("||", [f"!{guard}" for guard in guards], OR)

    def tick(self, option: Option, other: String | Number, operator: str) -> Cel:
        """A checkbox against 1 or 0, in any spelling that REDCap takes."""
        ticked = {"1": True, "checked": True, "0": False, "unchecked": False}.get(other.text.strip().lower())
        if ticked is None or operator not in ("=", "!="):
            return self.compared(Binary(operator, option, other), exact=True)
        made = self.value(option)
        return made if ticked == (operator == "=") else Cel(f"!{made.within(UNARY)}", "bool", UNARY)

    def coded(self, ref: Ref, field: Field, other: String | Number, operator: str, exact: bool) -> Cel:
        """A choice against one of its codes."""
        code = self.code(ref.name, field, other)
        if field.kind == "choices":
            if self.dialect == "redcap":
                raise Untranslatable(
                    f"多选题 [{ref.name}] 须写 [{ref.name}(代码)]",
                    f"[{ref.name}] has several answers; one is [{ref.name}(code)]",
                )
            test = Cel(f"count({field.path}) == 1 && {code} in {field.path}", "bool", AND)
            if operator == "=":
                return self.guarded(ref, test, exact)
            return Cel(f"!given({field.path}) || !({test.text})", "bool", OR)
        if operator == "=":
            return self.guarded(ref, Cel(f"{field.path} == {code}", "bool", COMPARE), exact)
        return self.unlike(ref, Cel(f"{field.path} != {code}", "bool", COMPARE))

    def unlike(self, node: Node, test: Cel) -> Cel:
        """`!=` against something: also true of no answer."""
        return _joined("||", [*(f"!{guard}" for guard in self.given(node)), test.within(OR + 1)], OR)

    def code(self, name: str, field: Field, literal: String | Number) -> str:
        text = literal.text.strip()
        found = field.codes.get(text)
        if found is None and is_number(text):
            same = [ours for code, ours in field.codes.items() if is_number(code) and Decimal(code) == Decimal(text)]
            found = same[0] if len(same) == 1 else None
        if found is None:
            raise Untranslatable(f"“{name}”没有代码“{text}”", f"{name!r} has no code {text!r}")
        return quoted(found)

    def compared(self, node: Binary, exact: bool) -> Cel:
        symbol = {"=": "==", "!=": "!="}.get(node.operator, node.operator)
        left, right = self.alike(node)
        test = Cel(f"{left.within(COMPARE + 1)} {symbol} {right.within(COMPARE + 1)}", "bool", COMPARE)
        if node.operator in ("=", "!="):
            both = isinstance(node.left, Ref | Option) and isinstance(node.right, Ref | Option)
            return self.both(node, test) if both else (
                self.unlike(node, test) if node.operator == "!=" else self.guarded(node, test, exact)
            )  # fmt: skip
        if self.dialect == "redcap" and node.operator in ("<", "<=") and names(node.left):
            self.notes.append((
                "REDCap 中空值可小于任何数;这里未填时不比较",
                "REDCap may take an empty answer as less than any number; here what is not answered is not compared",
            ))  # fmt: skip
        return self.guarded(node, test, exact)

    def both(self, node: Binary, test: Cel) -> Cel:
        """Two answers against each other: two empty ones are equal, one alone differs."""
        guards = self.given(node)
        if len(guards) < 2:
            return self.unlike(node, test) if node.operator == "!=" else self.guarded(node, test, exact=True)
        rest = " && ".join(f"!{guard}" for guard in guards) if node.operator == "=" else " || ".join(guards)
        return Cel(f"{' && '.join(guards)} ? {test.text} : {rest}", "bool", TERNARY)

    def alike(self, node: Binary) -> tuple[Cel, Cel]:
        """The two sides in one kind: dates as dates, texts as texts, everything else as numbers."""
        kinds = [self.kind(side) for side in (node.left, node.right)]
        dated = [kind for kind in kinds if kind in DATES]
        if dated:
            return self.dated(node.left, dated[0]), self.dated(node.right, dated[0])
        texts = all(kind in ("text", "choice", "literal") for kind in kinds)
        if texts and node.operator in ("=", "!="):
            return self.value(node.left), self.value(node.right)
        return self.number(node.left), self.number(node.right)

    def kind(self, node: Node) -> str:
        return "literal" if isinstance(node, String) else self.value(node).kind

    def dated(self, node: Node, kind: str) -> Cel:
        if isinstance(node, String):
            if kind == "date" and node.text.strip().lower() == "today":
                return Cel("today", "date")
            text = node.text.strip().replace(" ", "T")
            shapes = {"date": r"\d{4}-\d\d-\d\d", "datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d", "time": r"\d\d:\d\d"}
            if not re.fullmatch(shapes[kind], text, re.ASCII):
                raise Untranslatable(f"“{node.text}”不是 {kind}", f"{node.text!r} is no {kind}")
            return Cel(quoted(text), kind)
        made = self.value(node)
        if made.kind != kind:
            raise Untranslatable(f"{kind} 不能与 {made.kind} 比较", f"a {kind} does not compare with a {made.kind}")
        return made

    # Values

    def result(self, node: Node) -> Cel:
        """What a calculation stores; true and false as the source stores them."""
        made = self.value(node)
        if made.kind == "bool":
            exact = self.condition(node, exact=True)
            words = ("'true'", "'false'") if self.dialect == "xpath" else ("1", "0")
            return Cel(
                f"{exact.within(OR)} ? {words[0]} : {words[1]}", "text" if self.dialect == "xpath" else "number", 0
            )
        if made.kind == "empty" or made.kind == "choices" or made.kind.startswith("rows"):
            raise Untranslatable("结果不是单个值", "the result is not one value")
        return made._replace(kind={"integer": "number", "decimal": "number"}.get(made.kind, made.kind))

    def value(self, node: Node) -> Cel:
        made = self.made.get(node)
        if made is None:
            made = self.made[node] = short(self.written(node))
        return made

    def written(self, node: Node) -> Cel:
        if isinstance(node, Number):
            return Cel(plain(node.text), "number")
        if isinstance(node, String):
            return Cel(quoted(node.text), "text") if node.text else Cel("null", "empty")
        if isinstance(node, Ref):
            return self.read(node)
        if isinstance(node, Option):
            return self.ticked(node)
        if isinstance(node, Negative):
            return Cel(f"-{self.number(node.inner).within(UNARY + 1)}", "number", UNARY)
        if isinstance(node, Call):
            return self.call(node)
        if isinstance(node, Binary) and node.operator in ("+", "-", "*", "/", "%", "^"):
            return self.arithmetic(node)
        if isinstance(node, Not | Binary):
            return self.condition(node, exact=True)
        raise Untranslatable("不支持该写法", "this has no equal")

    def read(self, ref: Ref) -> Cel:
        field = self.field(ref.name)
        kind = field.kind
        if kind == "elsewhere":
            raise Untranslatable(
                f"“{ref.name}”在同一访视的另一表单中,表达式只能指明访视引用",
                f"{ref.name!r} is in another form of the same event; an expression can only name an event",
            )
        if kind in ("label", "group", "file", "series"):
            raise Untranslatable(f"“{ref.name}”没有可计算的值", f"{ref.name!r} has no value to calculate with")
        return Cel(field.path, {"integer": "number", "decimal": "number"}.get(kind, kind))

    def ticked(self, option: Option) -> Cel:
        field = self.field(option.name)
        if field.kind not in ("choices", "choice"):
            raise Untranslatable(f"“{option.name}”不是多选题", f"{option.name!r} is no checkbox")
        code = self.code(option.name, field, String(option.code))
        if field.kind == "choice":
            return Cel(f"given({field.path}) && {field.path} == {code}", "bool", AND)
        return Cel(f"given({field.path}) && {code} in {field.path}", "bool", AND)

    def number(self, node: Node) -> Cel:
        """The value as a number: codes and texts that spell one, ticks as 1 or 0."""
        if isinstance(node, String):
            if not is_number(node.text):
                raise Untranslatable(f"“{node.text[:40]}”不是数字", f"{node.text[:40]!r} is not a number")
            return Cel(plain(node.text.strip()), "number")
        made = self.value(node)
        if made.kind == "number":
            return made
        if made.kind == "bool":
            return Cel(f"{made.within(OR)} ? 1 : 0", "number", TERNARY)
        if made.kind == "choice" and isinstance(node, Ref):
            bad = [code for code in self.field(node.name).codes.values() if not is_number(code)]
            if bad:
                raise Untranslatable(f"代码“{bad[0]}”不是数字", f"the code {bad[0]!r} is not a number")
        elif made.kind != "text":
            raise Untranslatable(f"{made.kind} 不是数字", f"a {made.kind} is not a number")
        return Cel(f"number({made.text})", "number")

    def arithmetic(self, node: Binary) -> Cel:
        kinds = {self.kind(side) for side in (node.left, node.right)}
        if node.operator == "-" and kinds == {"date"}:
            return Cel(f"days({self.value(node.right).text}, {self.value(node.left).text})", "number")
        left, right = self.number(node.left), self.number(node.right)
        if node.operator == "^":
            return Cel(f"pow({left.text}, {right.text})", "number")
        if node.operator == "%":
            whole = truncated(Cel(f"{left.within(MULTIPLY)} / {right.within(MULTIPLY + 1)}", "number", MULTIPLY))
            return Cel(f"{left.within(ADD)} - {right.within(MULTIPLY)} * {whole.within(MULTIPLY + 1)}", "number", ADD)
        binds = ADD if node.operator in "+-" else MULTIPLY
        return Cel(f"{left.within(binds)} {node.operator} {right.within(binds + 1)}", "number", binds)

    def call(self, node: Call) -> Cel:
        table = FUNCTIONS.get(self.dialect, CALCULATIONS)
        handler = table.get(node.function)
        if handler is None:
            raise Untranslatable(f"没有与 {node.function}() 相当的函数", f"there is no equal of {node.function}()")
        try:
            return handler(self, node.arguments)
        except (IndexError, TypeError) as error:
            raise Untranslatable(
                f"{node.function}() 的参数数目不对", f"{node.function}() has other arguments"
            ) from error

    def choose(self, condition: Node, yes: Node, no: Node) -> Cel:
        test = self.condition(condition, exact=True)
        first, second = self.value(yes), self.value(no)
        kinds = {first.kind, second.kind} - {"empty"}
        if kinds <= {"number", "bool"} and kinds:
            first, second = (
                made if made.kind == "empty" else self.number(side) for made, side in ((first, yes), (second, no))
            )
            kind = "number"
        elif len(kinds) == 1 and not kinds & {"choices"}:
            kind = kinds.pop()
        elif kinds == {"text", "choice"}:
            kind = "text"
        else:
            raise Untranslatable("if 的两个结果类型不同", "the two results of `if` are of different kinds")
        return Cel(f"{test.within(OR)} ? {first.within(OR)} : {second.within(OR)}", kind, TERNARY)

    def known(self, node: Node) -> str:
        return " && ".join(self.given(node)) or "true"


Handler = Callable[[_Printer, tuple[Node, ...]], Cel]


def truncated(number: Cel) -> Cel:
    """Towards zero."""
    return Cel(f"{number.within(COMPARE + 1)} < 0 ? ceil({number.text}) : floor({number.text})", "number", TERNARY)


def _simple(ours: str, count: int = 1) -> Handler:
    def made(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
        if len(arguments) != count:
            raise TypeError
        return Cel(f"{ours}({', '.join(printer.number(one).text for one in arguments)})", "number")

    return made


def _round(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    value, digits = printer.number(arguments[0]), _digits(arguments)
    return Cel(f"round({value.text}, {digits})" if digits else f"round({value.text})", "number")


def _digits(arguments: tuple[Node, ...]) -> int:
    """The number of decimals, which must be written out."""
    if len(arguments) == 1:
        return 0
    digits = arguments[1]
    if len(arguments) > 2 or not isinstance(digits, Number) or not re.fullmatch(r"\d|10", digits.text, re.ASCII):
        raise Untranslatable("小数位数应为 0–10 的整数", "decimals are a whole number from 0 to 10")
    return int(digits.text)


def _rounded_by(ours: str) -> Handler:
    def made(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
        value, digits = printer.number(arguments[0]), _digits(arguments)
        if not digits:
            return Cel(f"{ours}({value.text})", "number")
        scale = 10**digits
        return Cel(f"{ours}({value.within(MULTIPLY)} * {scale}) / {scale}", "number", MULTIPLY)

    return made


def _over_answered(ours: str) -> Handler:
    """REDCap's sum, mean, min and max leave out what is empty, and are empty themselves where all is."""

    def made(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
        if not arguments:
            raise TypeError
        values = [printer.number(one).text for one in arguments]
        known = [printer.known(one) for one in arguments]
        neutral = {"min": "999999999999999", "max": "-999999999999999"}.get(ours, "0")
        parts = [
            value if guard == "true" else f"coalesce({value}, {neutral})"
            for value, guard in zip(values, known, strict=True)
        ]
        if ours in ("min", "max"):
            text = f"{ours}({', '.join(parts)})"
        else:
            text = " + ".join(part if part.startswith("coalesce(") else f"({part})" for part in parts)
        if ours == "mean":
            counts = " + ".join("1" if guard == "true" else f"({guard} ? 1 : 0)" for guard in known)
            text = f"({text}) / ({counts})"
        if "true" in known:
            return Cel(text, "number", TERNARY)
        some = " || ".join(f"({guard})" if "&&" in guard else guard for guard in known)
        return Cel(f"{some} ? {text} : null", "number", TERNARY)

    return made


def _datediff(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    """REDCap's days between two dates in its unit: a year has 365.2425 days, a month 30.44; positive unless signed."""
    first, second, unit = arguments[0], arguments[1], arguments[2]
    scale = {"d": "", "y": " / 365.2425", "M": " / 30.44"}.get(unit.text if isinstance(unit, String) else "")
    if scale is None:
        raise Untranslatable("datediff 只支持日、月、年", "datediff is offered in days, months and years")
    rest = arguments[3:]
    if len(rest) == 2 or (rest and isinstance(rest[0], String) and rest[0].text.lower() in ("ymd", "mdy", "dmy", "")):
        rest = rest[1:]
    start, end = (printer.dated(one, "date") for one in (first, second))
    signed = bool(rest) and _is_true(rest[0])
    days = f"days({start.text}, {end.text})"
    return Cel(f"{days if signed else f'abs({days})'}{scale}", "number", MULTIPLY if scale else ATOM)


def _is_true(node: Node) -> bool:
    word = node.function if isinstance(node, Call) else node.text if isinstance(node, String | Number) else ""
    if word.lower() not in ("true", "false", "1", "0", ""):
        raise Untranslatable(
            "datediff 的最后一个参数应为 true 或 false", "the last argument of datediff is true or false"
        )
    return word.lower() in ("true", "1")


def _log(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    value = printer.number(arguments[0])
    if len(arguments) == 1:
        return Cel(f"ln({value.text})", "number")
    base = arguments[1]
    if isinstance(base, Number) and Decimal(base.text) == 10:
        return Cel(f"log10({value.text})", "number")
    return Cel(f"ln({value.text}) / ln({printer.number(base).text})", "number", MULTIPLY)


def _text(printer: _Printer, node: Node) -> Cel:
    made = printer.value(node)
    if made.kind not in ("text", "choice"):
        raise Untranslatable(f"{made.kind} 不是文字", f"a {made.kind} is not a text")
    return made


def _concat(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    if not arguments:
        raise TypeError
    return Cel(" + ".join(_text(printer, one).within(ADD) for one in arguments), "text", ADD)


def _matching(before: str, after: str, *, negated: bool = False) -> Handler:
    """REDCap's tests of a text for a part written out, whatever its case."""

    def made(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
        whole, part = arguments
        if not isinstance(part, String):
            raise Untranslatable("只支持查找写明的文字", "only a text that is written out can be looked for")
        pattern = f"(?i){before}{re.escape(part.text)}{after}"
        test = Cel(f"{_text(printer, whole).within(ATOM)}.matches({quoted(pattern)})", "bool")
        test = printer.guarded(whole, test, exact=True)
        return Cel(f"!{test.within(UNARY)}", "bool", UNARY) if negated else test

    return made


def _part(method: str) -> Handler:
    """XPath's tests of a text for a part."""

    def made(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
        whole, part = (_text(printer, one) for one in arguments)
        return printer.guarded(arguments[0], Cel(f"{whole.within(ATOM)}.{method}({part.text})", "bool"), exact=True)

    return made


def _regex(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    whole, pattern = arguments
    if not isinstance(pattern, String):
        raise Untranslatable("正则表达式应写明", "the pattern must be written out")
    anchored = f"^(?:{pattern.text})$"  # XPath's regex() must match the whole text
    kind = printer.value(whole)
    text = f"string({kind.text})" if kind.kind == "number" else _text(printer, whole).within(ATOM)
    return Cel(f"{text}.matches({quoted(anchored)})", "bool")


def _selected(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    ref, code = arguments
    if not isinstance(ref, Ref) or not isinstance(code, String | Number):
        raise Untranslatable("selected() 需要题目和代码", "selected() takes a question and a code")
    return printer.ticked(Option(ref.name, code.text))


def _count_selected(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    (ref,) = arguments
    if not isinstance(ref, Ref) or printer.field(ref.name).kind != "choices":
        raise Untranslatable("count-selected() 需要多选题", "count-selected() takes a question of several answers")
    path = printer.field(ref.name).path
    return Cel(f"given({path}) ? count({path}) : 0", "number", TERNARY)


def _coalesce(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    parts = [printer.value(one) for one in arguments]
    kinds = {part.kind for part in parts}
    if len(parts) < 2 or not (len(kinds) == 1 or kinds <= {"text", "choice"}) or kinds & {"choices", "empty", "bool"}:
        raise Untranslatable("coalesce 的各值类型应相同", "coalesce takes values of one kind")
    kind = kinds.pop() if len(kinds) == 1 else "text"
    return Cel(f"coalesce({', '.join(part.text for part in parts)})", kind)


def _is_blank(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    (one,) = arguments
    return printer.emptiness(one, "=")


def _boolean(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    (one,) = arguments
    return printer.truth(one, exact=True)


def _constant(text: str, kind: str) -> Handler:
    def made(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
        if arguments:
            raise TypeError
        return Cel(text, kind)

    return made


def _as_number(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    (one,) = arguments
    return printer.number(one)


def _as_date(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    (one,) = arguments
    return printer.dated(one, "date")


def _truncate(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    (one,) = arguments
    return truncated(printer.number(one))


def _over_all(ours: str) -> Handler:
    """XPath's min, max and sum: of several values, or of one column of a repeating group."""

    def made(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
        first = arguments[0]
        if (
            len(arguments) == 1
            and isinstance(first, Ref)
            and (field := printer.field(first.name)).kind == "rows:number"
        ):
            return Cel(f"{ours}({_column(field)})", "number")
        return Cel(f"{ours}({', '.join(printer.number(one).text for one in arguments)})", "number")

    return made


def _column(field: Field) -> str:
    group, _, column = field.path.rpartition(".")
    return f"{group}.map(r, r.{column})"


def _count(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    (one,) = arguments
    if not isinstance(one, Ref) or printer.field(one.name).kind != "group":
        raise Untranslatable("count() 需要重复组", "count() takes a repeating group")
    path = printer.field(one.name).path
    return Cel(f"given({path}) ? count({path}) : 0", "number", TERNARY)


def _if(printer: _Printer, arguments: tuple[Node, ...]) -> Cel:
    condition, yes, no = arguments
    return printer.choose(condition, yes, no)


CALCULATIONS: dict[str, Handler] = {
    "if": _if, "round": _round, "abs": _simple("abs"), "sqrt": _simple("sqrt"), "pow": _simple("pow", 2),
    "exp": _simple("exp"), "log": _log, "ln": _simple("ln"), "log10": _simple("log10"), "floor": _simple("floor"),
    "ceil": _simple("ceil"), "min": _over_all("min"), "max": _over_all("max"), "sum": _over_all("sum"),
    "true": _constant("true", "bool"), "false": _constant("false", "bool"),
}  # fmt: skip
REDCAP: dict[str, Handler] = CALCULATIONS | {
    "roundup": _rounded_by("ceil"), "rounddown": _rounded_by("floor"), "exponential": _simple("exp"),
    "sum": _over_answered("sum"), "mean": _over_answered("mean"), "min": _over_answered("min"),
    "max": _over_answered("max"), "datediff": _datediff, "concat": _concat, "concatenate": _concat,
    "contains": _matching("", ""),
    "not_contain": _matching("", "", negated=True),
    "starts_with": _matching("^", ""), "ends_with": _matching("", "$"),
    "isblankormissingcode": _is_blank, "isblank": _is_blank,
}  # fmt: skip
XPATH: dict[str, Handler] = CALCULATIONS | {
    "selected": _selected, "count-selected": _count_selected, "coalesce": _coalesce, "boolean": _boolean,
    "today": _constant("today", "date"), "number": _as_number, "date": _as_date, "int": _truncate,
    "ceiling": _simple("ceil"), "regex": _regex, "concat": _concat, "count": _count,
    "contains": _part("contains"),
    "starts-with": _part("startsWith"),
    "ends-with": _part("endsWith"),
}  # fmt: skip
FUNCTIONS: dict[Dialect, dict[str, Handler]] = {"redcap": REDCAP, "xpath": XPATH, "odm": XPATH, "openedc": CALCULATIONS}
