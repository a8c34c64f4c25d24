"""PyRadiomics' feature classes, run once per image for all of its regions. The values are PyRadiomics' own."""

import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import radiomics
import SimpleITK as sitk
from radiomics import firstorder, glcm, gldm, glrlm, glszm, imageoperations, ngtdm, shape
from threadpoolctl import threadpool_limits

from analytics.radiomics import filters
from analytics.radiomics.digests import engine_version, feature_key, image_digest, mask_digest
from analytics.radiomics.mesh import Shape
from analytics.radiomics.reasons import NotExtractable
from analytics.radiomics.regions import Box, check_extent, check_image, grid_shift, image_like, region_of
from analytics.radiomics.settings import Filters, Parameters

radiomics.setVerbosity(60)  # it would print a line per feature; failures are kept with their reason instead


@dataclass(frozen=True)
class Extraction:
    """The features of one region; a name is either in `values` or, with a reason's code, in `failures`."""

    values: dict[str, float]
    failures: dict[str, str]
    provenance: dict[str, Any]


@dataclass
class Measured:
    """One region on the grid it is measured on, and what has been found so far."""

    image: sitk.Image
    whole: np.ndarray  # the region as segmented: shape
    region: np.ndarray  # the part within the intensity range: everything else
    wide: sitk.Image  # the same grid, reaching far enough around the region for the filters
    shift: tuple[int, ...] = (0, 0, 0)  # of `image` within `wide`
    values: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def seen_by(self, chosen: filters.Filter) -> tuple[sitk.Image, Box]:
        """The image that this filter takes, and where the region's box lies in it."""
        box = Box.around(self.region)
        return (self.image, box) if isinstance(chosen, filters.Original) else (self.wide, box.moved(self.shift))


@dataclass(frozen=True)
class Bins:
    matrix: np.ndarray
    levels: np.ndarray


def _maximal_correlation(self: Any) -> Any:
    """PyRadiomics' MCC by the symmetric matrix that has the same eigenvalues: equal to 1e-14, many times faster.

    Q = Dx^-1 P Dy^-1 P' is similar to M M' with M = Dx^-1/2 P Dy^-1/2, and M is symmetric as the GLCM is.
    """
    matrices = np.moveaxis(self.P_glcm, 3, 1)
    if matrices.shape[-1] < 2:
        return 1
    rows, columns = matrices.sum(3)[..., :, None], matrices.sum(2)[..., None, :]
    scaled = matrices / np.sqrt(rows * columns + self.coefficients["eps"])
    return np.nanmean(np.sort(np.abs(np.linalg.eigvalsh(scaled)), axis=-1)[..., -2], 1)


def _shares_bins(base: type) -> type:
    """The same feature class, taking the bins made once per region instead of making its own."""

    def apply_binning(self: Any, matrix: np.ndarray) -> np.ndarray:
        bins: Bins = self.settings["bins"]
        self.coefficients |= {"grayLevels": bins.levels, "Ng": int(bins.levels[-1])}
        return bins.matrix

    # Its own module name: the class logs there, where PyRadiomics' level applies
    return type(base.__name__, (base,), {"_applyBinning": apply_binning, "__module__": base.__module__})


CLASSES: dict[str, Any] = {
    "firstorder": _shares_bins(firstorder.RadiomicsFirstOrder),
    "glcm": _shares_bins(glcm.RadiomicsGLCM),
    "glrlm": _shares_bins(glrlm.RadiomicsGLRLM),
    "glszm": _shares_bins(glszm.RadiomicsGLSZM),
    "gldm": _shares_bins(gldm.RadiomicsGLDM),
    "ngtdm": _shares_bins(ngtdm.RadiomicsNGTDM),
    "shape": shape.RadiomicsShape,
}
CLASSES["glcm"].getMCCFeatureValue = _maximal_correlation


def extract(image: sitk.Image, mask: sitk.Image, parameters: Parameters, label: int = 1) -> Extraction:
    """The features of the voxels of `mask` that carry `label`; raises NotExtractable with the reason."""
    result = extract_many(image, {"region": mask}, parameters, label)["region"]
    if isinstance(result, NotExtractable):
        raise result
    return result


def extract_many(
    image: sitk.Image, masks: Mapping[str, sitk.Image], parameters: Parameters, label: int = 1
) -> dict[str, Extraction | NotExtractable]:
    """Features of several regions of one image, which is normalised and filtered once.

    A region's values don't depend on which others are asked for. One that can't be measured gives its reason.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # one worker, one core: two workers beat two threads
    try:
        check_image(image, normalised=parameters.normalise is not None)
    except NotExtractable as reason:
        return dict.fromkeys(masks, reason)
    source = normalised(image, parameters)
    found: dict[str, Measured | NotExtractable] = {}
    for name, mask in masks.items():
        try:
            found[name] = prepared(source, region_of(image, mask, label, parameters.region), parameters)
        except NotExtractable as reason:
            found[name] = reason
    with threadpool_limits(1):
        measure([region for region in found.values() if isinstance(region, Measured)], parameters)
    digest = image_digest(image)
    return {
        name: result if isinstance(result, NotExtractable) else _report(result, digest, masks[name], parameters, label)
        for name, result in found.items()
    }


def feature_names(parameters: Parameters) -> list[str]:
    """Every name that an extraction with these parameters answers for."""
    names = [f"original_shape_{name}" for name in _features("shape")] if "shape" in parameters.classes else []
    images = [name for chosen in filters.chosen_filters(parameters) for name in chosen.names]
    return names + [name for image in images for name in _names(image, parameters)]


def normalised(image: sitk.Image, parameters: Parameters) -> sitk.Image:
    """Over the whole image, before anything is cut away."""
    if parameters.normalise is None:
        return image
    return imageoperations.normalizeImage(image, **parameters.engine_settings())


def prepared(source: sitk.Image, mask: sitk.Image, parameters: Parameters) -> Measured:
    """Image and region on the grid to be measured: resampled, then limited to the intensity range."""
    settings = parameters.engine_settings()
    image = wide = source
    if parameters.resample:
        image, resampled = imageoperations.resampleImage(source, mask, **settings)
        wide = image
        if parameters.filters != Filters():
            wide, _ = imageoperations.resampleImage(source, mask, padDistance=_padding(source, parameters), **settings)
        mask = resampled  # from the grid with PyRadiomics' own margin: where voxels tie, the margin decides
    whole = sitk.GetArrayFromImage(mask) == 1
    check_extent(whole, parameters.region)
    region = whole
    if parameters.resegment:
        region = _resegmented(image, mask, parameters, settings)
        check_extent(region, parameters.region)
    return Measured(image, whole, region, wide, grid_shift(image, wide))


def measure(regions: list[Measured], parameters: Parameters) -> None:
    """Fill in values and failures, one filtered image in memory at a time."""
    for region in regions:
        if "shape" in parameters.classes:
            _keep(region, "original", _shape_values(region))
    for chosen in filters.chosen_filters(parameters):
        for (_, box), sharing in _by_box(chosen, regions).items():
            _measure_box(chosen, box, sharing, parameters)
    for region in regions:
        for name in feature_names(parameters):
            if name not in region.values:
                region.failures.setdefault(name, "image_too_small_for_filter")


def _by_box(chosen: filters.Filter, regions: list[Measured]) -> dict[tuple[int, Box], list[Measured]]:
    boxes: dict[tuple[int, Box], list[Measured]] = {}
    for region in regions:
        image, inner = region.seen_by(chosen)
        boxes.setdefault((id(image), chosen.box(image, inner)), []).append(region)
    return boxes


def _measure_box(chosen: filters.Filter, box: Box, sharing: list[Measured], parameters: Parameters) -> None:
    started = time.perf_counter()
    for name, filtered in chosen.images(sharing[0].seen_by(chosen)[0], box):
        sharing[0].seconds += time.perf_counter() - started
        array = sitk.GetArrayViewFromImage(filtered)
        for region in sharing:
            started = time.perf_counter()
            crop = np.ascontiguousarray(array[region.seen_by(chosen)[1].within(box).slices])
            inside = region.region[Box.around(region.region).slices]
            _measure_crop(region, name, image_like(crop, filtered), inside, parameters)
            region.seconds += time.perf_counter() - started
        started = time.perf_counter()


def _measure_crop(region: Measured, name: str, image: sitk.Image, inside: np.ndarray, parameters: Parameters) -> None:
    array = sitk.GetArrayFromImage(image)
    intensities = array[inside]
    reason = _undefined(intensities, parameters)
    if reason:
        region.failures |= dict.fromkeys(_names(name, parameters), reason)
        return
    bins = discretised(array, inside, parameters)
    mask = image_like(inside.astype(np.uint32), image)
    settings = parameters.engine_settings() | {"bins": bins}
    for class_name in _intensity_classes(parameters):
        with np.errstate(all="ignore"):
            found = CLASSES[class_name](image, mask, **settings).execute()
        _keep(region, name, ((f"{class_name}_{feature}", value) for feature, value in found.items()))


def _undefined(intensities: np.ndarray, parameters: Parameters) -> str | None:
    least, greatest = intensities.min(), intensities.max()
    if least == greatest:
        return "one_grey_level"
    width = parameters.discretise.bin_width
    if width and (float(greatest) - float(least)) / width > parameters.discretise.greatest_levels:
        return "too_many_grey_levels"
    return None


def discretised(array: np.ndarray, inside: np.ndarray, parameters: Parameters) -> Bins:
    """PyRadiomics' binImage with numpy's minimum and maximum: it walks the voxels in Python, six times an image."""
    intensities = array[inside]
    width = parameters.discretise.bin_width
    if width is None:
        edges = np.histogram(intensities, parameters.discretise.bin_count or 0)[1]
        edges[-1] += 1  # the maximum belongs to the last bin
    else:
        least, greatest = intensities.min(), intensities.max()
        edges = np.arange(least - (least % width), greatest + 2 * width, width)
    matrix = np.zeros(array.shape, dtype=int)
    matrix[inside] = np.digitize(intensities, edges)
    return Bins(matrix, np.unique(matrix[inside]))


def _shape_values(region: Measured) -> Iterator[tuple[str, Any]]:
    started = time.perf_counter()
    inside = region.whole[Box.around(region.whole).slices]
    mask = image_like(inside.astype(np.uint32), region.image)
    found = Shape(mask, mask, label=1).execute()
    region.seconds += time.perf_counter() - started
    return ((f"shape_{feature}", value) for feature, value in found.items())


def _keep(region: Measured, image_name: str, found: Any) -> None:
    """Values as plain floats; some come as 0-d arrays, and with numpy 2.5 as complex numbers."""
    for feature, value in found:
        number = float(np.real(value))
        if np.isfinite(number):
            region.values[f"{image_name}_{feature}"] = number
        else:
            region.failures[f"{image_name}_{feature}"] = "not_computable"


def _resegmented(image: sitk.Image, mask: sitk.Image, parameters: Parameters, settings: dict[str, Any]) -> np.ndarray:
    try:
        return sitk.GetArrayFromImage(imageoperations.resegmentMask(image, mask, **settings)) == 1
    except ValueError as error:
        raise NotExtractable("resegmented_away", voxels="0-1", least=parameters.region.least_voxels) from error


def _padding(image: sitk.Image, parameters: Parameters) -> int:
    """Voxels of the new grid kept around a region for the filters; PyRadiomics' 5 are too few for LoG."""
    assert parameters.resample
    spacing = [new or old for new, old in zip(parameters.resample.spacing, image.GetSpacing(), strict=True)]
    wavelet = 6 * parameters.filters.wavelet.level if parameters.filters.wavelet else 0
    return max(int(np.ceil(filters.margin_mm(parameters) / min(spacing))), filters.LOG_LEAST, wavelet)


def _intensity_classes(parameters: Parameters) -> list[str]:
    return [name for name in parameters.classes if name != "shape"]


def _features(class_name: str) -> list[str]:
    return [name for name, deprecated in CLASSES[class_name].getFeatureNames().items() if not deprecated]


def _names(image_name: str, parameters: Parameters) -> list[str]:
    classes = _intensity_classes(parameters)
    return [f"{image_name}_{class_name}_{feature}" for class_name in classes for feature in _features(class_name)]


def _report(region: Measured, digest: str, mask: sitk.Image, parameters: Parameters, label: int) -> Extraction:
    names = feature_names(parameters)
    mask_sha256, engine = mask_digest(mask, label), engine_version()
    provenance = {
        "key": feature_key(digest, mask_sha256, parameters, engine),
        "image_digest": digest,
        "mask_digest": mask_sha256,
        "label": label,
        "parameters": parameters.model_dump(mode="json"),
        "parameters_sha256": parameters.sha256(),
        "engine": engine,
        "crop": f"LoG {filters.LOG_MARGIN} sigma, wavelet its length per level, in steps of {filters.SNAP} voxels",
        "voxels_measured": int(region.region.sum()),
        "voxels_whole": int(region.whole.sum()),
        "spacing_mm": list(region.image.GetSpacing()),
        "machine": f"{platform.machine()} {platform.node()} {os.cpu_count()} cores",
        "python": platform.python_version(),
        "seconds": round(region.seconds, 4),
    }
    values = {name: region.values[name] for name in names if name in region.values}
    return Extraction(values, {name: region.failures[name] for name in names if name not in region.values}, provenance)
