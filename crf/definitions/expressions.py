"""CEL with the null that clinical data needs: what is unknown stays unknown unless logic can decide without it.

The text is tokenised once, names become flat variables and whole numbers become decimals (CEL refuses int * double),
then the `cel` package compiles it. A name without a value is left out of the evaluation; CEL's own rules then give
three-valued logic: `unknown || true` is true, `unknown && false` is false, anything else that needs it is None.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cel

from .errors import Refusal
from .functions import ARITY, FUNCTIONS

MAX_LENGTH = 2000  # an expression of 20,000 additions overflows the parser's stack and kills the process
MAX_DEPTH = 40
METHODS = frozenset({"startsWith", "endsWith", "contains", "matches"})
# CEL's macros over a list: its rows, or the codes of a multiple choice. `meds.exists(r, r.dose > 5)`.
MACROS = frozenset({"map", "filter", "all", "exists", "exists_one"})
ROWS = "[]."  # between a group and an item of its rows in Expression.fields and in a literal's name: meds[].dose
KEYWORDS = frozenset({"true", "false", "in"})
# Segments in a name, by its first: forms.DM.sex, events.D180.LABP.platelets, subject.enrolled_on.
ROOTS = {"forms": 3, "events": 4, "subject": 2, "visit": 2, "today": 1}
FACTS = {
    "subject": frozenset({"enrolled_on", "site", "group", "number"}),
    "visit": frozenset({"event", "repeat", "occurred_on"}),
}

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<string>[rR]?(?:'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
    |(?P<number>(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<name>[A-Za-z_]\w*)
    |(?P<op>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]])""",
    re.VERBOSE | re.ASCII,
)
EQUALS = ("==", "!=")
COMPARISONS = (*EQUALS, "<", "<=", ">", ">=")
NO_VALUE = "x__no_value"  # never bound, so that reading it is an error: CEL's way to say unknown
PARTIAL_DATE = re.compile(r"\d{4}-(?:UK|\d\d)-UK$")


class BadExpression(Refusal):
    """An expression that cannot be compiled, with the reason in both languages."""


class ExpressionFailed(RuntimeError):
    """An expression whose values are all given and which still has no meaning, such as 'A' + 1."""


@dataclass(frozen=True)
class Token:
    kind: str
    text: str


@dataclass(frozen=True)
class Literal:
    """A string that an expression compares a name with: `aetiology == 'HBV'`, `x in ['A', 'B']`, `'A' in x`.

    `is_order` where it asks which comes first: `visit_date >= '2026-01-01'`.
    """

    name: str
    text: str
    is_order: bool = False


class RowList(list[dict[str, Any]]):
    """The rows of a group of this form: known also when there are none."""


@dataclass
class _Translation:
    names: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)
    literals: list[Literal] = field(default_factory=list)
    flags: dict[str, tuple[Callable[[Any], bool], str]] = field(default_factory=dict)

    def flag(self, test: Callable[[Any], bool], name: str) -> str:
        """A boolean variable that says whether `name` passes `test`."""
        variable = f"{test.__name__}__{_flat(name)}"
        self.flags[variable] = (test, name)
        return variable


@dataclass(frozen=True)
class Expression:
    """A compiled expression: the dotted `names` it reads and the strings it compares them with.

    `fields` are the items it reads from the rows of a group: `meds[].dose`.
    """

    source: str
    names: tuple[str, ...]
    fields: tuple[str, ...]
    functions: tuple[str, ...]
    literals: tuple[Literal, ...]
    flags: tuple[tuple[str, Callable[[Any], bool], str], ...]
    variables: tuple[tuple[str, str], ...]  # each name with what CEL calls it
    program: Any

    def evaluate(self, lookup: Callable[[str], Any]) -> Any:
        """The value, or None when it depends on something unknown. `lookup` gives the stored value of a name."""
        variables: dict[str, Any] = {name: FUNCTIONS[name] for name in self.functions}
        complete = True
        for name, variable in self.variables:
            value = lookup(name)
            if is_known(value):
                variables[variable] = value if isinstance(value, float | str) else _as_cel(value)
            else:
                complete = False
        for variable, test, name in self.flags:
            variables[variable] = test(lookup(name))
        return self._run(variables, complete)

    def _run(self, variables: dict[str, Any], complete: bool) -> Any:
        try:
            result = self.program.execute(variables)
        except LookupError:  # a row without that answer
            return None
        except (RuntimeError, TypeError, ArithmeticError, ValueError) as error:
            if complete and not any(mark in str(error) for mark in ("NoValue", NO_VALUE)):
                raise ExpressionFailed(f"{self.source}: {str(error).splitlines()[0]}") from error
            return None
        return None if isinstance(result, float) and not math.isfinite(result) else result


def is_given(value: Any) -> bool:
    """True for an answer; not for an empty one, nor for 'not done', 'unknown' or 'not applicable'."""
    if isinstance(value, dict):
        return "missing" not in value
    return value is not None and value != "" and value != [] and value != ()


def is_known(value: Any) -> bool:
    """True when an expression can calculate with the value: given, and not a partial date."""
    if isinstance(value, str):
        return value != "" and not (len(value) > 2 and value[-3:] == "-UK" and PARTIAL_DATE.match(value))
    return is_given(value) or isinstance(value, RowList)


def _as_cel(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dict):  # a file by its name, an image series by its id
        return str(value.get("series") or value.get("name") or "")
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return [_row_as_cel(row) for row in value]
    return value


def _row_as_cel(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a row; `given__x` says that x is answered, also with a partial date."""
    known = {name: _as_cel(value) for name, value in row.items() if is_known(value)}
    return known | {f"given__{name}": True for name, value in row.items() if is_given(value)}


@functools.lru_cache(maxsize=16384)
def compile_expression(source: str) -> Expression:
    """Compile once; BadExpression says what is wrong and what may stand there."""
    return compiled(source)


def compiled(source: str) -> Expression:
    """Without keeping it."""
    if len(source) > MAX_LENGTH:
        raise BadExpression(f"表达式超过{MAX_LENGTH}个字符,请拆分", f"longer than {MAX_LENGTH} characters; split it")
    found = _Translation()
    text = _Translator(_tokens(source), found).whole()
    try:
        program = cel.compile(text)
    except ValueError as error:
        where = re.search(r"ERROR: <input>:\d+:\d+: (.*)", str(error))
        reason = where.group(1).split(" expecting ")[0] if where else "syntax error"
        raise BadExpression(f"表达式语法错误:{reason}", f"syntax error: {reason}") from error
    names, literals = tuple(dict.fromkeys(found.names)), tuple(dict.fromkeys(found.literals))
    flags = tuple((variable, test, name) for variable, (test, name) in found.flags.items())
    fields = tuple(dict.fromkeys(found.fields))
    variables = tuple((name, _flat(name)) for name in names)
    return Expression(source, names, fields, tuple(sorted(found.functions)), literals, flags, variables, program)


class Comparison(NamedTuple):
    """Two sides of an expression that are compared: each a name, a literal, `count()` for a call, or empty.

    `ordered` is the expression with `<=` between them where it asks whether they are equal: CEL calls values of two
    types unequal, and has no order between them, so that only the latter is an error.
    """

    left: str
    right: str
    ordered: str = ""


def comparisons(source: str) -> Iterator[Comparison]:
    """Every comparison, the members of `in [...]` one by one; not those with a list that is written out."""
    found = [match for match in TOKEN.finditer(source) if match.lastgroup != "space"]
    texts = [match.group() for match in found]
    for at, match in enumerate(found):
        before, after, rest = source[: match.start()], source[match.end() :], texts[at + 1 :]
        if texts[at] in COMPARISONS and rest[:1] != ["["] and texts[at - 1 : at] != ["]"]:
            ordered = f"{before}<={after}" if texts[at] in EQUALS else ""
            yield Comparison(_side_before(texts[:at]), _side_after(rest), ordered)
        elif texts[at] == "in" and rest[:1] == ["["] and "]" in rest:
            end = at + 1 + rest.index("]")
            for one in range(at + 2, end):
                if texts[one] != ",":
                    ordered = f"{before}<= {texts[one]}{source[found[end].end() :]}"
                    yield Comparison(_side_before(texts[:at]), texts[one], ordered)


def _side_before(texts: list[str]) -> str:
    """What ends here."""
    start = len(texts)
    if texts[-1:] == [")"]:
        start = _opening(texts)
        return f"{texts[start - 1]}()" if start and texts[start - 1].isidentifier() else ""
    while start and (texts[start - 1] == "." or texts[start - 1].isidentifier()):
        start -= 1
    return "".join(texts[start:]) or _literal("".join(texts[-1:]))


def _opening(texts: list[str]) -> int:
    """Where the bracket opens that closes at the end; 0 where it does not."""
    depth = 0
    for at in range(len(texts) - 1, -1, -1):
        depth += (texts[at] == ")") - (texts[at] == "(")
        if not depth:
            return at
    return 0


def _side_after(texts: list[str]) -> str:
    """What begins here."""
    texts = texts[1:] if texts[:1] == ["-"] else texts
    if texts[1:2] == ["("] and texts[0].isidentifier():
        return f"{texts[0]}()"
    end = next((at for at, text in enumerate(texts) if text != "." and not text.isidentifier()), len(texts))
    is_more = texts[max(end, 1) : max(end, 1) + 1] in (["("], ["["], ["."])
    return "" if is_more else "".join(texts[:end]) or _literal("".join(texts[:1]))


def _literal(text: str) -> str:
    return text if text[:1] in ("'", '"', "r", "R") or text[:1].isdigit() or text[:1] == "." else ""


def evaluate_expression(source: str, values: Mapping[str, Any]) -> Any:
    """Evaluate against dotted names in `values`; for tests, endpoints and the command line."""
    return compile_expression(source).evaluate(values.get)


def _tokens(source: str) -> list[Token]:
    tokens, at = [], 0
    while at < len(source):
        match = TOKEN.match(source, at)
        if match is None:
            bad = source[at : at + 12]
            raise BadExpression(f"在“{bad}”处不能识别", f"cannot read {bad!r}")
        if match.lastgroup and match.lastgroup != "space":
            tokens.append(Token(match.lastgroup, match.group()))
        at = match.end()
    return tokens


@functools.cache
def _flat(name: str) -> str:
    """A dotted name as one variable; the prefix keeps an item called `albi` apart from the function."""
    return "x__" + name.replace(".", "__")


class _Translator:
    """One pass over the tokens: our names and functions in, CEL text out."""

    def __init__(self, tokens: list[Token], found: _Translation) -> None:
        self.tokens = tokens
        self.found = found
        self.at = 0
        self.depth = 0
        self.receiver = ""  # the list that a macro after this point runs over
        self.bound: dict[str, str] = {}  # variables of macros around this point, each with its list
        self.row_reads: list[str] = []  # items of rows read so far, as CEL asks whether a row has them

    def whole(self) -> str:
        text = self.until(())
        if self.at < len(self.tokens):
            raise BadExpression("括号不配对", f"unmatched {self.tokens[self.at].text!r}")
        if not text:
            raise BadExpression("表达式为空", "the expression is empty")
        return text

    def peek(self, ahead: int = 0) -> Token:
        index = self.at + ahead
        return self.tokens[index] if 0 <= index < len(self.tokens) else Token("end", "")

    def until(self, closers: tuple[str, ...]) -> str:
        """Translate up to a closer at this depth, which is left standing."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadExpression("括号嵌套过深", f"more than {MAX_DEPTH} levels of brackets")
        parts: list[str] = []
        while self.peek().kind != "end" and self.peek().text not in (*closers, ")", "]"):
            parts.append(self.one())
        self.depth -= 1
        return " ".join(parts)

    def one(self) -> str:
        token = self.peek()
        if token.kind == "name" and token.text not in KEYWORDS:
            return self.named()
        self.at += 1
        if token.kind == "number":
            return token.text if re.search(r"[.eE]", token.text) else f"{token.text}.0"
        if token.text in ("(", "["):
            closer = ")" if token.text == "(" else "]"
            arguments = self.arguments(closer)
            return token.text + ", ".join(arguments) + closer
        if token.text == ".":
            return self.method()
        if token.text == "%":
            raise BadExpression("不支持 %;请用 x - floor(x / n) * n", "% is not offered; use x - floor(x / n) * n")
        if token.kind == "string":
            self.literal_before_name(token)
        return token.text

    def arguments(self, closer: str) -> list[str]:
        """Comma-separated parts up to `closer`, which is consumed."""
        parts: list[str] = []
        while self.peek().text != closer:
            parts.append(self.until((",", closer)))
            if self.peek().text == ",":
                self.at += 1
            elif self.peek().text != closer:
                raise BadExpression(f"缺少“{closer}”", f"{closer!r} is missing")
        self.at += 1
        return parts

    def method(self) -> str:
        name = self.peek().text
        if name in MACROS and self.peek(1).text == "(":
            return self.macro(name)
        if name not in METHODS or self.peek(1).text != "(":
            known = ", ".join(sorted(METHODS | MACROS))
            raise BadExpression(f"“.{name}”不可用;可用:{known}", f".{name} is not offered; there are {known}")
        self.at += 2
        return f".{name}({', '.join(self.arguments(')'))})"

    def macro(self, name: str) -> str:
        """`list.map(r, …)`: inside, `r` is one row, and `r.dose` its item."""
        variable = self.peek(2).text
        taken = variable in KEYWORDS or variable in ROOTS or variable in self.bound or variable == "null"
        if self.peek(2).kind != "name" or taken or self.peek(3).text != ",":
            raise BadExpression(
                f"写成 .{name}(r, 条件),r 是一行的名字", f"write .{name}(r, …), where r names one row of the list"
            )
        self.at += 4
        over = self.receiver
        self.bound[variable] = over
        parts = self.arguments(")")
        del self.bound[variable]
        self.receiver = over if name == "filter" else ""
        if len(parts) != 1 or not parts[0]:
            raise BadExpression(f".{name}() 需要变量和一个表达式", f".{name}() takes a variable and one expression")
        return f".{name}(v__{variable}, {parts[0]})"

    def named(self) -> str:
        word = self.peek().text
        if word in self.bound:
            return self.variable()
        if self.peek(1).text == "(" and word not in ROOTS:
            return self.call(word)
        if word == "null":
            return self.no_value()
        name = self.path()
        self.found.names.append(name)
        self.literals_after_name(name)
        self.receiver = name
        return _flat(name)

    def variable(self) -> str:
        """`r`, or `r.dose` where r is a row."""
        variable = self.peek().text
        self.at += 1
        if self.peek().text != "." or self.peek(1).kind != "name" or self.peek(2).text == "(":
            self.literals_after_name(self.bound[variable])
            return f"v__{variable}"
        column = self.peek(1).text
        self.at += 2
        name = f"{self.bound[variable]}{ROWS}{column}"
        self.found.fields.append(name)
        self.row_reads.append(f"has(v__{variable}.{column})")
        self.literals_after_name(name)
        return f"v__{variable}.{column}"

    def no_value(self) -> str:
        """`null` as a branch of `? :`; comparing with it would be unknown whatever the value, so that is refused."""
        self.at += 1
        if self.peek(-2).text not in ("?", ":") or self.peek().text not in (":", ")", ",", ""):
            raise BadExpression(
                "null 只能作为 ? : 的结果;判断有无请用 given(x) 或 !given(x)",
                "null is only a result of `? :`; to test for a value write given(x) or !given(x)",
            )
        return NO_VALUE

    def path(self) -> str:
        """Consume a dotted name; its first word says how many segments it has."""
        root = self.peek().text
        segments = [root]
        self.at += 1
        for _ in range(ROOTS.get(root, 1) - 1):
            if self.peek().text != "." or self.peek(1).kind != "name":
                raise BadExpression(f"“{'.'.join(segments)}”不完整", f"{'.'.join(segments)} is not a whole name")
            segments.append(self.peek(1).text)
            self.at += 2
        if root in FACTS and segments[1] not in FACTS[root]:
            known = ", ".join(sorted(FACTS[root]))
            raise BadExpression(f"{root}没有“{segments[1]}”;可用:{known}", f"{root} has {known}, not {segments[1]}")
        return ".".join(segments)

    def call(self, function: str) -> str:
        function = "count" if function == "size" else function
        if function not in ARITY:
            hint = "given(x)" if function == "has" else ", ".join(sorted(ARITY))
            raise BadExpression(f"没有函数{function};可用:{hint}", f"no function {function}; use {hint}")
        self.at += 2
        if function == "given":
            return self.given()
        if function == "coalesce":
            return self.coalesce()
        arguments = self.arguments(")")
        _check_arity(function, len(arguments))
        if function != "string":
            self.found.functions.add(function)
        return f"{function}({', '.join(arguments)})"

    def given(self) -> str:
        if self.peek().kind != "name" or self.peek().text in KEYWORDS:
            raise BadExpression("given() 里写一个条目名", "given() takes the name of one item")
        if self.peek().text in self.bound:
            return self.given_in_row()
        name = self.path()
        self.found.names.append(name)
        if self.peek().text != ")":
            raise BadExpression("given() 里写一个条目名", "given() takes the name of one item")
        self.at += 1
        return self.found.flag(is_given, name)

    def given_in_row(self) -> str:
        """given(r.dose): whether that row answers it."""
        text = self.variable()
        row, _, column = text.partition(".")
        if not column or self.peek().text != ")":
            raise BadExpression("given() 里写一行的条目,如 r.dose", "given() takes an item of the row, such as r.dose")
        self.at += 1
        return f"has({row}.given__{column})"

    def coalesce(self) -> str:
        """coalesce(a, b): a where all that it reads is known, else b."""
        choices: list[tuple[str, str]] = []
        while True:
            names, reads = len(self.found.names), len(self.row_reads)
            text = self.until((",",))
            flags = [self.found.flag(is_known, name) for name in self.found.names[names:]]
            choices.append((text, " && ".join([*flags, *self.row_reads[reads:]])))
            closer = self.peek().text
            self.at += 1
            if closer != ",":
                break
        if closer != ")":
            raise BadExpression("缺少“)”", "')' is missing")
        _check_arity("coalesce", len(choices))
        result = choices[-1][0]
        for text, known in reversed(choices[:-1]):
            result = f"({known or 'true'} ? ({text}) : ({result}))"
        return result

    def literals_after_name(self, name: str) -> None:
        """Note `name == 'X'` and `name in ['X', 'Y']`, so that a misspelt code is found at load."""
        operator, ahead = self.peek().text, 1
        if operator in COMPARISONS and self.peek(1).kind == "string":
            self.found.literals.append(Literal(name, _unquote(self.peek(1).text), operator not in EQUALS))
        elif operator == "in" and self.peek(1).text == "[":
            while self.peek(ahead).kind in ("string", "op") and self.peek(ahead).text != "]":
                ahead += 1
                if self.peek(ahead).kind == "string":
                    self.found.literals.append(Literal(name, _unquote(self.peek(ahead).text)))

    def literal_before_name(self, token: Token) -> None:
        """Note `'X' == name` and `'X' in name`; the string itself is already consumed."""
        operator, root = self.peek().text, self.peek(1)
        if operator in (*COMPARISONS, "in") and root.kind == "name" and self.peek(2).text != "(":
            here = self.at
            self.at += 1
            name = self.row_path() if root.text in self.bound else self.path()
            is_order = operator not in (*EQUALS, "in")
            self.found.literals.append(Literal(name, _unquote(token.text), is_order))
            self.at = here

    def row_path(self) -> str:
        """The item that a row's variable at this point reads."""
        over = self.bound[self.peek().text]
        is_field = self.peek(1).text == "." and self.peek(2).kind == "name"
        return f"{over}{ROWS}{self.peek(2).text}" if is_field else over


def _unquote(text: str) -> str:
    return text.lstrip("rR")[1:-1]


def _check_arity(function: str, count: int) -> None:
    least, most = ARITY[function]
    if count < least or (most is not None and count > most):
        wanted = str(least) if most == least else f"{least}-{most}" if most else f">= {least}"
        raise BadExpression(
            f"{function}() 需要{wanted}个参数,这里有{count}个", f"{function}() takes {wanted} arguments, not {count}"
        )
