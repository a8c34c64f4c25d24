"""What decides the values of a feature set: one parameter file per modality, and its hash."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FOLDER = Path(__file__).parent / "parameters"

FeatureClass = Literal["shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]
CLASSES: tuple[FeatureClass, ...] = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
Positive = Annotated[float, Field(gt=0)]


class BadParameters(ValueError):
    """A parameter file that can't be used; each line names the entry and the remedy."""


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalise(Strict):
    """Centre on the whole image's mean, divide by its SD, then multiply by `scale`; clip at `outliers` SD."""

    scale: Positive = 1.0
    outliers: Positive | None = None


class Resample(Strict):
    """Voxel size in mm (x, y, z); 0 keeps the original in that direction."""

    spacing: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]
    interpolator: Literal["sitkBSpline", "sitkLinear", "sitkNearestNeighbor"] = "sitkBSpline"


class Discretise(Strict):
    """Either a fixed bin width, in the image's units after normalisation, or a fixed number of bins."""

    bin_width: Positive | None = None
    bin_count: Annotated[int, Field(gt=1)] | None = None
    greatest_levels: Annotated[int, Field(gt=1)] = 1000  # texture matrices grow with its square

    @model_validator(mode="after")
    def one_of_them(self) -> Self:
        if (self.bin_width is None) == (self.bin_count is None):
            raise ValueError("give either bin_width or bin_count")
        return self


class Resegment(Strict):
    """Keep the voxels of the region whose intensity lies in `range`; shape keeps the whole region."""

    range: Annotated[tuple[float, ...], Field(min_length=1, max_length=2)]
    mode: Literal["absolute", "relative", "sigma"] = "absolute"


class Region(Strict):
    least_voxels: Annotated[int, Field(ge=2)] = 2
    least_dimensions: Annotated[int, Field(ge=1, le=3)] = 2


class LaplacianOfGaussian(Strict):
    sigma: Annotated[tuple[Positive, ...], Field(min_length=1)]  # mm


class Wavelet(Strict):
    wavelet: str = "coif1"
    level: Annotated[int, Field(ge=1, le=3)] = 1


class Filters(Strict):
    """Filtered images besides the original one, which is always measured."""

    log: LaplacianOfGaussian | None = None
    wavelet: Wavelet | None = None


class Parameters(Strict):
    """One parameter file. Two with the same content, whatever their names, have the same hash."""

    name: str = ""
    normalise: Normalise | None = None
    resample: Resample | None = None
    discretise: Discretise
    resegment: Resegment | None = None
    region: Region = Region()
    voxel_array_shift: float = 0.0  # added before squaring in energy features, so that all values are positive
    flat: bool = False  # texture within axial slices only, for thick slices
    classes: Annotated[tuple[FeatureClass, ...], Field(min_length=1)] = CLASSES
    filters: Filters = Filters()

    @classmethod
    def load(cls, path: Path) -> "Parameters":
        """Read a YAML parameter file; raises BadParameters naming file, entry and remedy."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except yaml.YAMLError as error:
            raise BadParameters(f"{path.name}: not readable as YAML: {error}") from error
        except ValidationError as error:
            lines = [f"{path.name}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
            raise BadParameters("\n".join(lines)) from error

    @classmethod
    def default(cls, modality: str) -> "Parameters":
        """The default of a modality: MR or CT (PT and others have none)."""
        path = FOLDER / f"{modality.lower()}.yaml"
        if modality.upper() not in {"MR", "CT"}:
            raise BadParameters(f"no default parameters for modality {modality!r}; give a parameter file")
        return cls.load(path)

    def original_only(self) -> "Parameters":
        """The same without filtered images."""
        return self.model_copy(update={"filters": Filters()})

    def resampled(self, voxel_mm: float) -> "Parameters":
        """The same on cubes of this edge, in mm."""
        cube = Resample(spacing=(voxel_mm, voxel_mm, voxel_mm))
        return self.model_copy(update={"resample": cube})

    def canonical_json(self) -> str:
        content = self.model_dump(mode="json", exclude={"name"})
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    def sha256(self) -> str:
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def engine_settings(self) -> dict[str, Any]:
        """PyRadiomics' own names for what its classes and image operations read."""
        settings: dict[str, Any] = {
            "label": 1,
            "voxelArrayShift": self.voxel_array_shift,
            "force2D": self.flat,
            "force2Ddimension": 0,
            "minimumROIDimensions": self.region.least_dimensions,
            "binWidth": self.discretise.bin_width,
            "binCount": self.discretise.bin_count,
        }
        if self.normalise:
            settings |= {"normalizeScale": self.normalise.scale, "removeOutliers": self.normalise.outliers}
        if self.resample:
            settings |= {"resampledPixelSpacing": self.resample.spacing, "interpolator": self.resample.interpolator}
        if self.resegment:
            settings |= {"resegmentRange": list(self.resegment.range), "resegmentMode": self.resegment.mode}
        return settings
