"""The face of our PDFs: Noto Sans SC from npm, embedded, so that Chinese is readable on any machine."""

from __future__ import annotations

from django.conf import settings
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

NAME = "NotoSansSC"
FILE = settings.ROOT / "node_modules/@expo-google-fonts/noto-sans-sc/400Regular/NotoSansSC_400Regular.ttf"


def face() -> str:
    """The name of the face, known to reportlab from now on."""
    if NAME not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(NAME, str(FILE)))
    return NAME
