"""Our CEL as REDCap logic. What is unknown here must not show there, so each comparison first asks for an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .logic_parse import Binary, Call, Negative, Node, Not, Number, Option, Ref, String, Untranslatable, names, parse

OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
SAME_NAME = {"round": "round", "abs": "abs", "sqrt": "sqrt", "min": "min", "max": "max", "sum": "sum",
             "exp": "exponential", "ln": "log"}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """How REDCap refers to an item: `[sex]`, `[visit_1_arm_1][sex]`; a checkbox has its codes."""

    reference: str
    kind: str
    codes: tuple[str, ...] = ()

    def ticked(self, code: str) -> str:
        head, _, variable = self.reference.rpartition("[")
        return f"{head}[{variable[:-1]}({code})]"


def to_redcap(cel: str, written: Mapping[str, Written], *, condition: bool) -> str:
    """One of our expressions as REDCap writes it; `written` by our names. Raises Untranslatable."""
    writer = Writer(written)
    node = parse(cel, "cel")
    return writer.condition(node, True) if condition else writer.value(node)


class Writer:
    """Prints a tree in REDCap's words; a subclass says how another language puts the same things."""

    unlike = "<>"
    today = "'today'"

    def __init__(self, written: Mapping[str, Written]) -> None:
        self.written = written

    def ticked(self, name: str, code: str) -> str:
        return f"{self.item(name).ticked(code)} = '1'"

    def unticked(self, name: str, code: str) -> str:
        return f"{self.item(name).ticked(code)} = '0'"

    def item(self, name: str) -> Written:
        found = self.written.get(name)
        if found is None:
            raise Untranslatable(f"那里不能引用“{name}”", f"{name!r} cannot be referred to there")
        return found

    def answered(self, name: str) -> str:
        item = self.item(name)
        if item.kind == "choices":
            return "(" + " or ".join(self.ticked(name, code) for code in item.codes) + ")"
        return f"{item.reference} {self.unlike} ''"

    def unanswered(self, name: str) -> str:
        item = self.item(name)
        if item.kind == "choices":
            return "(" + " and ".join(self.unticked(name, code) for code in item.codes) + ")"
        return f"{item.reference} = ''"

    def condition(self, node: Node, wanted: bool) -> str:
        """True in REDCap where `node` is known to be `wanted` here."""
        if isinstance(node, Not):
            return self.condition(node.inner, not wanted)
        if isinstance(node, Binary) and node.operator in ("and", "or"):
            word = node.operator if wanted else {"and": "or", "or": "and"}[node.operator]
            sides = [self.condition(side, wanted) for side in (node.left, node.right)]
            return f"({sides[0]} {word} {sides[1]})"
        if isinstance(node, Binary) and node.operator in OPPOSITE:
            return self.comparison(node, node.operator if wanted else OPPOSITE[node.operator])
        if isinstance(node, Option):
            if wanted:
                return self.ticked(node.name, node.code)
            return f"({self.answered(node.name)} and {self.unticked(node.name, node.code)})"
        if isinstance(node, Call):
            return self.test(node, wanted)
        raise Untranslatable("不是条件", "not a condition")

    def test(self, node: Call, wanted: bool) -> str:
        if node.function in ("true", "false") and not node.arguments:
            return "1 = 1" if (node.function == "true") == wanted else "1 = 0"
        if node.function == "given" and len(node.arguments) == 1 and isinstance(node.arguments[0], Ref):
            name = node.arguments[0].name
            return self.answered(name) if wanted else self.unanswered(name)
        if node.function == "if":
            test, yes, no = node.arguments
            first = f"({self.condition(test, True)} and {self.condition(yes, wanted)})"
            return f"({first} or ({self.condition(test, False)} and {self.condition(no, wanted)}))"
        raise no_equal(node.function)

    def comparison(self, node: Binary, operator: str) -> str:
        symbol = self.unlike if operator == "!=" else operator
        dated = any(self.kind(side) == "date" for side in (node.left, node.right))
        sides = [self.side(side, dated) for side in (node.left, node.right)]
        test = f"{sides[0]} {symbol} {sides[1]}"
        literal = [side.text for side in (node.left, node.right) if isinstance(side, String)]
        if operator == "=" and literal and literal[0]:
            return test  # no answer is equal to a text
        guards = [self.answered(name) for name in names(node) if name != "today"]
        return f"({' and '.join([*guards, test])})" if guards else test

    def kind(self, node: Node) -> str:
        if isinstance(node, Ref):
            return "date" if node.name == "today" else self.item(node.name).kind
        return ""

    def side(self, node: Node, dated: bool) -> str:
        if dated and isinstance(node, Ref) and node.name == "today":
            return self.today
        return self.value(node)

    def value(self, node: Node) -> str:
        if isinstance(node, Number):
            return node.text
        if isinstance(node, String):
            return quoted(node.text)
        if isinstance(node, Ref):
            return self.read(node)
        if isinstance(node, Negative):
            return f"-({self.value(node.inner)})"
        if isinstance(node, Call):
            return self.call(node)
        if isinstance(node, Binary) and node.operator in ("+", "-", "*", "/"):
            return f"({self.value(node.left)} {self.arithmetic(node.operator)} {self.value(node.right)})"
        raise Untranslatable("那里没有相当的写法", "there is no equal of this there")

    def arithmetic(self, operator: str) -> str:
        return operator

    def functions(self) -> tuple[Mapping[str, Special], Mapping[str, str]]:
        """Those with a form of their own, and those that only have another name."""
        return SPECIAL, SAME_NAME

    def read(self, ref: Ref) -> str:
        item = self.item(ref.name)
        if item.kind == "choices":
            raise Untranslatable(f"多选题“{ref.name}”不是单个值", f"{ref.name!r} is not one value")
        return item.reference

    def call(self, node: Call) -> str:
        specials, names_there = self.functions()
        special = specials.get(node.function)
        if special:
            try:
                return special(self, node.arguments)
            except ValueError as error:
                if isinstance(error, Untranslatable):
                    raise
                raise no_equal(node.function) from error
        if node.function not in names_there:
            raise no_equal(node.function)
        return f"{names_there[node.function]}({', '.join(self.value(one) for one in node.arguments)})"


def no_equal(function: str) -> Untranslatable:
    return Untranslatable(f"那里没有与 {function}() 相当的函数", f"there is no equal of {function}() there")


def quoted(text: str) -> str:
    if "'" in text and '"' in text:
        raise Untranslatable("文字中同时有两种引号", "a text with both kinds of quotes")
    return f'"{text}"' if "'" in text else f"'{text}'"


def _if(writer: Writer, arguments: tuple[Node, ...]) -> str:
    """`if` with a third way: a condition that is unknown gives nothing."""
    test, yes, no = arguments
    first, second = writer.value(yes), writer.value(no)
    return f"if({writer.condition(test, True)}, {first}, if({writer.condition(test, False)}, {second}, ''))"


def _days(writer: Writer, arguments: tuple[Node, ...]) -> str:
    start, end = (writer.side(one, True) for one in arguments)
    return f"datediff({start}, {end}, 'd', true)"


def _number(writer: Writer, arguments: tuple[Node, ...]) -> str:
    (one,) = arguments
    return writer.value(one)


def _power(writer: Writer, arguments: tuple[Node, ...]) -> str:
    base, exponent = (writer.value(one) for one in arguments)
    return f"({base})^({exponent})"


def _whole(function: str) -> Callable[[Writer, tuple[Node, ...]], str]:
    def made(writer: Writer, arguments: tuple[Node, ...]) -> str:
        (one,) = arguments
        return f"{function}({writer.value(one)}, 0)"

    return made


def _log10(writer: Writer, arguments: tuple[Node, ...]) -> str:
    (one,) = arguments
    return f"log({writer.value(one)}, 10)"


def _count(writer: Writer, arguments: tuple[Node, ...]) -> str:
    (one,) = arguments
    item = writer.item(one.name) if isinstance(one, Ref) else None
    if item is None or item.kind != "choices":
        raise no_equal("count")
    return "sum(" + ", ".join(item.ticked(code) for code in item.codes) + ")"


Special = Callable[[Writer, tuple[Node, ...]], str]
SPECIAL: dict[str, Special] = {
    "if": _if, "days": _days, "number": _number, "pow": _power, "floor": _whole("rounddown"),
    "ceil": _whole("roundup"), "log10": _log10, "count": _count,
}  # fmt: skip
