"""The last step of every reader: what `verify` refuses in an imported expression leaves it, and is reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from crf.definitions.errors import DefinitionError, DefinitionErrors, Fault, Place
from crf.definitions.model import StudyDefinition
from crf.definitions.pydantic_faults import explain
from crf.definitions.verify import verify

from .loss import Imported, Loss

MOST_ROUNDS = 40
EXPRESSIONS = ("show_if", "required", "derive", "require")


def settle(raw: dict[str, Any], losses: Sequence[Loss], *, file: str) -> Imported:
    """The definition in `raw` (as `StudyDefinition.model_validate` takes it) without the expressions that cannot work.

    A condition, derivation or check that is too long, or that `verify` refuses, is moved, word for word, to the `alias`
    of its item, section or form, under "cel:…", and is listed as kept. Raises DefinitionErrors for anything else.
    """
    raw, found = json.loads(json.dumps(raw)), list(losses)
    for _ in range(MOST_ROUNDS):
        try:
            study = StudyDefinition.model_validate(raw)
            faults = verify(study)
        except ValidationError as error:
            faults = list(explain(error, raw))
            if any(not fault.place or fault.place[-1] not in EXPRESSIONS for fault in faults):
                raise DefinitionErrors([_error(file, fault) for fault in faults]) from error
        if not faults:
            return Imported(study, tuple(found))
        removable = [fault for fault in faults if _expression_place(fault.place)]
        if not removable or len(removable) < len(faults):
            raise DefinitionErrors([_error(file, fault) for fault in faults if fault not in removable] or
                                   [_error(file, fault) for fault in faults])  # fmt: skip
        for place, fault in {_expression_place(fault.place): fault for fault in reversed(removable)}.items():
            found.append(_moved(raw, place, fault))
        _without_empty(raw)
    raise DefinitionErrors([_error(file, fault) for fault in faults])


def _error(file: str, fault: Fault) -> DefinitionError:
    return DefinitionError(file, 1, fault.item, fault.en, fault.remedy_en, fault.zh, fault.remedy_zh)


def _expression_place(place: Place) -> Place:
    """The place up to the expression that a fault is about; empty where it is about none."""
    for at, key in enumerate(place):
        if key in EXPRESSIONS:
            return place[: at + 1]
        if key == "checks" and len(place) > at + 1:
            return (*place[: at + 2], "require")
    return ()


def _moved(raw: dict[str, Any], place: Place, fault: Fault) -> Loss:
    """Take the expression at `place` out of `raw`; what is left of it stands in its owner's alias."""
    owner: Any = raw
    for key in place[:-1]:
        owner = owner[key]
    key = str(place[-1])
    if key not in owner:  # a circle through the condition of a section is told of one of its items
        owner = raw["forms"][place[1]]["sections"][place[3]]
    text = owner.pop(key)
    if key == "require":  # a check is nothing without its rule: the form keeps the text, the check goes
        form = raw["forms"][place[1]]
        form.setdefault("alias", {})[f"cel:check:{owner['id']}"] = text
        owner["gone"] = True
    else:
        owner.setdefault("alias", {})[f"cel:{key}"] = text
    if key == "derive":  # a value that nothing calculates is entered
        owner["type"] = owner.pop("value_type")
    return Loss(
        "kept", key, fault.item, str(text), f"表达式不能使用:{fault.zh}", f"the expression cannot be used: {fault.en}"
    )


def _without_empty(raw: dict[str, Any]) -> None:
    for form in raw["forms"]:
        if "checks" in form:
            form["checks"] = [check for check in form["checks"] if not check.get("gone")]
