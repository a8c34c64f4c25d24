"""The analysis plans of a study's published rules, and the radiomics parameters that they ask for."""

from __future__ import annotations

import json

from analytics.learning.plan import BadPlan, Plan, PlanError, parse_plans
from analytics.models import Dataset, StudyRules
from analytics.radiomics import Parameters


def plans(rules: StudyRules) -> tuple[Plan, ...]:
    return parse_plans(json.loads(rules.analysis)).plans if rules.analysis else ()


def plan(rules: StudyRules, code: str) -> Plan:
    """Raises BadPlan, naming the plans there are."""
    for one in plans(rules):
        if one.code == code:
            return one
    known = ", ".join(one.code for one in plans(rules)) or "none"
    raise BadPlan([PlanError(code, "there is no plan with this code", f"the plans are: {known}")])


def parameters(dataset: Dataset, chosen: Plan) -> dict[str, Parameters]:
    """The radiomics parameters of each sequence the plan uses: the modality's default, unfiltered where that is all."""
    imaging = dataset.build.study_definition.imaging
    if imaging is None:
        return {}
    filtered, sequences = False, set()
    for one in chosen.predictors.values():
        sequences |= set(one.sequences)
        filtered |= bool(one.sequences) and set(one.image_types) != {"original"}
    default = Parameters.default(imaging.modality)
    return dict.fromkeys(sorted(sequences), default if filtered else default.original_only())
