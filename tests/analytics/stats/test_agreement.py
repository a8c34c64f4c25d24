from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from analytics.stats import agreement
from analytics.stats.inputs import DegenerateInput
from analytics.stats.multiplicity import adjust


def test_kappa_of_two_readers_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    order = ["CR", "PR", "SD", "PD"]
    a = rng.choice(order, 90).tolist()
    b = [x if rng.random() < 0.7 else str(rng.choice(order)) for x in a]
    for ours, theirs in (("none", None), ("linear", "linear"), ("quadratic", "quadratic")):
        found = agreement.cohen_kappa(a, b, categories=order, weights=ours)
        assert found.value == pytest.approx(cohen_kappa_score(a, b, labels=order, weights=theirs), abs=1e-12)


def test_an_offset_between_readers_costs_agreement_but_not_consistency() -> None:
    x = np.random.default_rng(2).normal(size=30)
    shifted = np.column_stack([x, x + 1 + np.random.default_rng(3).normal(0, 0.05, 30)])
    assert agreement.icc(shifted, form="3,1").estimate.value > 0.99
    assert agreement.icc(shifted, form="2,1").estimate.value < 0.8


def test_dice_of_half_an_overlap() -> None:
    assert agreement.dice([1, 1, 0, 0], [0, 1, 1, 0]) == 0.5
    assert agreement.dice([[1, 2]], [[2, 7]]) == 1


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (lambda: agreement.dice([0, 0], [0, 0]), "both masks are empty"),
        (lambda: agreement.dice([0, 1], [[0, 1]]), "differ in shape"),
        (lambda: agreement.icc([[1, 2]]), "two or more subjects"),
        (lambda: agreement.icc([[1, 2], [np.nan, 3]]), "subject 2 by rater 1"),
        (lambda: agreement.icc([[1, 1], [1, 1]]), "every rating is the same"),
        (lambda: agreement.icc([[1, 2], [2, 3]], form="4,1"), "unknown"),
        (lambda: agreement.cohen_kappa(["a", "a"], ["a", "a"], categories=["a", "b"]), "one category only"),
        (lambda: agreement.cohen_kappa(["a"], ["a", "b"]), "lengths differ"),
        (lambda: agreement.cohen_kappa(["a"], ["x"], categories=["a", "b"]), "not among the categories: x"),
        (lambda: agreement.kappa_of_table([[1, 2, 3], [1, 2, 3]]), "square"),
        (lambda: agreement.fleiss_kappa([[2, 0], [1, 2]]), "same number"),
        (lambda: agreement.limits_of_agreement([1], [1]), "two subjects"),
        (lambda: adjust([0.1, 1.2]), "position 2 is 1.2"),
    ],
)
def test_agreement_without_a_value_is_refused(refused, says: str) -> None:
    with pytest.raises(DegenerateInput, match=says):
        refused()


def test_adjusted_p_values_keep_the_order_given() -> None:
    assert adjust([0.04, 0.01, 0.03], method="holm").tolist() == pytest.approx([0.06, 0.03, 0.06])
