"""Queries, verifications, signatures and reasons for missing values, as ODM's annotations carry them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crf.definitions.values import MISSING

from .xml_text import element

OWN_LISTS = "CL.LOBULE."
KIND_LIST, STATUS_LIST, MISSING_LIST = (f"{OWN_LISTS}{name}" for name in ("KIND", "STATUS", "MISSING"))
BY_LIST, AT_LIST, REF_LIST = (f"{OWN_LISTS}{name}" for name in ("BY", "AT", "REF"))
KINDS = ("query", "message", "sdv", "comment", "missing", "signature", "value")
# Of a query, a verification and a signature, and the steps of a query's thread.
STATUSES = (
    "open",
    "answered",
    "closed",
    "verified",
    "changed",
    "signed",
    "answer",
    "close",
    "reopen",
    "comment",
    "assign",
)
SIGNATURE = "SIG.LOBULE"


@dataclass(frozen=True)
class OdmSignature:
    """Who signed a record, when (ISO date and time), and what the signature means."""

    by: str
    at: str
    meaning: str = ""


@dataclass(frozen=True)
class OdmNote:
    """Something said of a value (`item`, or `meds[3].dose` in a row) or of the whole form (`item` empty)."""

    kind: str
    status: str = ""
    text: str = ""
    item: str = ""
    by: str = ""
    at: str = ""
    ref: str = ""


def annotation(number: int, note: OdmNote) -> str:
    """An Annotation: the text as its comment, everything else as flags."""
    flags = [
        flag(KIND_LIST, note.kind),
        flag(STATUS_LIST, note.status),
        flag(BY_LIST, note.by),
        flag(AT_LIST, note.at),
        flag(REF_LIST, note.ref),
    ]
    comment = [element("Comment", text=note.text)] if note.text else []
    return element("Annotation", {"SeqNum": str(number)}, [*comment, *flags])


def flag(codelist: str, value: str, type_: str = "") -> str:
    if not value:
        return ""
    return element("Flag", children=[
        element("FlagValue", {"CodeListOID": codelist}, text=value),
        *([element("FlagType", {"CodeListOID": KIND_LIST}, text=type_)] if type_ else []),
    ])  # fmt: skip


def missing_annotation(number: int, kind: str, reason: str) -> str:
    comment = [element("Comment", text=reason)] if reason else []
    return element("Annotation", {"SeqNum": str(number)}, [*comment, flag(MISSING_LIST, kind, "missing")])


def signature(signed: OdmSignature, user: str, location: str) -> str:
    return element("Signature", children=[
        element("UserRef", {"UserOID": user}),
        element("LocationRef", {"LocationOID": location}),
        element("SignatureRef", {"SignatureOID": SIGNATURE}),
        element("DateTimeStamp", text=signed.at),
    ])  # fmt: skip


def codelists() -> list[str]:
    """The code lists that the flags point at; readers of this product pass over them."""
    return [
        _codelist(KIND_LIST, "Kind of annotation", KINDS),
        _codelist(STATUS_LIST, "Status", STATUSES),
        _codelist(MISSING_LIST, "Why a value is missing", tuple(MISSING)),
        *(_external(oid, name) for oid, name in ((BY_LIST, "Account"), (AT_LIST, "Time"), (REF_LIST, "Reference"))),
    ]


def _codelist(oid: str, name: str, codes: Sequence[str]) -> str:
    items = [element("EnumeratedItem", {"CodedValue": code}) for code in codes]
    return element("CodeList", {"OID": oid, "Name": name, "DataType": "text"}, items)


def _external(oid: str, name: str) -> str:
    inner = [element("ExternalCodeList", {"Dictionary": "Lobule"})]
    return element("CodeList", {"OID": oid, "Name": name, "DataType": "text"}, inner)
