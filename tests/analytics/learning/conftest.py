"""A made-up cohort: some signal in radiomics and in one clinical item, missing values, categories, four sites."""

import numpy as np
import pandas as pd
import pytest

from analytics.learning import Cohort, Learner, cohort, radiomics_column
from analytics.learning.plan import PipelineSettings, ThresholdRule


def made_up(n: int = 120, features: int = 40, signal: float = 1.5, seed: int = 3) -> Cohort:
    rng = np.random.default_rng(seed)
    latent, afp = rng.normal(size=(n, 4)), rng.normal(4, 2, n)
    logit = signal * (latent[:, 0] + 0.5 * (afp - 4))
    names = [radiomics_column("T2", "tumour", f"original_glcm_F{j}") for j in range(features)]
    values = latent @ rng.normal(size=(4, features)) + rng.normal(size=(n, features))
    index = [f"0{i % 4 + 1}-{i:04d}" for i in range(n)]
    frame = pd.DataFrame(values, columns=names, index=index)
    frame.insert(0, "LB.afp", np.where(np.arange(n) % 9, afp, np.nan))
    frame.insert(1, "DM.age", rng.normal(58, 9, n))
    frame.insert(2, "DM.sex", rng.choice(["M", "F"], n))
    frame.insert(3, "DM.aetiology", rng.choice(["HBV", "HCV", None], n, p=[0.8, 0.1, 0.1]))
    outcome = pd.Series((rng.uniform(size=n) < 1 / (1 + np.exp(-logit))).astype(int), index=index)
    sites = pd.Series([name[:2] for name in index], index=index)
    groups = pd.Series(np.where(np.arange(n) < n * 0.75, "RETRO", "PROSP"), index=index)
    return cohort(frame, outcome, sites=sites, groups=groups)


SMALL = PipelineSettings(features=(5, 10), penalty=(0.03, 0.3), l1_ratio=(0.5,))


@pytest.fixture
def people() -> Cohort:
    return made_up()


@pytest.fixture
def learner() -> Learner:
    return Learner(SMALL, ThresholdRule(), inner=3, seed=11)
