"""CDISC's own schemas of ODM, as odmlib ships them."""

from __future__ import annotations

import functools
from pathlib import Path

import odmlib.schemas
import xmlschema


@functools.cache
def schema(version: str) -> xmlschema.XMLSchema:
    name = "ODM1-3-2.xsd" if version == "1.3.2" else "ODM.xsd"
    return xmlschema.XMLSchema(str(Path(odmlib.schemas.__file__).parent / "odm" / version / name))


def faults(content: bytes, version: str = "1.3.2") -> list[str]:
    """What CDISC's schema has against a file."""
    return [f"{error.path}: {error.reason}" for error in schema(version).iter_errors(content.decode())]
