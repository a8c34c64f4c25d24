"""Our CEL as the XPath of XLSForms."""

from __future__ import annotations

from collections.abc import Mapping

from .logic_parse import Node, Ref, parse
from .redcap_logic import SPECIAL, Special, Writer, Written, no_equal

SAME_NAME = {
    "round": "round", "abs": "abs", "sqrt": "sqrt", "min": "min", "max": "max", "pow": "pow", "exp": "exp",
    "ln": "log", "log10": "log10", "floor": "floor", "ceil": "ceiling", "number": "number", "coalesce": "coalesce",
}  # fmt: skip


def to_xpath(cel: str, written: Mapping[str, Written], *, condition: bool) -> str:
    """One of our expressions as an XLSForm writes it; `written` by our names. Raises Untranslatable."""
    writer = _XPathWriter(written)
    node = parse(cel, "cel")
    return writer.condition(node, True) if condition else writer.value(node)


class _XPathWriter(Writer):
    unlike = "!="
    today = "today()"

    def ticked(self, name: str, code: str) -> str:
        return f"selected({self.item(name).reference}, '{code}')"

    def unticked(self, name: str, code: str) -> str:
        return f"not({self.ticked(name, code)})"

    def answered(self, name: str) -> str:
        return f"{self.item(name).reference} != ''"

    def unanswered(self, name: str) -> str:
        return f"{self.item(name).reference} = ''"

    def arithmetic(self, operator: str) -> str:
        return "div" if operator == "/" else operator

    def read(self, ref: Ref) -> str:
        return self.today if ref.name == "today" else super().read(ref)

    def functions(self) -> tuple[Mapping[str, Special], Mapping[str, str]]:
        return {"if": SPECIAL["if"], "days": _days, "count": _count}, SAME_NAME


def _days(writer: Writer, arguments: tuple[Node, ...]) -> str:
    start, end = (writer.side(one, True) for one in arguments)
    return f"({end} - {start})"


def _count(writer: Writer, arguments: tuple[Node, ...]) -> str:
    (one,) = arguments
    if not isinstance(one, Ref) or writer.item(one.name).kind != "choices":
        raise no_equal("count")
    return f"count-selected({writer.item(one.name).reference})"
