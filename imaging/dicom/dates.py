"""Move DICOM dates by whole days; what cannot be moved exactly becomes empty, never half-true."""

import re
from datetime import date, timedelta

DATE = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})\s*\Z")
DATETIME = re.compile(r"(\d{8})(\d{0,6}(?:\.\d{1,6})?(?:[+-]\d{4})?)\s*\Z")


def shift_date(value: str, days: int) -> str:
    """A DA value (also ACR-NEMA's 2020.01.31) moved by `days`; '' where it is no date."""
    match = DATE.match(value)
    if not match:
        return ""
    try:
        moved = date(*(int(part) for part in match.groups())) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved:%Y%m%d}" if moved.year >= 1000 else ""


def shift_datetime(value: str, days: int) -> str:
    """A DT value moved by `days`, time and zone kept; '' for dates known only to the month or year."""
    match = DATETIME.match(value)
    if not match:
        return ""
    moved = shift_date(match[1], days)
    return moved + match[2] if moved else ""


def read_date(value: object) -> date | None:
    match = DATE.match(str(value or ""))
    try:
        return date(*(int(part) for part in match.groups())) if match else None
    except ValueError:
        return None
