"""Which software made a number."""

from __future__ import annotations

import platform
from importlib import metadata

NAMED = (
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "lifelines",
    "statsmodels",
    "pyradiomics-bhklab",
    "simpleitk",
    "matplotlib",
    "django",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide results."""
    found = {"python": platform.python_version()}
    for name in NAMED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
