"""How PostgreSQL is asked for the answers that a record's JSON holds; every name and text quoted here."""

from __future__ import annotations

AS_JSON = frozenset(["text", "choices"])


def literal(text: str) -> str:
    """`text` as a string constant, whatever it holds."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in quoted else f"'{quoted}'"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def raw(source: str, name: str, kind: str) -> str:
    """One answer as text: JSON where its kind could be mistaken for an object, else as it is written."""
    return f"({source}->{literal(name)})::text" if kind in AS_JSON else f"{source}->>{literal(name)}"
