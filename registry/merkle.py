"""Merkle tree hash of RFC 6962 §2.1, over hex digests of audit rows. (pymerkle is GPL; this is all we need.)"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH(D[n]): SHA-256 of 0x00 || leaf, and of 0x01 || left || right, split at the largest power of two below n."""
    if not leaves:
        return hashlib.sha256().digest()
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    # Pairing neighbours and carrying an odd last node up gives the same tree as the recursive definition.
    while len(level) > 1:
        paired = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0]
