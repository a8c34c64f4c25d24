"""The face of our PDFs: Noto Sans SC from npm, embedded, so that Chinese is readable on any machine."""

from __future__ import annotations

from django.conf import settings
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

FOLDER = settings.ROOT / "node_modules/@expo-google-fonts/noto-sans-sc"
FILES = {"NotoSansSC": "400Regular/NotoSansSC_400Regular.ttf", "NotoSansSC-Bold": "700Bold/NotoSansSC_700Bold.ttf"}


def face() -> str:
    """The name of the regular face, known to reportlab from now on."""
    return _known("NotoSansSC")


def faces() -> tuple[str, str]:
    """The names of the regular and the bold face, known to reportlab from now on."""
    return _known("NotoSansSC"), _known("NotoSansSC-Bold")


def _known(name: str) -> str:
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, str(FOLDER / FILES[name])))
    return name
