"""From a locked dataset to what an analysis reads: predictors, outcome, dates, and who was left out and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analytics.endpoints.dates import NotADate, read
from analytics.endpoints.model import Completion
from analytics.learning.plan import BadPlan, Plan, PlanError, radiomics_column, wanted
from analytics.models import Dataset, FeatureSet
from analytics.selectors import features, storage
from analytics.snapshots import manifest
from analytics.stats.agreement import icc
from analytics.stats.inputs import DegenerateInput
from crf.definitions.model import Form, NotInDefinition

OUTCOME_STATUS = "evaluable"


@dataclass(frozen=True)
class Step:
    """One step of the flow: how many remain, and why the others went."""

    code: str
    remaining: int
    left: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Assembled:
    """All series share the subjects' index, sorted by number."""

    predictors: pd.DataFrame
    outcome: pd.Series
    sites: pd.Series
    groups: pd.Series
    dates: pd.DataFrame
    time_zero: pd.Series
    survival: dict[str, pd.DataFrame]
    flow: tuple[Step, ...]
    readers: dict[str, Any]


class Locked:
    """A locked dataset's tables, read once each."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.folder = storage.folder(dataset.folder)
        self._frames: dict[str, pd.DataFrame] = {}

    def frame(self, name: str) -> pd.DataFrame:
        if name not in self._frames:
            self._frames[name] = manifest.load(self.folder, self.dataset.manifest, name).frame()
        return self._frames[name]

    def has(self, name: str) -> bool:
        return name in self.dataset.manifest["content"]["tables"]

    def form(self, oid: str) -> Form:
        return self.dataset.build.study_definition.form(oid)

    def endpoint(self, code: str) -> pd.DataFrame:
        """The endpoint's result by subject. Raises BadPlan where the dataset has none of that code."""
        table = self.frame("endpoints")
        found = table[table["endpoint"] == code].set_index("subject")
        if found.empty:
            known = ", ".join(sorted(table["endpoint"].unique())) or "none"
            raise BadPlan([PlanError(code, "the dataset has no endpoint with this code", f"it has: {known}")])
        return found


def assemble(dataset: Dataset, plan: Plan) -> Assembled:
    """Predictors and outcome of the plan's subjects. Subjects without outcome or images are left out and counted.

    Raises BadPlan for columns that the dataset does not have, or that may not predict.
    """
    locked = Locked(dataset)
    subjects = locked.frame("subjects").set_index("subject").sort_index()
    flow = [Step("locked", len(subjects))]
    chosen = subjects[_selected(subjects, plan)]
    flow.append(Step("cohort", len(chosen), {"other_group_or_site": len(subjects) - len(chosen)}))
    results = locked.endpoint(plan.outcome).reindex(chosen.index)
    known = (results["status"] == OUTCOME_STATUS) & results["label"].notna()
    reasons = Counter(results.loc[~known, "reason"].fillna("no_result"))
    flow.append(Step("outcome", int(known.sum()), dict(sorted(reasons.items()))))
    items, dates = _items(locked, plan, chosen.index)
    images = _radiomics(locked, plan)
    has_images = known & known.index.isin(images.values.index) if images.columns else known
    if images.columns:
        flow.append(Step("images", int(has_images.sum()), {"no_features": int(known.sum() - has_images.sum())}))
    index = chosen.index[has_images]
    predictors = items.reindex(index).join(images.values.reindex(index)) if images.columns else items.reindex(index)
    return Assembled(
        predictors=predictors,
        outcome=results.loc[index, "label"].astype(int),
        sites=chosen.loc[index, "site"].fillna(""),
        groups=chosen.loc[index, "group"].fillna(""),
        dates=dates.reindex(index).join(images.dates.reindex(index)) if images.columns else dates.reindex(index),
        time_zero=_time_zero(locked, plan, results).reindex(index),
        survival={code: _survival(locked, code, index) for code in plan.survival},
        flow=tuple(flow),
        readers=images.readers,
    )


def _selected(subjects: pd.DataFrame, plan: Plan) -> pd.Series:
    keep = pd.Series(True, index=subjects.index)
    if plan.cohort.groups:
        keep &= subjects["group"].isin(plan.cohort.groups)
    if plan.cohort.sites:
        keep &= subjects["site"].isin(plan.cohort.sites)
    return keep


def _items(locked: Locked, plan: Plan, index: pd.Index) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The value of each item and the date it was known: the form's own date item, else its visit's."""
    names = list(dict.fromkeys(name for one in plan.predictors.values() for name in one.items))
    columns, dates = {}, {}
    for name in names:
        *event, form, item = name.split(".")
        rows = _first_rows(locked, form, event[0] if event else None)
        _guard_role(locked, name, form, item)
        columns[name] = rows[item].reindex(index)
        dates[name] = _dated(locked, form, rows).reindex(index)
    return pd.DataFrame(columns, index=index), pd.DataFrame(dates, index=index)


def _first_rows(locked: Locked, form: str, event: str | None) -> pd.DataFrame:
    """The subject's first record of the form (in the event, if named)."""
    if not locked.has(f"forms/{form}"):
        raise BadPlan([PlanError(form, "the dataset has no such form", "correct the predictor's name")])
    rows = locked.frame(f"forms/{form}")
    rows = rows[rows["event"] == event] if event else rows
    order = {one.oid: place for place, one in enumerate(locked.dataset.build.study_definition.events)}
    ordered = rows.assign(_place=rows["event"].map(order)).sort_values(["subject", "_place", "event_repeat", "repeat"])
    return ordered.drop_duplicates("subject").set_index("subject")


def _guard_role(locked: Locked, name: str, form: str, item: str) -> None:
    """Outcomes and identifiers never predict; dates are no predictors as they are."""
    try:
        about = locked.form(form).item(item)
    except NotInDefinition as error:
        raise BadPlan([PlanError(name, str(error), "correct the predictor's name")]) from None
    if about.role in ("outcome", "identifier", "time") or about.value_kind == "date":
        message = f"its role is {about.role}" if about.role != "none" else "it is a date"
        raise BadPlan([PlanError(name, f"{message}: it may not predict", "take it out of the plan")])


def _dated(locked: Locked, form: str, rows: pd.DataFrame) -> pd.Series:
    own = [item.name for item in locked.form(form).items.values() if item.value_kind == "date" and item.role == "time"]
    dates = rows[own[0]].where(rows[own[0]].notna(), rows["occurred_on"]) if own else rows["occurred_on"]
    return pd.to_datetime(dates.map(_day))


def _day(value: Any) -> Any:
    """A partial date counts as its first possible day: what is surely after time zero is a leak."""
    if not isinstance(value, str):
        return pd.NaT
    try:
        return read(value, Completion(day=1, month=1, month_day=1)).on
    except NotADate:
        return pd.NaT


def _time_zero(locked: Locked, plan: Plan, results: pd.DataFrame) -> pd.Series:
    if plan.time_zero is None:
        return pd.to_datetime(results["start"].map(_day))
    form, item = plan.time_zero.split(".")
    return pd.to_datetime(_first_rows(locked, form, None)[item].map(_day))


def _survival(locked: Locked, code: str, index: pd.Index) -> pd.DataFrame:
    found = locked.endpoint(code).reindex(index)
    found = found[found["status"] == OUTCOME_STATUS]
    return pd.DataFrame({"months": found["months"], "event": (found["event"] == 1).astype(int)})


def completed_dates(dataset: Dataset, codes: Iterable[str]) -> int:
    """How many partial dates the endpoints had to complete."""
    table = Locked(dataset).frame("endpoints")
    proofs = table[table["endpoint"].isin(list(codes))]["evidence"]
    return len({(row, one["item"]) for row, text in proofs.items() for one in json.loads(text) if one["completion"]})


@dataclass(frozen=True)
class Radiomics:
    values: pd.DataFrame
    dates: pd.DataFrame
    readers: dict[str, Any]

    @property
    def columns(self) -> list[str]:
        return list(self.values.columns)


def _radiomics(locked: Locked, plan: Plan) -> Radiomics:
    """Features per subject, the mean of the readers' last rounds; agreement of the readers by ICC(2,1)."""
    parts, dates, agreement = [], {}, {}
    for sequence, (_, every) in features.wanted_for(locked.dataset, plan).items():
        sets = features.values(every)
        for roi in sorted({one.roi for one in every}):
            asked = [one for one in every if one.roi == roi]
            chosen = [one for one in plan.predictors.values() if sequence in one.sequences and one.roi == roi]
            used = _used(asked, sets)
            long = _long(used, sets, chosen)
            if long.empty:
                continue
            mean = long.groupby("subject").mean()
            mean.columns = [radiomics_column(sequence, roi, name) for name in mean.columns]
            parts.append(mean)
            dates |= dict.fromkeys(mean.columns, _acquired(locked, used.values()))
            agreement[f"{sequence}/{roi}"] = _agreement(long)
    values = pd.concat(parts, axis=1, join="inner").sort_index() if parts else pd.DataFrame()
    return Radiomics(values, pd.DataFrame(dates).reindex(values.index), agreement)


Used = dict[tuple[str, str], features.Wanted]


def _used(asked: Iterable[features.Wanted], sets: dict[str, FeatureSet]) -> Used:
    """By subject and reader, the mask of the reader's last round that has features."""
    last: Used = {}
    for one in sorted(asked, key=lambda one: (one.round, one.series, one.volume)):
        if one.key in sets and sets[one.key].state == FeatureSet.State.DONE:
            last[one.subject, one.reader] = one
    return last


def _long(used: Used, sets: dict[str, FeatureSet], chosen: list[Any]) -> pd.DataFrame:
    """One row per subject and reader."""
    rows = {
        place: {name: value for name, value in sets[one.key].values.items() if any(wanted(name, c) for c in chosen)}
        for place, one in sorted(used.items())
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(list(rows), names=["subject", "reader"]) if rows else frame.index
    return frame


def _acquired(locked: Locked, used: Iterable[features.Wanted]) -> pd.Series:
    """The day of each subject's image; the last day where readers drew on different images."""
    images = locked.frame("images").set_index(["series", "volume"])["acquired_on"]
    found = [(one.subject, _day(images.loc[(one.series, one.volume)])) for one in used]
    days = pd.DataFrame(found, columns=["subject", "day"])
    return pd.to_datetime(days["day"]).groupby(days["subject"]).max()


def _agreement(long: pd.DataFrame) -> dict[str, Any]:
    """ICC(2,1) of each feature over the subjects that every reader drew."""
    readers = sorted(long.index.get_level_values("reader").unique())
    found: dict[str, Any] = {"readers": len(readers), "features": long.shape[1]}
    if len(readers) < 2:
        return found
    values = []
    for name in long.columns:
        table = long[name].unstack("reader").dropna()
        try:
            values.append(icc(table.to_numpy(), form="2,1").estimate.value)
        except (DegenerateInput, ZeroDivisionError):
            continue
    finite = np.array([value for value in values if np.isfinite(value)])
    if finite.size:
        found |= {"median_icc": float(np.median(finite)), "share_over_075": float((finite >= 0.75).mean())}
    return found
