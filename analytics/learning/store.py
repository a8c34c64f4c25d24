"""Models on disk as skops files: no pickle, and nothing is loaded that this program doesn't name here."""

from pathlib import Path

import pandas as pd
import skops.io

from analytics.learning.development import FrozenModel

TRUSTED = {
    "numpy.dtype",
    "analytics.learning.pipelines._equals",
    "analytics.learning.transformers.CorrelationFilter",
    "analytics.learning.transformers.LassoFilter",
    "analytics.learning.transformers.UnivariateFilter",
    "analytics.learning.transformers.VarianceFilter",
}


class UntrustedModel(ValueError):
    """The file holds types that are no part of our pipelines."""


def save(model: FrozenModel, path: Path) -> None:
    content = {name: value for name, value in vars(model).items() if name != "development"}
    content |= {"columns": list(model.columns), "development": model.development.to_dict("list")}
    skops.io.dump(content, path)


def load(path: Path) -> FrozenModel:
    """Raises UntrustedModel naming the types."""
    unknown = set(skops.io.get_untrusted_types(file=path)) - TRUSTED
    if unknown:
        raise UntrustedModel(f"{path.name} holds {', '.join(sorted(unknown))}; only models made here are loaded")
    content = skops.io.load(path, trusted=sorted(TRUSTED))
    content |= {"columns": tuple(content["columns"]), "development": pd.DataFrame(content["development"])}
    return FrozenModel(**content)
