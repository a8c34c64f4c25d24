"""Models from locked data: plans, pipelines and validation that can't leak. Pure: no Django, no database."""

from analytics.learning.cohort import BadCohort, Cohort, cohort
from analytics.learning.development import FrozenModel, Learner
from analytics.learning.leakage import Leak, LeakageRefused, refuse_leaks
from analytics.learning.plan import AnalysisPlans, BadPlan, Plan, PlanError, load_plans, parse_plans, radiomics_column
from analytics.learning.run import PlanResult, run, steps
from analytics.learning.store import UntrustedModel, load, save
from analytics.learning.validation import (
    FoldReport,
    HoldoutWasRead,
    SealedHoldout,
    Split,
    Validated,
    cv_splits,
    evaluate_split,
    leave_one_site_out,
    nested_cv,
    selection_frequency,
    site_splits,
    temporal_holdout,
)

__all__ = [
    "AnalysisPlans",
    "BadCohort",
    "BadPlan",
    "Cohort",
    "FoldReport",
    "FrozenModel",
    "HoldoutWasRead",
    "Leak",
    "LeakageRefused",
    "Learner",
    "Plan",
    "PlanError",
    "PlanResult",
    "SealedHoldout",
    "Split",
    "UntrustedModel",
    "Validated",
    "cohort",
    "cv_splits",
    "evaluate_split",
    "leave_one_site_out",
    "load",
    "load_plans",
    "nested_cv",
    "parse_plans",
    "radiomics_column",
    "refuse_leaks",
    "run",
    "save",
    "selection_frequency",
    "site_splits",
    "steps",
    "temporal_holdout",
]
