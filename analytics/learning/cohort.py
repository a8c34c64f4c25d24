"""The subjects of an analysis: predictors as they were captured, outcome, site and group. Nothing in it is learned."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


class BadCohort(ValueError):
    """These rows can't be analysed; the message names the column or subject and the remedy."""


@dataclass(frozen=True)
class Cohort:
    """One row per subject, or several for repeated series; all parts share the frame's row order.

    Raw values only: numbers as captured (NaN where missing), categories as their codes. Imputation, scaling and
    selection are steps of the pipeline, so that none can see a subject outside its development part.
    """

    frame: pd.DataFrame
    outcome: np.ndarray  # 0 or 1
    subjects: np.ndarray
    sites: np.ndarray
    groups: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Cohort":
        """The rows where `chosen` is true, or at these positions."""
        return Cohort(
            self.frame.iloc[chosen],
            self.outcome[chosen],
            self.subjects[chosen],
            self.sites[chosen],
            self.groups[chosen],
        )

    def only(self, columns: list[str]) -> "Cohort":
        return Cohort(self.frame[columns], self.outcome, self.subjects, self.sites, self.groups)

    def per_subject(self) -> pd.DataFrame:
        """One row per subject with its outcome, in the order of their numbers."""
        table = pd.DataFrame({"subject": self.subjects, "outcome": self.outcome})
        return table.drop_duplicates("subject").sort_values("subject", ignore_index=True)


def cohort(
    frame: pd.DataFrame,
    outcome: pd.Series,
    subjects: pd.Series | None = None,
    sites: pd.Series | None = None,
    groups: pd.Series | None = None,
) -> Cohort:
    """Check and assemble; `subjects` defaults to the frame's index. Raises BadCohort."""
    own = pd.Series(frame.index, index=frame.index) if subjects is None else subjects
    columns = {"outcome": outcome, "subject": own, "site": sites, "group": groups}
    for name, series in columns.items():
        if series is not None and len(series) != len(frame):
            raise BadCohort(f"{name}: {len(series)} rows, but the predictors have {len(frame)}; give one per row")
    labels = {name: _labels(series, len(frame)) for name, series in columns.items() if name != "outcome"}
    made = Cohort(tidy(frame), _binary(outcome, labels["subject"]), labels["subject"], labels["site"], labels["group"])
    _check_one_per_subject(made)
    order = np.argsort(made.subjects, kind="stable")  # so that the order in which rows arrive changes no digit
    return made.rows(order)


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers as floats, everything else as categories' codes, NaN for whatever is missing."""
    if twice := frame.columns[frame.columns.duplicated()].tolist():
        raise BadCohort(f"column {twice[0]} occurs twice; keep one")
    return pd.DataFrame({name: _column(frame[name]) for name in frame.columns}, index=frame.index)


def _column(values: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values):
        raise BadCohort(f"column {values.name} holds dates; derive a number (days, years) from it")
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.astype("float64")
        if np.isinf(numbers).any():
            raise BadCohort(f"column {values.name} holds an infinite value; set it to missing or correct it")
        return numbers
    return values.astype(object).where(values.notna(), np.nan)


def _labels(series: pd.Series | None, length: int) -> np.ndarray:
    if series is None:
        return np.full(length, "", dtype=object)
    if series.isna().any():
        raise BadCohort(f"{series.name}: row {series.index[series.isna()][0]} has none; every row needs one")
    return series.astype(str).to_numpy(dtype=object)


def _binary(outcome: pd.Series, subjects: np.ndarray) -> np.ndarray:
    values = pd.to_numeric(outcome, errors="coerce").to_numpy(dtype=float)
    wrong = np.flatnonzero(~np.isin(values, (0.0, 1.0)))
    if wrong.size:
        found = outcome.iloc[wrong[0]]
        raise BadCohort(f"outcome of subject {subjects[wrong[0]]} is {found}, not 0 or 1; leave the subject out")
    return values.astype(int)


def _check_one_per_subject(made: Cohort) -> None:
    for name in ("outcome", "sites", "groups"):
        kinds = pd.Series(getattr(made, name)).groupby(made.subjects).nunique()
        if (kinds > 1).any():
            subject = kinds.index[kinds > 1][0]
            raise BadCohort(f"subject {subject} has more than one {name.removesuffix('s')}; its rows must agree")
