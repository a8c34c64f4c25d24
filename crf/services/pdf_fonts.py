"""The faces of our PDFs: Noto Sans SC from npm, embedded, so that Chinese is readable on any machine."""

from __future__ import annotations

from django.conf import settings
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

FOLDER = settings.ROOT / "node_modules/@expo-google-fonts/noto-sans-sc"
FACES = {"NotoSansSC": "400Regular/NotoSansSC_400Regular.ttf", "NotoSansSC-Bold": "700Bold/NotoSansSC_700Bold.ttf"}


def registered() -> tuple[str, str]:
    """The names of the regular and the bold face, known to reportlab from now on."""
    known = pdfmetrics.getRegisteredFontNames()
    for name, file in FACES.items():
        if name not in known:
            pdfmetrics.registerFont(TTFont(name, str(FOLDER / file)))
    regular, bold = FACES
    return regular, bold
