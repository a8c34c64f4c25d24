"""The report of an evaluation: one HTML text in one language, alone or inside the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.safestring import SafeString, mark_safe

from analytics.models import Evaluation
from analytics.selectors.presentation import FIGURE_NAMES, SPLIT_NAMES, of, presented

STYLE = "analytics/report.css"


def context(evaluation: Evaluation, folder: Path, language: str) -> dict[str, Any]:
    """What the report's templates read. Each number prints with `dataset_hash` and `source`."""
    dataset = evaluation.dataset
    return {
        "evaluation": evaluation,
        "study": evaluation.study,
        "dataset": dataset,
        "dataset_hash": dataset.hash,
        "source": f"{dataset} · sha256 {dataset.short_hash}",
        "figures": _captions(evaluation, folder / "figures" / language),
        "language": language,
        **presented(evaluation.results),
    }


def _captions(evaluation: Evaluation, folder: Path) -> list[tuple[str, str]]:
    """(file, caption) of each figure, in the order that a reader needs them."""
    results = evaluation.results
    wanted = [
        (f"{split}-{kind}", f"{caption}, {SPLIT_NAMES[split]}")
        for split in results["splits"]
        for kind, caption in FIGURE_NAMES.items()
    ]
    wanted += [(f"survival-{one['code']}", of(one["name"])) for one in results["endpoints"]]
    return [(name, str(caption)) for name, caption in wanted if (folder / f"{name}.svg").is_file()]


def render(evaluation: Evaluation, folder: Path, language: str, *, standalone: bool) -> str:
    """`standalone` carries its style and figures inside; else they are the site's, as its CSP asks."""
    with translation.override(language):
        about = context(evaluation, folder, language)
        about["inline"] = _inline(folder / "figures" / language) if standalone else {}
        about["style"] = _style() if standalone else ""
        return render_to_string("analytics/report.html", about | {"standalone": standalone})


def _inline(folder: Path) -> dict[str, SafeString]:
    """Our own figures, drawn by matplotlib from numbers and our labels."""
    found = {}
    for path in sorted(folder.glob("*.svg")):
        text = path.read_text(encoding="utf-8")
        found[path.stem] = mark_safe(_own_ids(text[text.index("<svg") :], path.stem))  # noqa: S308
    return found


def _own_ids(svg: str, prefix: str) -> str:
    """Ids made unique, since many figures share one page."""
    return (
        svg.replace('id="', f'id="{prefix}-')
        .replace('href="#', f'href="#{prefix}-')
        .replace("url(#", f"url(#{prefix}-")
    )


def _style() -> SafeString:
    path = finders.find(STYLE)
    assert isinstance(path, str)
    return mark_safe(Path(path).read_text(encoding="utf-8"))  # noqa: S308 - our own file
