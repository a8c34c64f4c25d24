"""Which subjects or forms a share chooses: a keyed hash, the same every time and for everybody, and no list to keep."""

from __future__ import annotations

import hashlib
import json
from typing import Any

PARTS = 10_000  # a hundredth of a percent


def in_share(seed: str, key: str, percentage: float) -> bool:
    """Whether `key` is in the share under `seed`. A larger percentage keeps all that a smaller one chose."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
    return int(digest[:8], 16) % PARTS < percentage * PARTS / 100


def value_digest(value: Any) -> str:
    """What tells two stored values apart: half of the SHA-256 of the value as canonical JSON."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
