"""Which software made a number."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path

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


# Our own code that decides results: between the locked files and the numbers.
ROOT = Path(__file__).resolve().parents[2]
OWN = ("analytics/endpoints", "analytics/learning", "analytics/results", "analytics/snapshots", "analytics/stats")
OWN_FILES = ("analytics/selectors/frames.py", "crf/definitions/response.py")
DIGITS = 12


def versions() -> dict[str, str]:
    """Versions of Python, of our own code and of the libraries that decide results."""
    found = {"python": platform.python_version(), "lobule": own_code()}
    for name in NAMED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def own_code() -> str:
    """The hash of our source files that decide results: the same with git, an image or a copied folder."""
    files = [path for folder in OWN for path in (ROOT / folder).rglob("*.py")] + [ROOT / name for name in OWN_FILES]
    content = hashlib.sha256()
    for path in sorted(files):
        content.update(f"{path.relative_to(ROOT).as_posix()}\n".encode() + path.read_bytes() + b"\0")
    return content.hexdigest()[:DIGITS]
