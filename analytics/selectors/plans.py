"""The analysis plans of a study's published rules, and the radiomics parameters that they ask for."""

from __future__ import annotations

import json

from analytics.learning.plan import BadPlan, Plan, PlanError, PredictorSet, parse_plans
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
    """The radiomics parameters of each sequence the plan uses: the modality's default, with the plan's voxel size,
    and unfiltered where every set of the plan uses original images only."""
    imaging = dataset.build.study_definition.imaging
    if imaging is None:
        return {}
    sets = [one for one in chosen.predictors.values() if one.sequences]
    base = Parameters.default(imaging.modality)
    if all(set(one.image_types) == {"original"} for one in sets):
        base = base.original_only()
    return {
        sequence: _resampled(base, sequence, [one for one in sets if sequence in one.sequences])
        for sequence in sorted({name for one in sets for name in one.sequences})
    }


def _resampled(base: Parameters, sequence: str, sets: list[PredictorSet]) -> Parameters:
    sizes = {one.voxel_mm for one in sets}
    if len(sizes) > 1:
        problem = f"predictor sets ask for {sequence} with different voxel sizes"
        raise BadPlan([PlanError(sequence, problem, "give them the same voxel_mm")])
    (size,) = sizes
    return base.resampled(size) if size else base
