"""Other systems' expressions as one kind of tree: REDCap logic, XPath of XLSForm and ODM, OpenEDC's, and our own CEL.

A dialect is a table of tokens and the words of its operators; one parser reads them all. What cannot be read raises
`Untranslatable`, which says why in both languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from crf.definitions.errors import Refusal

MAX_LENGTH = 20_000
MAX_DEPTH = 30
MAX_HEIGHT = 100  # of the tree: `a + b + c` stands one higher with each summand, and printing it recurses
Dialect = Literal["redcap", "xpath", "odm", "openedc", "cel"]


class Untranslatable(Refusal):
    """An expression, or a part of one, that has no equal here."""


@dataclass(frozen=True)
class Number:
    text: str


@dataclass(frozen=True)
class String:
    text: str


@dataclass(frozen=True)
class Ref:
    """A name in the foreign file's spelling; REDCap's `[event][field]` is `event/field`, ODM's form is `form/item`."""

    name: str


@dataclass(frozen=True)
class Option:
    """Whether one choice of several is ticked: REDCap's `[field(code)]`, our `'code' in field`."""

    name: str
    code: str


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Binary:
    """`operator` is one of or and = != < <= > >= + - * / % ^."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Not:
    inner: Node


@dataclass(frozen=True)
class Negative:
    inner: Node


@dataclass(frozen=True)
class Elements:
    """A list of strings, as CEL writes it after `in`."""

    texts: tuple[str, ...]


Node = Number | String | Ref | Option | Call | Binary | Not | Negative | Elements

# How tightly an operator binds; ^ is read from the right.
BINDING = {
    "?": 0, "or": 1, "and": 2, "=": 3, "!=": 3, "in": 4, "<": 4, "<=": 4, ">": 4, ">=": 4,
    "+": 5, "-": 5, "*": 6, "/": 6, "%": 6, "^": 8,
}  # fmt: skip
PREFIX = 7

_STRING = r"""(?P<string>'[^']*'|"[^"]*")"""
_NUMBER = r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?(?![\w]))"
_STEP = r"(?:StudyEventData|FormData|ItemGroupData)(?:\[@\w+\s*=\s*(?:'[^']*'|\"[^\"]*\")\])*/"
_ITEM_PATH = (
    rf"(?P<item>(?:\.\./|\./|/)*(?:{_STEP})*ItemData\[@ItemOID\s*=\s*(?:'[^']*'|\"[^\"]*\")\]"
    r"(?:\[@Value\s*(?:<=|>=|!=|=|<|>)\s*(?:'[^']*'|\"[^\"]*\"|[\d.]+)\])?(?:/@Value)?)"
)


@dataclass(frozen=True)
class Grammar:
    """The tokens of a dialect, and its operators by how they are written; words are compared in lower case."""

    tokens: re.Pattern[str]
    operators: Mapping[str, str]
    words: Mapping[str, str] = field(default_factory=dict)
    any_case: bool = False


_COMPARISONS = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_ARITHMETIC = {"+": "+", "-": "-", "*": "*"}
_SYMBOLS = {"&&": "and", "||": "or", "==": "="}

GRAMMARS: dict[Dialect, Grammar] = {
    "redcap": Grammar(
        re.compile(
            rf"(?P<space>\s+|(?://|\#)[^\n]*)|{_STRING}|{_NUMBER}|(?P<ref>\[[^\[\]]*\](?:\[[^\[\]]*\])*)"
            r"|(?P<word>[A-Za-z_]\w*)|(?P<op><>|!=|<=|>=|==|&&|\|\||[-+*/%^=<>!(),])"
        ),
        _COMPARISONS | _ARITHMETIC | _SYMBOLS | {"<>": "!=", "/": "/", "%": "%", "^": "^"},
        {"and": "and", "or": "or"},
        any_case=True,
    ),
    "xpath": Grammar(
        re.compile(
            rf"(?P<space>\s+)|{_STRING}|{_NUMBER}|(?P<ref>\$\{{[^{{}}]*\}})|(?P<path>(?:\.\./|/)[\w./-]+)"
            r"|(?P<word>[A-Za-z_][\w:-]*)|(?P<self>\.)|(?P<op>!=|<=|>=|[-+*=<>(),])"
        ),
        _COMPARISONS | _ARITHMETIC,
        {"and": "and", "or": "or", "div": "/", "mod": "%"},
    ),
    "odm": Grammar(
        re.compile(
            rf"(?P<space>\s+)|{_ITEM_PATH}|{_STRING}|{_NUMBER}"
            r"|(?P<word>[A-Za-z_][\w:.-]*)|(?P<op>!=|<=|>=|==|<>|&&|\|\||[-+*/^=<>!(),])"
        ),
        _COMPARISONS | _ARITHMETIC | _SYMBOLS | {"<>": "!=", "/": "/", "^": "^"},
        {"and": "and", "or": "or", "div": "/", "mod": "%"},
        any_case=True,
    ),
    "openedc": Grammar(
        re.compile(
            rf"(?P<space>\s+)|{_STRING}|{_NUMBER}"
            r"|(?P<word>[^\W\d](?:[\w.-]*\w)?)|(?P<op>!=|<=|>=|==|&&|\|\||[-+*/%^=<>!(),])"
        ),
        _COMPARISONS | _ARITHMETIC | _SYMBOLS | {"/": "/", "%": "%", "^": "^"},
        {"and": "and", "or": "or"},
    ),
    "cel": Grammar(
        re.compile(
            rf"(?P<space>\s+|//[^\n]*)|(?P<string>'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")|{_NUMBER}"
            r"|(?P<word>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<op>&&|\|\||==|!=|<=|>=|[-+*/<>!?:(),\[\]])"
        ),
        _COMPARISONS | _ARITHMETIC | _SYMBOLS | {"/": "/", "?": "?"},
        {"in": "in"},
    ),
}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str


def parse(text: str, dialect: Dialect) -> Node:
    """The tree of an expression. Raises Untranslatable for what is not one."""
    if len(text) > MAX_LENGTH:
        raise Untranslatable(f"表达式超过{MAX_LENGTH}个字符", f"longer than {MAX_LENGTH} characters")
    reader = _Reader(_tokens(text, GRAMMARS[dialect]), dialect)
    node = reader.expression(0)
    if reader.peek().kind != "end":
        raise unreadable(reader.peek().text)
    if any(level > MAX_HEIGHT for _part, level in _parts(node)):
        raise Untranslatable(f"运算超过{MAX_HEIGHT}步", f"more than {MAX_HEIGHT} steps in a row")
    return node


def unreadable(text: str) -> Untranslatable:
    shown = text[:20] or "…"
    return Untranslatable(f"在“{shown}”处不能识别", f"cannot be read at {shown!r}")


def _tokens(text: str, grammar: Grammar) -> list[Token]:
    found, at = [], 0
    while at < len(text):
        match = grammar.tokens.match(text, at)
        if match is None or not match.lastgroup:
            raise unreadable(text[at:])
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup, match.group()))
        at = match.end()
    return found


class _Reader:
    """Reads by how tightly operators bind (Pratt)."""

    def __init__(self, tokens: list[Token], dialect: Dialect) -> None:
        self.tokens = tokens
        self.dialect = dialect
        self.grammar = GRAMMARS[dialect]
        self.at = 0
        self.depth = 0

    def peek(self, ahead: int = 0) -> Token:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else Token("end", "")

    def take(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def expect(self, text: str) -> None:
        if self.take().text != text:
            raise Untranslatable(f"缺少“{text}”", f"{text!r} is missing")

    def operator(self) -> str:
        """The canonical operator that stands next; empty where there is none."""
        token = self.peek()
        if token.kind == "op":
            return self.grammar.operators.get(token.text, "")
        if token.kind == "word":
            return self.grammar.words.get(self.spelt(token.text), "")
        return ""

    def spelt(self, word: str) -> str:
        return word.lower() if self.grammar.any_case else word

    def expression(self, least: int) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Untranslatable(f"嵌套超过{MAX_DEPTH}层", f"nested more than {MAX_DEPTH} deep")
        left = self.prefix()
        while (operator := self.operator()) and BINDING[operator] >= least:
            self.at += 1
            if operator == "?":
                left = self.ternary(left)
                continue
            tighter = BINDING[operator] + (operator != "^")
            left = self.joined(operator, left, self.expression(tighter))
        self.depth -= 1
        return left

    def ternary(self, condition: Node) -> Node:
        yes = self.expression(0)
        self.expect(":")
        return Call("if", (condition, yes, self.expression(0)))

    def joined(self, operator: str, left: Node, right: Node) -> Node:
        if operator != "in":
            return Binary(operator, left, right)
        if isinstance(left, String) and isinstance(right, Ref):
            return Option(right.name, left.text)
        if isinstance(right, Elements) and right.texts:
            parts: list[Node] = [Binary("=", left, String(text)) for text in right.texts]
            result = parts[0]
            for part in parts[1:]:
                result = Binary("or", result, part)
            return result
        raise Untranslatable("不支持该 in 写法", "this use of `in` has no equal")

    def prefix(self) -> Node:
        token = self.peek()
        if token.text == "-" or token.text == "+":
            self.at += 1
            inner = self.expression(PREFIX)
            return Negative(inner) if token.text == "-" else inner
        if token.text == "!":
            self.at += 1
            return Not(self.expression(PREFIX))
        if token.kind == "word" and self.spelt(token.text) == "not" and self.peek(1).text != "(":
            self.at += 1
            return Not(self.expression(BINDING["="]))
        return self.primary()

    def primary(self) -> Node:
        token = self.take()
        if token.text == "(":
            inner = self.expression(0)
            self.expect(")")
            return inner
        if token.text == "[":
            return self.elements()
        if token.kind == "number":
            return Number(token.text)
        if token.kind == "string":
            return String(unquoted(token.text, self.dialect))
        if token.kind == "word":
            return self.word(token.text)
        if token.kind == "self":
            return Ref(".")
        if token.kind in ("ref", "path"):
            return _reference(token)
        if token.kind == "item":
            return _item_data(token.text)
        if token.kind == "end":
            raise Untranslatable("表达式不完整", "the expression ends too early")
        raise unreadable(token.text)

    def elements(self) -> Node:
        texts = []
        while self.peek().kind == "string":
            texts.append(unquoted(self.take().text, self.dialect))
            if self.peek().text == ",":
                self.at += 1
        self.expect("]")
        return Elements(tuple(texts))

    def word(self, word: str) -> Node:
        if self.peek().text == "(":
            self.at += 1
            arguments = self.arguments()
            name = word.lower() if self.grammar.any_case else word
            if name == "not" and len(arguments) == 1:
                return Not(arguments[0])
            return Call(name, arguments)
        if self.spelt(word) in ("true", "false"):
            return Call(self.spelt(word), ())
        if self.dialect == "cel" and word == "null":
            return String("")
        if self.dialect in ("cel", "openedc", "odm"):
            return Ref(word)
        raise unreadable(word)

    def arguments(self) -> tuple[Node, ...]:
        found: list[Node] = []
        while self.peek().text != ")":
            found.append(self.expression(0))
            if self.peek().text == ",":
                self.at += 1
            elif self.peek().text != ")":
                raise Untranslatable("缺少“)”", "')' is missing")
        self.at += 1
        return tuple(found)


def unquoted(text: str, dialect: Dialect) -> str:
    inner = text[1:-1]
    return re.sub(r"\\(.)", r"\1", inner) if dialect == "cel" else inner


def _reference(token: Token) -> Node:
    if token.kind == "path":
        return Ref(token.text.rstrip("/").rpartition("/")[2])
    if token.text.startswith("$"):
        return Ref(token.text[2:-1].strip())
    parts = [part.strip() for part in token.text[1:-1].split("][")]
    last = re.fullmatch(r"(\w+)\(([^()]*)\)", parts[-1])
    if last:
        return Option("/".join([*parts[:-1], last[1]]), last[2].strip())
    return Ref("/".join(parts))


def _item_data(path: str) -> Node:
    """`../FormData[@FormOID='F']/ItemData[@ItemOID='I'][@Value='1']` as `F/I = '1'`."""
    oids = dict(re.findall(r"@(\w+OID)\s*=\s*['\"]([^'\"]*)['\"]", path))
    name = "/".join(oids[key] for key in ("StudyEventOID", "FormOID", "ItemOID") if key in oids)
    test = re.search(r"\[@Value\s*(<=|>=|!=|=|<|>)\s*('[^']*'|\"[^\"]*\"|[\d.]+)\]", path)
    if not test:
        return Ref(name)
    literal = test[2]
    right: Node = String(literal[1:-1]) if literal[0] in "'\"" else Number(literal)
    return Binary(test[1], Ref(name), right)


def _parts(node: Node) -> Iterator[tuple[Node, int]]:
    """Every node of a tree with its level, from the left."""
    stack: list[tuple[Node, int]] = [(node, 0)]
    while stack:
        one, level = stack.pop()
        yield one, level
        below: tuple[Node, ...] = ()
        if isinstance(one, Call):
            below = one.arguments
        elif isinstance(one, Binary):
            below = (one.left, one.right)
        elif isinstance(one, Not | Negative):
            below = (one.inner,)
        stack.extend((part, level + 1) for part in reversed(below))


def names(node: Node) -> list[str]:
    """The names that a tree reads, each once, in order."""
    return list(dict.fromkeys(part.name for part, _level in _parts(node) if isinstance(part, Ref | Option)))
