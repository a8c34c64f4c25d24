"""Study definitions as values, with no Django: read `load.py`, `model.py`, `expressions.py`, then `check.py`."""

from .check import Context, Finding, FormState, evaluate
from .errors import DefinitionError, DefinitionErrors
from .load import load_study
from .model import (
    Check,
    Choice,
    Codelist,
    Event,
    Form,
    Item,
    NotInDefinition,
    Section,
    StudyDefinition,
    Text,
    canonical,
    json_schema,
)
from .values import BadValue, display_value, is_missing, missing, parse_value

__all__ = [
    "BadValue",
    "Check",
    "Choice",
    "Codelist",
    "Context",
    "DefinitionError",
    "DefinitionErrors",
    "Event",
    "Finding",
    "Form",
    "FormState",
    "Item",
    "NotInDefinition",
    "Section",
    "StudyDefinition",
    "Text",
    "canonical",
    "display_value",
    "evaluate",
    "is_missing",
    "json_schema",
    "load_study",
    "missing",
    "parse_value",
]
