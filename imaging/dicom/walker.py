"""Walk the bytes of a DICOM data set without parsing values: how deep, how many, does it end where it says.

pydicom recurses once per nested sequence (pydicom #2330) and trusts lengths, so this runs before it, on its own stack.
"""

import struct
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag

from imaging.dicom.reasons import Refused

MAX_DEPTH = 32
MAX_ELEMENTS = 2_000_000
UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010


@dataclass(slots=True)
class Level:
    """An open container: `items` holds items (a sequence), otherwise elements; `end` is None when undefined."""

    end: int | None
    items: bool
    explicit: bool
    little: bool = True


def walk(content: bytes, start: int, *, explicit: bool, little: bool) -> int:
    """Return the greatest sequence depth; raises Refused on what is too deep, too long or cut short (O(elements))."""
    position, elements, deepest = start, 0, 0
    stack = [Level(len(content), items=False, explicit=explicit, little=little)]
    while True:
        while len(stack) > 1 and (end := stack[-1].end) is not None and position >= end:
            stack.pop()
        if position + 8 > len(content):
            return deepest
        elements += 1
        if elements > MAX_ELEMENTS:
            raise Refused("too_many_elements", limit=MAX_ELEMENTS)
        position = _step(content, position, stack)
        deepest = max(deepest, sum(level.items for level in stack))
        if deepest > MAX_DEPTH:
            raise Refused("too_deep", limit=MAX_DEPTH)


def _step(content: bytes, position: int, stack: list[Level]) -> int:
    """Consume one header, opening or closing containers; returns where the next header starts."""
    level = stack[-1]
    group, element = struct.unpack_from("<HH" if level.little else ">HH", content, position)
    tag = group << 16 | element
    if tag in (ITEM, ITEM_END, SEQUENCE_END):
        return _delimiter(content, position, tag, stack)
    vr, length, value = _header(content, position, tag, level)
    if length == UNDEFINED:
        if tag == PIXEL_DATA:
            return _fragments(content, value, level.little)
        # An UN of undefined length is implicit inside, whatever is around it (PS3.5 6.2.2).
        stack.append(Level(None, items=True, explicit=level.explicit and vr != b"UN", little=level.little))
        return value
    if value + length > len(content):
        raise Refused("truncated", tag=str(Tag(tag)), offset=position)
    if vr == b"SQ" and length:
        stack.append(Level(value + length, items=True, explicit=level.explicit, little=level.little))
        return value
    return value + length


def _header(content: bytes, position: int, tag: int, level: Level) -> tuple[bytes, int, int]:
    """VR, length and start of the value of the element at `position`."""
    order = "<" if level.little else ">"
    if not level.explicit:
        return _implied_vr(tag), struct.unpack_from(order + "L", content, position + 4)[0], position + 8
    vr = content[position + 4 : position + 6]
    if vr not in LONG_VRS:
        return vr, struct.unpack_from(order + "H", content, position + 6)[0], position + 8
    if position + 12 > len(content):
        raise Refused("truncated", tag=str(Tag(tag)), offset=position)
    return vr, struct.unpack_from(order + "L", content, position + 8)[0], position + 12


def _implied_vr(tag: int) -> bytes:
    try:
        return dictionary_VR(tag).encode()[:2]
    except KeyError:
        return b"UN"


def _delimiter(content: bytes, position: int, tag: int, stack: list[Level]) -> int:
    level = stack[-1]
    length = struct.unpack_from("<L" if level.little else ">L", content, position + 4)[0]
    value = position + 8
    if tag == ITEM and level.items:
        end = None if length == UNDEFINED else value + length
        if end is not None and end > len(content):
            raise Refused("truncated", tag=str(Tag(tag)), offset=position)
        stack.append(Level(end, items=False, explicit=level.explicit, little=level.little))
    elif len(stack) > 1 and tag == (SEQUENCE_END if level.items else ITEM_END):
        stack.pop()
    return value


def _fragments(content: bytes, position: int, little: bool) -> int:
    """Skip encapsulated pixel data: items up to the sequence delimiter."""
    order = "<HHL" if little else ">HHL"
    while position + 8 <= len(content):
        group, element, length = struct.unpack_from(order, content, position)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return position + 8
        if tag != ITEM or position + 8 + length > len(content):
            raise Refused("truncated", tag="(7FE0,0010)", offset=position)
        position += 8 + length
    raise Refused("truncated", tag="(7FE0,0010)", offset=position)


def transfer_syntax(content: bytes) -> tuple[int, str]:
    """Where the data set starts, and the Transfer Syntax UID that group 0002 names ("" if it names none)."""
    position, uid = 132, ""
    level = Level(len(content), items=False, explicit=True)
    while content[position : position + 2] == b"\x02\x00" and position + 8 <= len(content):
        element = struct.unpack_from("<H", content, position + 2)[0]
        _, length, value = _header(content, position, 0x00020000 | element, level)
        if value + length > len(content):
            raise Refused("truncated", tag=str(Tag(2, element)), offset=position)
        if element == 0x0010:
            uid = content[value : value + length].rstrip(b"\0 ").decode("ascii", "replace")
        position = value + length
    return position, uid
