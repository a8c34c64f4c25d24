"""From predictions per fold to the numbers of an evaluation, on predictions made by hand."""

import numpy as np
import pandas as pd
import pytest

from analytics.results import summary
from analytics.stats.cox import cox
from analytics.stats.inputs import DegenerateInput
from analytics.stats.roc import auc


def predictions(probabilities, outcome, *, thresholds, cuts, split="site"):
    """One row per subject and repeat; `thresholds` and `cuts` are those of the fold that predicted it."""
    rows = []
    for repeat, column in enumerate(probabilities, start=1):
        for number, (p, y, threshold, cut) in enumerate(zip(column, outcome, thresholds, cuts, strict=True)):
            rows.append(
                {
                    "subject": f"01-{number:04d}",
                    "predictor_set": "both",
                    "split": split,
                    "fold": str(number % 2),
                    "repeat": repeat,
                    "probability": p,
                    "outcome": y,
                    "threshold": threshold,
                    "positive": int(p >= threshold),
                    "risk_group": "high" if p > cut else "low",
                }
            )
    return pd.DataFrame(rows)


OUTCOME = [0, 0, 0, 1, 1, 1]
ONE = [0.1, 0.3, 0.6, 0.4, 0.7, 0.2]
THRESHOLDS = [0.5, 0.2, 0.7, 0.3, 0.9, 0.2]


def test_repeats_are_averaged_and_their_calls_put_to_the_vote():
    made = predictions([ONE, [p + 0.2 for p in ONE], ONE], OUTCOME, thresholds=[0.45] * 6, cuts=[0.25] * 6)
    table = summary.subjects(made, "site")
    assert table["probability"].to_numpy() == pytest.approx(np.array(ONE) + 0.2 / 3)
    assert table["positive"].tolist() == [0, 0, 1, 0, 1, 0]  # 0.3 and 0.4 reach 0.45 in one repeat of three
    assert table["risk_group"].tolist() == ["low", "high", "high", "high", "high", "low"]
    assert summary.subjects(made, "cv").empty


def test_accuracy_is_at_each_folds_own_threshold_and_auc_at_none():
    made = predictions([ONE], OUTCOME, thresholds=THRESHOLDS, cuts=[0.5] * 6)
    (model,) = summary.evaluated(summary.subjects(made, "site"), ["both"]).models
    table = model.classification.table
    # Called: 0.3 at 0.2, 0.4 at 0.3 and 0.2 at 0.2. A cut at 0.5 would call 0.6 and 0.7.
    assert (table.tp, table.fp, table.fn, table.tn) == (2, 1, 1, 2)
    assert model.auc.value == pytest.approx(auc(OUTCOME, ONE).value)


def test_survival_is_compared_between_the_groups_that_development_cut():
    rng = np.random.default_rng(5)
    risk = rng.uniform(0.05, 0.95, 60)
    made = predictions([risk], (risk > 0.5).astype(int), thresholds=[0.5] * 60, cuts=[0.4] * 60)
    months, event = rng.exponential(20 * np.exp(-2 * risk)), rng.random(60) < 0.8
    index = [f"01-{n:04d}" for n in range(60)]
    endpoint = pd.DataFrame({"months": months, "event": event.astype(int)}, index=index).drop(index[:3])
    report, more = summary.survival(made, endpoint, "both", "site")
    high = risk[3:] > 0.4
    assert {name: curve.n for name, curve in report.groups.items()} == {"low": (~high).sum(), "high": high.sum()}
    plain = cox(months[3:], event[3:], {"high": high.astype(float)}).coefficients[0]
    assert report.hazard_ratios.coefficients[0].hazard_ratio.value == pytest.approx(plain.hazard_ratio.value)
    assert more["concordance"]["value"] > 0.5
    with pytest.raises(DegenerateInput, match="no subject has follow-up"):
        summary.survival(made, endpoint.iloc[:0], "both", "site")
