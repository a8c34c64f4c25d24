"""A predictor dated after time zero can't predict: it is refused by name."""

from dataclasses import dataclass
from datetime import date

import pandas as pd


@dataclass(frozen=True)
class Leak:
    subject: str
    predictor: str
    dated: date | None
    time_zero: date | None

    def __str__(self) -> str:
        if self.time_zero is None:
            return f"subject {self.subject}: {self.predictor} is dated {self.dated}, but the subject has no time zero"
        return f"subject {self.subject}: {self.predictor} is dated {self.dated}, after time zero {self.time_zero}"


class LeakageRefused(ValueError):
    """Predictors known only after time zero; `leaks` names subject, predictor and both dates."""

    def __init__(self, leaks: list[Leak]):
        self.leaks = tuple(leaks)
        shown = "\n".join(map(str, leaks[:20])) + (f"\n... and {len(leaks) - 20} more" if len(leaks) > 20 else "")
        super().__init__(f"{shown}\nTake these predictors out of the plan, or correct their dates.")


def refuse_leaks(predictor_dates: pd.DataFrame, time_zero: pd.Series) -> None:
    """Raises LeakageRefused if any predictor is dated after its subject's time zero.

    `predictor_dates`: one row per subject (index), one column per predictor, the date of the value used; NaT where
    the subject has no value. `time_zero`: date by subject. The same day is allowed: baseline is drawn before dosing.
    """
    dates = predictor_dates.apply(pd.to_datetime).apply(lambda column: column.dt.normalize())
    zero = pd.to_datetime(time_zero).dt.normalize().reindex(dates.index)
    late = dates.gt(zero, axis=0) | (dates.notna().apply(lambda column: column & zero.isna()))
    leaks = [
        Leak(str(subject), str(predictor), _day(dates.at[subject, predictor]), _day(zero[subject]))
        for predictor in dates.columns
        for subject in dates.index[late[predictor]]
    ]
    if leaks:
        raise LeakageRefused(leaks)


def _day(moment: pd.Timestamp) -> date | None:
    return None if pd.isna(moment) else moment.date()
