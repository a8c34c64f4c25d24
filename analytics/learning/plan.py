"""`analysis.yaml`: what a model predicts, from what, how it is validated. Read here, obeyed everywhere else."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Share = Annotated[float, Field(gt=0, lt=1)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Several = Annotated[tuple[str, ...], Field(min_length=1)]

REMEDIES = {
    "missing": "add it",
    "extra_forbidden": "remove it, or correct its spelling",
    "literal_error": "use one of the values named",
}


@dataclass(frozen=True)
class PlanError:
    item: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.item}: {self.message}; {self.remedy}"


class BadPlan(ValueError):
    """A plan that can't be followed; `errors` name each item and its remedy."""

    def __init__(self, errors: Iterable[PlanError], source: str = ""):
        self.errors = tuple(errors)
        prefix = f"{source}: " if source else ""
        super().__init__("\n".join(f"{prefix}{error}" for error in self.errors))


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(Strict):
    zh: str
    en: str


class PredictorSet(Strict):
    """Either CRF items (FORM.item), or radiomics of some sequences, or other sets taken together."""

    items: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+){1,2}$")], ...] = ()
    sequences: tuple[str, ...] = ()
    roi: str = ""
    image_types: Several = ("original",)
    voxel_mm: Annotated[float, Field(gt=0, le=20)] | None = None  # resampled to cubes of this edge; None: the default
    classes: tuple[str, ...] = ()  # empty: all
    sets: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def short_form(cls, content: Any) -> Any:
        """`[DM.age, LB.afp]` are items, `[clinical, radiomics]` are sets."""
        if isinstance(content, (list, tuple)):
            return {"items" if any("." in str(name) for name in content) else "sets": content}
        return content

    @model_validator(mode="after")
    def one_kind(self) -> Self:
        if sum(map(bool, (self.items, self.sequences, self.sets))) != 1:
            raise ValueError("a predictor set has either items, sequences or sets")
        if bool(self.sequences) != bool(self.roi):
            raise ValueError("radiomics need both sequences and roi")
        return self


class Holdout(Strict):
    """Read once, after development: each site in turn, or one group."""

    site: Literal["leave-one-site-out"] | None = None
    group: str | None = None

    @model_validator(mode="after")
    def one_kind(self) -> Self:
        if (self.site is None) == (self.group is None):
            raise ValueError("a holdout is either by site or by group")
        return self


class Validation(Strict):
    outer: Annotated[int, Field(ge=2, le=20)] = 5
    inner: Annotated[int, Field(ge=2, le=20)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    holdout: Holdout | None = None


class PipelineSettings(Strict):
    """The learned steps and the values each may take; tuples are searched in the inner folds."""

    impute: Literal["median", "mean"] = "median"
    indicator: bool = False  # add a column saying that a value was missing
    correlation: Annotated[float, Field(gt=0, le=1)] | None = 0.9  # of two above it, the weaker one goes
    select: Literal["univariate", "lasso", "none"] = "univariate"
    features: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (5, 10, 20)
    lasso: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.1, 0.3, 1.0)
    penalty: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.01, 0.03, 0.1, 0.3, 1.0)
    l1_ratio: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)] = (0.0, 0.5, 1.0)


class ThresholdRule(Strict):
    """How the cut-off is chosen, always from predictions for development subjects that the model hadn't seen."""

    rule: Literal["youden", "sensitivity"] = "youden"
    value: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def short_form(cls, content: Any) -> Any:
        if content == "youden":
            return {"rule": "youden"}
        if isinstance(content, Mapping) and set(content) == {"sensitivity"}:
            return {"rule": "sensitivity", "value": content["sensitivity"]}
        return content

    @model_validator(mode="after")
    def sensitivity_has_a_value(self) -> Self:
        if (self.rule == "sensitivity") != (self.value is not None):
            raise ValueError("write `youden`, or `{sensitivity: 0.9}`")
        return self


class Selection(Strict):
    """Who is analysed; empty means everybody."""

    groups: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()


class Plan(Strict):
    code: Code
    title: Text | None = None
    outcome: Code
    cohort: Selection = Selection()
    time_zero: str | None = None  # FORM.item; predictors dated after it are refused
    predictors: Annotated[dict[str, PredictorSet], Field(min_length=1)]
    primary: str | None = None  # the set that the study's claim is about; else the last
    validation: Validation = Validation()
    pipeline: PipelineSettings = PipelineSettings()
    threshold: ThresholdRule = ThresholdRule()
    survival: tuple[Code, ...] = ()
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    origin: Literal["protocol", "standard", "assumed"] = "assumed"

    @model_validator(mode="after")
    def sets_are_defined(self) -> Self:
        wanted = {(name, part) for name, chosen in self.predictors.items() for part in chosen.sets}
        wanted |= {("primary", self.primary)} if self.primary else set()
        for name, part in sorted(wanted):
            if part not in self.predictors:
                raise ValueError(f"{name} names the predictor set {part!r}, which isn't defined; {self._defined()}")
        for name in self.predictors:
            if name in self._within(name):
                raise ValueError(f"the predictor set {name!r} contains itself")
        return self

    def _within(self, name: str) -> set[str]:
        """Every set that this one takes in, directly or through others."""
        found: set[str] = set()
        while new := {part for one in (name, *found) for part in self.predictors[one].sets} - found:
            found |= new
        return found

    @property
    def primary_set(self) -> str:
        return self.primary or list(self.predictors)[-1]

    def columns(self, name: str, available: Iterable[str]) -> list[str]:
        """The columns of a predictor set, in order; raises BadPlan where the set or a column of it isn't there."""
        if name not in self.predictors:
            raise BadPlan([PlanError(f"predictors.{name}", "this predictor set isn't defined", self._defined())])
        chosen, present = self.predictors[name], list(available)
        if chosen.sets:
            found = [column for part in chosen.sets for column in self.columns(part, present)]
        elif chosen.sequences:
            found = self._radiomics_columns(name, chosen, present)
        else:
            found = self._item_columns(name, chosen, present)
        return list(dict.fromkeys(found))

    def _item_columns(self, name: str, chosen: PredictorSet, present: list[str]) -> list[str]:
        missing = [item for item in chosen.items if item not in present]
        if missing:
            remedy = "add them to the dataset's variables or take them out of the plan"
            raise BadPlan([PlanError(f"predictors.{name}", f"no column {', '.join(missing)}", remedy)])
        return list(chosen.items)

    def _radiomics_columns(self, name: str, chosen: PredictorSet, present: list[str]) -> list[str]:
        found: list[str] = []
        for sequence in chosen.sequences:
            prefix = f"{sequence}/{chosen.roi}/"
            own = [c for c in present if c.startswith(prefix) and wanted(c.removeprefix(prefix), chosen)]
            if not own:
                remedy = "extract the features first, or check sequence, roi, image types and classes"
                raise BadPlan([PlanError(f"predictors.{name}", f"no radiomics column {prefix}*", remedy)])
            found += own
        return found

    def _defined(self) -> str:
        return "defined: " + ", ".join(self.predictors)

    def canonical_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def sha256(self) -> str:
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


class AnalysisPlans(Strict):
    plans: Annotated[tuple[Plan, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def codes_differ(self) -> Self:
        codes = [plan.code for plan in self.plans]
        if twice := sorted({code for code in codes if codes.count(code) > 1}):
            raise ValueError(f"two plans have the code {', '.join(twice)}")
        return self

    def plan(self, code: str) -> Plan:
        for plan in self.plans:
            if plan.code == code:
                return plan
        known = ", ".join(plan.code for plan in self.plans)
        raise BadPlan([PlanError(code, "there is no plan with this code", f"the plans are: {known}")])


def radiomics_column(sequence: str, roi: str, feature: str) -> str:
    """The column of a radiomics feature; CRF items are FORM.item."""
    return f"{sequence}/{roi}/{feature}"


def wanted(feature: str, chosen: PredictorSet) -> bool:
    """Does the set want this feature? Image types match by their start: `wavelet` means all its bands."""
    image_type, class_name, _ = feature.rsplit("_", 2)
    if class_name == "shape":
        return not chosen.classes or "shape" in chosen.classes
    if chosen.classes and class_name not in chosen.classes:
        return False
    return any(image_type == kind or image_type.startswith(f"{kind}-") for kind in chosen.image_types)


def parse_plans(content: object, source: str = "") -> AnalysisPlans:
    """Plans from parsed YAML or stored JSON; raises BadPlan."""
    try:
        return AnalysisPlans.model_validate(content)
    except ValidationError as error:
        raise BadPlan(map(_explained, error.errors()), source) from error


def load_plans(path: Path) -> AnalysisPlans:
    """Plans from `analysis.yaml`; raises BadPlan naming the file, the item and the remedy."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        unreadable = PlanError("file", f"not readable as YAML: {error}", "correct the indentation")
        raise BadPlan([unreadable], path.name) from error
    return parse_plans(content, path.name)


def _explained(error: Any) -> PlanError:
    item = ".".join(map(str, error["loc"])) or "file"
    return PlanError(item, error["msg"].removeprefix("Value error, "), REMEDIES.get(error["type"], "correct it"))
