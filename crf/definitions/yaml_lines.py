"""YAML as plain values with the line of every key: no tags, no duplicate keys, no surprises from `NO` or `01`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import Place, Refusal

MAX_BYTES = 20_000_000
MAX_NODES = 600_000  # aliases can make a small file unfold to billions of nodes
MAX_DEPTH = 60

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Base  # type: ignore[assignment]


class BadYaml(Refusal):
    """A file that is no YAML, or YAML with something a definition may not have."""

    def __init__(self, line: int, zh: str, en: str) -> None:
        super().__init__(zh, en)
        self.line = line


class _Loader(_Base):
    """YAML 1.2's plain words: only true/false, null and numbers without leading zeros are not text."""


_Loader.yaml_implicit_resolvers = {}
_WORDS = [
    ("tag:yaml.org,2002:null", r"(?:null|Null|NULL|~|)$", ["n", "N", "~", ""]),
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("tag:yaml.org,2002:float", r"[-+]?(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
]
for _tag, _pattern, _first in _WORDS:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def implicit_resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Which plain words are not text, for those who write what is read here."""
    return {first: list(rules) for first, rules in _Loader.yaml_implicit_resolvers.items()}


class Lines:
    """Line numbers (from 1) by place."""

    def __init__(self) -> None:
        self.by_place: dict[Place, int] = {(): 1}

    def of(self, place: Place) -> int:
        """The line of the nearest key on the way to `place` that the file has."""
        while place not in self.by_place:
            place = place[:-1]
        return self.by_place[place]


def read(path: Path) -> tuple[Any, Lines]:
    """The value of a YAML file and its lines. Raises BadYaml."""
    content = path.read_bytes()
    if len(content) > MAX_BYTES:
        raise BadYaml(1, f"文件超过{MAX_BYTES // 1_000_000} MB", f"larger than {MAX_BYTES // 1_000_000} MB")
    return parse(content)


def parse(content: bytes | str) -> tuple[Any, Lines]:
    try:
        _refuse_depth(content)
        node = yaml.compose(content, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadYaml(line, f"YAML 语法错误:{error.problem}", f"YAML syntax: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise BadYaml(1, f"无法读取(应为 UTF-8 的 YAML):{reason}", f"not YAML in UTF-8: {reason}") from error
    lines = Lines()
    return (None if node is None else _Reader(lines).value(node, (), frozenset())), lines


def _refuse_depth(content: bytes | str) -> None:
    """By events, which take no stack: composing nests as the file does, and libyaml's binding then ends the process."""
    depth = 0
    for event in yaml.parse(content, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise BadYaml(event.start_mark.line + 1 if event.start_mark else 1, "嵌套过深", "nested too deeply")


class _Reader:
    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.nodes = 0

    def value(self, node: yaml.Node, place: Place, above: frozenset[int]) -> Any:
        self.nodes += 1
        line = node.start_mark.line + 1
        if self.nodes > MAX_NODES or len(above) > MAX_DEPTH:
            raise BadYaml(line, "内容过多或嵌套过深(检查 & 和 * 引用)", "too much content (look at & and * references)")
        if id(node) in above:
            raise BadYaml(line, "引用自身", "refers to itself")
        self.lines.by_place.setdefault(place, line)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, place, above | {id(node)})
        if isinstance(node, yaml.SequenceNode):
            inner = above | {id(node)}
            return [self.value(child, (*place, index), inner) for index, child in enumerate(node.value)]
        return _scalar(node)

    def mapping(self, node: yaml.MappingNode, place: Place, above: frozenset[int]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, child in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise BadYaml(line, "键应为文字", "a key must be text")
            key = key_node.value
            if key in result:
                raise BadYaml(line, f"键“{key}”重复", f"key {key!r} appears twice")
            self.lines.by_place[(*place, key)] = line
            result[key] = self.value(child, (*place, key), above)
        return result


def _scalar(node: yaml.Node) -> Any:
    tag, text = node.tag.removeprefix("tag:yaml.org,2002:"), node.value
    if tag == "str":
        return text
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag in ("int", "float"):
        try:
            return int(text) if tag == "int" else float(text)
        except ValueError as error:
            raise BadYaml(
                node.start_mark.line + 1, f"“{text[:40]}”不是数字", f"{text[:40]!r} is not a number"
            ) from error
    raise BadYaml(node.start_mark.line + 1, f"不支持标签 {node.tag}", f"tag {node.tag} is not supported")
