"""Extract radiomics for a locked dataset: one task per image for all its masks, keyed by content."""

from __future__ import annotations

import time

from analytics.learning.plan import Plan
from analytics.models import Dataset, FeatureSet
from analytics.radiomics import Extraction, NotExtractable, Parameters, engine_version, extract_many
from analytics.selectors import features as asked
from analytics.selectors import plans
from analytics.selectors.features import Wanted
from imaging.models import Segmentation, Series
from imaging.selectors import volumes
from registry import audit
from registry.jobs import Progress
from registry.models import User
from registry.permissions import Permission, authorise

KIND = "features.extract"


class ImageHasChanged(Exception):
    """The stored image is no longer the one that was locked: its series was sorted again, with later objects."""


def extract(*, dataset: Dataset, progress: Progress | None = None, by: User) -> int:
    """Extract here and now what the dataset's plans ask for and is missing; returns the number of feature sets made."""
    authorise(by, Permission.FEATURE_EXTRACT, study=dataset.study)
    made = [_extract_missing(dataset, plan, progress, by) for plan in plans.plans(dataset.rules)]
    return sum(made)


def extract_for(*, dataset: Dataset, plan: Plan, progress: Progress | None = None, by: User) -> int:
    """The same for one plan, as part of running it."""
    authorise(by, Permission.EVALUATION_RUN, study=dataset.study)
    return _extract_missing(dataset, plan, progress, by)


def extract_image(*, dataset: Dataset, plan: str, series: str, volume: int, by: User) -> int:
    """Features of every mask of one image that has none yet. Twice, it does nothing the second time."""
    authorise(by, Permission.EVALUATION_RUN, study=dataset.study)
    todo = asked.missing_for(dataset, plans.plan(dataset.rules, plan))
    if (series, volume) not in todo:
        return 0
    parameters, found = todo[series, volume]
    return _extract(dataset, found, parameters, by)


def _extract_missing(dataset: Dataset, plan: Plan, progress: Progress | None, by: User) -> int:
    progress, made = progress or Progress(None), 0
    todo = asked.missing_for(dataset, plan)
    if todo:
        progress.start(len(todo))
    for _image, (parameters, found) in sorted(todo.items(), key=lambda pair: pair[0]):
        made += _extract(dataset, found, parameters, by)
        progress.step(f"{found[0].subject} {found[0].kind}")
    return made


def _extract(dataset: Dataset, found: list[Wanted], parameters: Parameters, by: User) -> int:
    masks = asked.segmentations(dataset, found)
    series = next(iter(masks.values())).series
    _guard_as_locked(dataset, series, found, parameters)
    started = time.perf_counter()
    image = volumes.volume(series)
    drawn = {key: volumes.mask(segmentation) for key, segmentation in masks.items()}
    extracted = extract_many(image, drawn, parameters)
    seconds = (time.perf_counter() - started) / len(found)
    with audit.change(by=by):
        made = [_stored(dataset, masks[key], key, one, parameters, seconds) for key, one in extracted.items()]
        details = {"dataset": dataset.pk, "hash": dataset.hash, "series": series.pk, "masks": sum(made)}
        audit.event(kind=KIND, subject=series.subject, details=details | {"parameters": parameters.sha256()})
    return sum(made)


def _guard_as_locked(dataset: Dataset, series: Series, found: list[Wanted], parameters: Parameters) -> None:
    """A feature set's key names the image that was locked; its values must come from that image."""
    for one in found:
        if asked.key_of(dataset.study.code, series.digest, one.sha256, parameters, engine_version()) != one.key:
            text = f"{one.subject} {one.kind} (series {series.pk}) is no longer the image that {dataset} holds"
            raise ImageHasChanged(f"{text}: objects came later. Lock the next version of the dataset.")


def _stored(
    dataset: Dataset,
    segmentation: Segmentation,
    key: str,
    one: Extraction | NotExtractable,
    parameters: Parameters,
    seconds: float,
) -> bool:
    """One row per key, also when two workers come with the same one."""
    failed = isinstance(one, NotExtractable)
    about = {
        "study": dataset.study,
        "series": segmentation.series,
        "segmentation": segmentation,
        "parameters": parameters.name,
        "parameters_hash": parameters.sha256(),
        "engine": engine_version(),
        "state": FeatureSet.State.FAILED if failed else FeatureSet.State.DONE,
        "values": {} if failed else one.values,
        "failures": {"region": one.code, "zh": one.zh, "en": one.en} if failed else one.failures,
        "provenance": {} if failed else one.provenance,
        "seconds": seconds,
    }
    return FeatureSet.objects.get_or_create(key=key, defaults=about)[1]
