"""Two runs of one plan side by side: what went in, and what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analytics.results.summary import SPLITS, estimate, proportion

METRICS = ("auc", "sensitivity", "specificity", "accuracy")


def changes(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each metric of each set and split in both runs, with the difference; None where one run has none."""
    rows = []
    new, old = dict(_metrics(now)), dict(_metrics(before))
    for key in sorted(set(new) | set(old), key=lambda key: (SPLITS.index(key[0]), key[1], METRICS.index(key[2]))):
        first, second = old.get(key), new.get(key)
        difference = second["value"] - first["value"] if first and second else None
        rows.append(
            dict(zip(("split", "set", "metric"), key, strict=True))
            | {
                "before": first,
                "now": second,
                "difference": difference,
            }
        )
    return rows


def _metrics(results: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str], dict[str, Any] | None]]:
    for split, about in results["splits"].items():
        for model in about["evaluation"]["models"]:
            called = model["classification"] or {}
            yield (split, model["name"], "auc"), estimate(model["auc"])
            for name in METRICS[1:]:
                yield (split, model["name"], name), proportion(called.get(name))
