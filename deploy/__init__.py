"""The composition root: settings, urls, processes. It imports every app; no app imports it."""

import os

# One process per core does the work. BLAS and ITK threads beside them spin for the same cores: two workers that fit
# logistic models took six times the CPU. Set before numpy is first imported; what the environment says wins.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ.setdefault(_name, "1")

from deploy.celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
