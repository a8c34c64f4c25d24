"""Answers that are missing more often at one site, or at all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Missing:
    """An item that is often without a value at a site: `missing` of `asked`, and the share at the other sites."""

    site: str
    missing: int
    asked: int
    others_share: float | None
    p: float | None

    @property
    def share(self) -> float:
        return self.missing / self.asked


def often_missing(
    counts: Mapping[str, tuple[int, int]], *, share: float = 0.2, p: float = 0.01, least: int = 10
) -> list[Missing]:
    """Sites at which at least `share` of an item's values are missing; `counts` is {site: (missing, asked)}.

    With other sites to compare, a site counts only where it is worse than they are (Fisher's exact test, one-sided) or
    where they miss as much themselves: a test that no hospital has is told once for each, not hidden.
    """
    found = []
    for site, (missing, asked) in counts.items():
        if asked < least or missing / asked < share:
            continue
        others = [pair for other, pair in counts.items() if other != site]
        others_missing, others_asked = sum(pair[0] for pair in others), sum(pair[1] for pair in others)
        if not others_asked:
            found.append(Missing(site, missing, asked, None, None))
            continue
        others_share = others_missing / others_asked
        table = [[missing, asked - missing], [others_missing, others_asked - others_missing]]
        value = float(stats.fisher_exact(table, alternative="greater").pvalue)
        if value < p or others_share >= share:
            found.append(Missing(site, missing, asked, others_share, value))
    return found
