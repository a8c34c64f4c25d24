"""Which feature sets a locked dataset asks for, and which of them exist."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from analytics.learning.plan import Plan
from analytics.models import Dataset, FeatureSet
from analytics.radiomics import Parameters, engine_version
from analytics.selectors import plans, storage
from analytics.snapshots import manifest
from imaging.models import Segmentation, Series

UNUSABLE = Series.Verdict.FAIL.value


@dataclass(frozen=True)
class Wanted:
    """One mask on one image, as the dataset holds them, and the key of its feature set."""

    key: str
    subject: str
    series: str
    volume: int
    kind: str
    roi: str
    reader: str
    round: int
    sha256: str


def key_of(study: str, image: str, mask: str, parameters: Parameters, engine: str) -> str:
    """The identity of a feature set before it is computed: study, image and mask digests, parameters, engine."""
    return manifest.digest([study, image, mask, parameters.sha256(), engine])


def wanted(
    dataset: Dataset, parameters: Parameters, kinds: Iterable[str] = (), rois: Iterable[str] = ()
) -> list[Wanted]:
    """Every mask of the dataset (of these kinds of image and regions, or of all), with its key."""
    folder, kinds, rois, engine = storage.folder(dataset.folder), set(kinds), set(rois), engine_version()
    images = {
        (row["series"], row["volume"]): row
        for row in manifest.load(folder, dataset.manifest, "images").frame().to_dict("records")
    }
    found = []
    for mask in manifest.load(folder, dataset.manifest, "segmentations").frame().to_dict("records"):
        image = images[(mask["series"], mask["volume"])]
        if (kinds and image["kind"] not in kinds) or (rois and mask["roi"] not in rois) or image["verdict"] == UNUSABLE:
            continue
        key = key_of(dataset.study.code, image["digest"], mask["sha256"], parameters, engine)
        about = {name: mask[name] for name in ("subject", "series", "volume", "roi", "reader", "round", "sha256")}
        found.append(Wanted(key=key, kind=image["kind"], **about))
    return found


def missing(found: Iterable[Wanted]) -> dict[tuple[str, int], list[Wanted]]:
    """By image, the masks whose features have not been computed yet."""
    found = list(found)
    present = set(FeatureSet.objects.filter(key__in=[one.key for one in found]).values_list("key", flat=True))
    by_image: dict[tuple[str, int], list[Wanted]] = defaultdict(list)
    for one in found:
        if one.key not in present:
            by_image[(one.series, one.volume)].append(one)
    return dict(by_image)


def wanted_for(dataset: Dataset, plan: Plan) -> dict[str, tuple[Parameters, list[Wanted]]]:
    """By sequence, the parameters and the masks that a plan asks for. A dataset never changes: read once a process."""
    place = (dataset.folder, plan.sha256())
    if place not in _asked:
        _asked[place] = _wanted_for(dataset, plan)
    return _asked[place]


_asked: dict[tuple[str, str], dict[str, tuple[Parameters, list[Wanted]]]] = {}


def keys_for(dataset: Dataset, plan: Plan) -> list[str]:
    """The keys of all feature sets that a plan asks for, computed or not."""
    return sorted(one.key for _, asked in wanted_for(dataset, plan).values() for one in asked)


def _wanted_for(dataset: Dataset, plan: Plan) -> dict[str, tuple[Parameters, list[Wanted]]]:
    found = {}
    for sequence, parameters in plans.parameters(dataset, plan).items():
        regions = {one.roi for one in plan.predictors.values() if sequence in one.sequences}
        found[sequence] = (parameters, wanted(dataset, parameters, [sequence], regions))
    return found


def missing_for(dataset: Dataset, plan: Plan) -> dict[tuple[str, int], tuple[Parameters, list[Wanted]]]:
    """By image, the masks whose features a plan asks for and nobody has computed yet."""
    return {
        image: (parameters, todo)
        for parameters, asked in wanted_for(dataset, plan).values()
        for image, todo in missing(asked).items()
    }


def values(found: Iterable[Wanted]) -> dict[str, FeatureSet]:
    """The feature sets that exist, by key."""
    sets = FeatureSet.objects.filter(key__in=[one.key for one in found])
    return {one.key: one for one in sets}


def segmentations(dataset: Dataset, of: Iterable[Wanted]) -> dict[str, Segmentation]:
    """The stored masks, by key; each is found by its image and its own hash."""
    found = {}
    for one in of:
        stored = Segmentation.objects.select_related("series__subject").filter(
            series__study=dataset.study,
            series__series_instance_uid=one.series,
            series__volume_number=one.volume,
            roi=one.roi,
            reader__username=one.reader,
            round=one.round,
            sha256=one.sha256,
        )
        found[one.key] = stored.order_by("-is_current", "-pk")[0]
    return found
