"""XML as plain nodes with line numbers: no entities, no DTD, nothing from elsewhere, and bounds on everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from crf.definitions.errors import DefinitionErrors

from .loss import refused

MAX_BYTES = 500_000_000
MAX_DEPTH = 60
MAX_TEXT = 1_000_000
MAX_NODES = 20_000_000
XML = "{http://www.w3.org/XML/1998/namespace}"
# Encodings that hospitals' systems write and the XML parser does not read by itself.
RECODED = frozenset(
    ["gb18030", "gbk", "gb2312", "big5", "shift_jis", "euc-jp", "euc-kr", "windows-1252", "windows-1251", "cp1252"]
)
DECLARATION = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")


class Node:
    """An element: `tag` without its namespace `space`; attributes of other namespaces are keyed `{namespace}name`."""

    __slots__ = ("attributes", "children", "line", "space", "tag", "text")

    def __init__(self, tag: str, space: str, attributes: dict[str, str], line: int) -> None:
        self.tag = tag
        self.space = space
        self.attributes = attributes
        self.line = line
        self.children: list[Node] = []
        self.text = ""

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def all(self, *tags: str) -> Iterator[Node]:
        """Its children with one of these tags, in the order of the file."""
        return (child for child in self.children if child.tag in tags)

    def first(self, tag: str) -> Node | None:
        return next(self.all(tag), None)

    def content(self, tag: str) -> str:
        """The text of the first child with this tag."""
        child = self.first(tag)
        return child.text.strip() if child else ""

    def compact(self, most: int = 2000) -> str:
        """The element as one line of XML, for reports."""
        inner = "".join(child.compact(most) for child in self.children) + self.text.strip()
        attributes = "".join(f' {name.rpartition("}")[2]}="{value}"' for name, value in self.attributes.items())
        text = f"<{self.tag}{attributes}>{inner}</{self.tag}>" if inner else f"<{self.tag}{attributes}/>"
        return text if len(text) <= most else text[: most - 1] + "…"


class _Bound(Exception):
    """A bound that the file breaks."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


class _Builder:
    """The parser's target: builds nodes, and hands those of `taken` over instead of keeping them."""

    def __init__(self, taken: dict[str, Callable[[Node, list[Node]], None]], most_text: int) -> None:
        self.taken = taken
        self.most_text = most_text
        self.open: list[Node] = []
        self.pieces: list[list[str]] = []  # of the texts of those that are open
        self.root: Node | None = None
        self.nodes = 0
        self.parser: Any = None
        self.texts: list[str] = []
        self.length = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._text()
        self.nodes += 1
        if len(self.open) >= MAX_DEPTH:
            raise _Bound(f"嵌套超过{MAX_DEPTH}层", f"nested more than {MAX_DEPTH} levels deep")
        if self.nodes > MAX_NODES:
            raise _Bound(f"元素超过{MAX_NODES}个", f"more than {MAX_NODES} elements")
        for value in attributes.values():
            if len(value) > MAX_TEXT:
                raise _huge(MAX_TEXT)
        space, _, tag = name[1:].rpartition("}") if name[0] == "{" else ("", "", name)
        node = Node(tag, space, {key.removeprefix(XML): value for key, value in attributes.items()},
                    self.parser.CurrentLineNumber)  # fmt: skip
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        self.open.append(node)
        self.pieces.append([])

    def data(self, text: str) -> None:
        self.length += len(text)
        if self.length > self.most_text:
            raise _huge(self.most_text)
        self.texts.append(text)

    def _text(self) -> None:
        if self.texts:
            piece = "".join(self.texts)
            if self.pieces[-1] or not piece.isspace():
                self.pieces[-1].append(piece)
            self.texts = []
            self.length = 0

    def end(self, name: str) -> None:
        self._text()
        node = self.open.pop()
        node.text = "".join(self.pieces.pop())
        if len(node.text) > self.most_text:
            raise _huge(self.most_text)
        hand_over = self.taken.get(node.tag)
        if hand_over and self.open:
            self.open[-1].children.pop()
            hand_over(node, self.open)

    def close(self) -> Node:
        assert self.root is not None
        return self.root


def _huge(most: int) -> _Bound:
    return _Bound(f"一处文字超过{most}个字符", f"a text of more than {most} characters")


def read_xml(
    content: bytes,
    *,
    file: str,
    taken: dict[str, Callable[[Node, list[Node]], None]] | None = None,
    most_text: int = MAX_TEXT,
) -> Node:
    """The root element. A text has at most `most_text` characters, an attribute at most MAX_TEXT.

    Elements whose tag is in `taken` are handed over when they end (with those around them) and are not kept, so that
    a long file needs little memory. Raises DefinitionErrors, naming file and line.
    """
    if len(content) > MAX_BYTES:
        million = MAX_BYTES // 1_000_000
        raise refused(file, 1, "", f"文件超过{million} MB", f"larger than {million} MB", "分成几个文件", "split it")
    builder = _Builder(taken or {}, most_text)
    parser = DefusedXMLParser(target=builder, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    builder.parser = parser.parser
    try:
        parser.feed(_recoded(content, file))
        root: Node = parser.close()
    except DefinitionErrors:
        raise
    except ParseError as error:
        line = error.position[0]
        reason = str(error).partition(":")[0]
        raise refused(
            file, line, "", f"不是完整的 XML:{reason}", f"not well-formed XML: {reason}",
            "请从原系统重新导出,勿手工修改或截断", "export it again from its system; don't cut or edit it",
        ) from error  # fmt: skip
    except DefusedXmlException as error:
        raise refused(
            file, builder.parser.CurrentLineNumber, "", "含 DOCTYPE 或实体声明,出于安全不读取",
            "has a DOCTYPE or declares entities, which are not read, for safety",
            "删除 <!DOCTYPE …> 后再导入", "remove <!DOCTYPE …> and import again",
        ) from error  # fmt: skip
    except (LookupError, UnicodeError) as error:
        raise refused(file, 1, "", f"不支持该文字编码:{error}", f"this text encoding is not read: {error}",
                      "请以 UTF-8 重新保存", "save it again as UTF-8") from error  # fmt: skip
    except _Bound as bound:
        raise refused(file, builder.parser.CurrentLineNumber, "", bound.zh, bound.en,
                      "请检查该文件是否正确", "see whether this is the right file") from bound  # fmt: skip
    return root


def _recoded(content: bytes, file: str) -> bytes:
    """As UTF-8 where the declared encoding is one that the parser does not know."""
    match = DECLARATION.match(content[:400])
    encoding = match[1].decode().lower() if match else "utf-8"
    if not match or encoding not in RECODED:
        return content
    try:
        return content[match.end() :].decode(encoding).encode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, match.end() + error.start) + 1
        raise refused(
            file, line, "", f"文字不是所声明的编码 {encoding}", f"the text is not in the declared {encoding}",
            "请以 UTF-8 重新保存", "save it again as UTF-8",
        ) from error  # fmt: skip
