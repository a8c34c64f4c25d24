"""Clean Descriptors Option: a description keeps only words that an imaging vocabulary knows.

An allow-list, because names cannot be recognised, only known words can.
"""

import re
from pathlib import Path

WORDS = frozenset((Path(__file__).parent / "vocabulary.txt").read_text(encoding="utf-8").split())
TOKEN = re.compile(r"[A-Za-z]+\d*[A-Za-z]?|\d+(?:\.\d+)?|[\u4e00-\u9fff]+|[+\-]")
NUMBER = re.compile(r"\d{1,3}(\.\d+)?\Z")
LONGEST_CHINESE = 4


def clean_text(text: str) -> str:
    """The known words of `text`, in order, and numbers that stand beside one (b-values, delays, slice thickness)."""
    kept: list[str] = []
    for token in TOKEN.findall(text):
        if "\u4e00" <= token[0] <= "\u9fff":
            kept.extend(_chinese_words(token))
        elif token.lower() in WORDS or (kept and NUMBER.match(token)):
            kept.append(token)
    return " ".join(kept)[:64]


def _chinese_words(run: str) -> list[str]:
    """Known words in a run of Chinese characters, the longest first."""
    found, start = [], 0
    while start < len(run):
        for length in range(LONGEST_CHINESE, 0, -1):
            if run[start : start + length] in WORDS:
                found.append(run[start : start + length])
                start += length - 1
                break
        start += 1
    return found
