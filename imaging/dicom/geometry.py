"""Sort frames into volumes with a correct place in space.

One SeriesInstanceUID can hold several phases, echoes or b-values at the same positions. Readers that stack what they
find give one volume with a wrong spacing; here repeated positions are split by what distinguishes the frames, or said.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imaging.dicom.reasons import Reason, Refused, reason

# In this order: what means "another image" before what merely differs between images.
SPLIT_KEYS = ("temporal", "acquisition", "b", "gradient", "te", "type", "trigger", "acquired", "content")
POSITION_MM = 0.01
COSINE = 1e-3
GAP_WARN, GAP_FAIL = 0.01, 0.10
SPARSE = 2.5  # times the slice thickness


@dataclass(frozen=True, slots=True)
class Frame:
    """One image plane: `source` and `number` find its pixels; `keys` tell it from others at the same position."""

    source: Any
    number: int
    order: int
    size: tuple[int, int]
    samples: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    thickness: float | None
    keys: dict[str, Any] = field(default_factory=dict)

    @property
    def normal(self) -> NDArray[np.float64]:
        assert self.orientation is not None
        return np.cross(self.orientation[:3], self.orientation[3:])

    @property
    def along(self) -> float:
        """Place along the slice normal, mm."""
        assert self.position is not None
        return float(np.dot(self.normal, self.position))


@dataclass(frozen=True, slots=True)
class Volume:
    """Frames in order of place; geometry in SimpleITK's terms (LPS, mm; direction row-major)."""

    frames: tuple[Frame, ...]
    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    split: dict[str, Any]
    problems: tuple[Reason, ...]
    usable: bool

    @property
    def geometry(self) -> dict[str, Any]:
        return {
            "size": list(self.size),
            "spacing": list(self.spacing),
            "origin": list(self.origin),
            "direction": list(self.direction),
        }


@dataclass(frozen=True, slots=True)
class Sorting:
    volumes: tuple[Volume, ...]
    unplaced: tuple[Frame, ...]
    problems: tuple[Reason, ...]


def read_frames(source: Any, facts: dict[str, Any]) -> list[Frame]:
    """Frames of one object from `headers.facts`."""
    return [_frame(source, index, facts["order"], row) for index, row in enumerate(facts["frames"])]


def _frame(source: Any, index: int, order: int, row: dict[str, Any]) -> Frame:
    def values(name: str) -> tuple[float, ...] | None:
        return tuple(row[name]) if row[name] else None

    return Frame(
        source=source,
        number=index,
        order=order or index,
        size=(row["size"][0], row["size"][1]),
        samples=row["samples"],
        position=values("position"),
        orientation=values("orientation"),
        spacing=values("spacing"),
        thickness=row["thickness"],
        keys=dict(row["keys"]),
    )


def sort_volumes(frames: Iterable[Frame]) -> Sorting:
    """Group frames into volumes; what has no place in space is listed with the reason."""
    placed, unplaced = [], defaultdict(list)
    for frame in frames:
        code = _unplaceable(frame)
        unplaced[code].append(frame) if code else placed.append(frame)
    stacks = defaultdict(list)
    for frame in placed:
        stacks[_stack_key(frame)].append(frame)
    volumes = [volume for key in sorted(stacks) for volume in _split(stacks[key])]
    problems = tuple(reason(code, count=len(lost)) for code, lost in unplaced.items())
    return Sorting(tuple(volumes), tuple(frame for lost in unplaced.values() for frame in lost), problems)


def _unplaceable(frame: Frame) -> str:
    if frame.samples != 1:
        return "colour"
    if frame.position is None:
        return "no_position"
    if frame.orientation is None or not _is_orthonormal(frame.orientation):
        return "bad_orientation"
    if frame.spacing is None or min(frame.spacing) <= 0:
        return "zero_spacing"
    return ""


def _is_orthonormal(orientation: Sequence[float]) -> bool:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = abs(np.linalg.norm(row) - 1) < 0.01 and abs(np.linalg.norm(column) - 1) < 0.01
    return bool(lengths and abs(np.dot(row, column)) < 0.01)


def _stack_key(frame: Frame) -> tuple[Any, ...]:
    assert frame.orientation and frame.spacing
    # + 0.0 makes -0.0 and 0.0 one key.
    orientation = tuple(round(value / COSINE) * COSINE + 0.0 for value in frame.orientation)
    return (*orientation, *frame.size, *(round(value, 3) for value in frame.spacing))


def _split(stack: list[Frame]) -> list[Volume]:
    repeats = max(Counter(map(_place, stack)).values())
    if repeats == 1:
        return [_volume(stack, {}, ())]
    candidates = [(key,) for key in SPLIT_KEYS] + list(combinations(SPLIT_KEYS, 2))
    for keys in candidates:
        groups = _partition(stack, keys)
        if len(groups) == repeats and all(_is_unique(group) for group in groups.values()):
            ordered = sorted(groups.items(), key=lambda group: _rank(group[0]))
            return [_volume(group, dict(zip(keys, value, strict=True)), ()) for value, group in ordered]
    return _split_by_order(stack, repeats)


def _split_by_order(stack: list[Frame], repeats: int) -> list[Volume]:
    """Nothing distinguishes the repeats: the first of each position is one volume, the second the next, and says so."""
    places = defaultdict(list)
    for frame in sorted(stack, key=lambda each: (each.keys.get("content") or 0, each.order, each.number)):
        places[_place(frame)].append(frame)
    repeated = sum(len(group) > 1 for group in places.values())
    problem = reason("duplicate_positions", count=repeated)
    return [
        _volume([group[turn] for group in places.values() if len(group) > turn], {"order": turn + 1}, (problem,))
        for turn in range(repeats)
    ]


def _partition(stack: list[Frame], keys: tuple[str, ...]) -> dict[tuple[Any, ...], list[Frame]]:
    groups: dict[tuple[Any, ...], list[Frame]] = defaultdict(list)
    for frame in stack:
        groups[tuple(frame.keys.get(key) for key in keys)].append(frame)
    return groups


def _rank(value: tuple[Any, ...]) -> tuple[tuple[bool, str, float | str], ...]:
    return tuple((part is not None, type(part).__name__, part if part is not None else 0) for part in value)


def _place(frame: Frame) -> tuple[int, ...]:
    assert frame.position is not None
    return tuple(round(value / POSITION_MM) for value in frame.position)


def _is_unique(frames: list[Frame]) -> bool:
    return len({_place(frame) for frame in frames}) == len(frames)


def _volume(frames: list[Frame], split: dict[str, Any], problems: tuple[Reason, ...]) -> Volume:
    ordered = tuple(sorted(frames, key=lambda frame: frame.along))
    first = ordered[0]
    assert first.orientation and first.spacing and first.position
    gap, found, usable = _check_gaps(ordered)
    columns = np.array([first.orientation[:3], first.orientation[3:], first.normal]).T
    return Volume(
        frames=ordered,
        size=(first.size[1], first.size[0], len(ordered)),
        spacing=(first.spacing[1], first.spacing[0], gap),
        origin=(first.position[0], first.position[1], first.position[2]),
        direction=tuple(float(value) for value in columns.ravel()),
        split=split,
        problems=(*problems, *found),
        usable=usable,
    )


def _check_gaps(ordered: tuple[Frame, ...]) -> tuple[float, tuple[Reason, ...], bool]:
    """Spacing between slices in mm, what is wrong with it, and whether a rectangular volume can be trusted."""
    if len(ordered) == 1:
        single = ordered[0].thickness or 0.0
        return (single if single > 0 else 1.0), (reason("single_slice"),), single > 0
    gaps = np.diff([frame.along for frame in ordered])
    gap = float(np.median(gaps))
    if gap < POSITION_MM:
        return 1.0, (reason("sheared"),), False  # side by side, not one behind the other
    problems = []
    worst = float(np.abs(gaps - gap).max() / gap)
    missing = int(np.sum(np.rint(gaps / gap) - 1))
    if missing > 0:
        problems.append(reason("missing_slices", count=missing, gap=round(gap, 3)))
    elif worst > GAP_WARN:
        problems.append(reason("unequal_gaps", low=round(float(gaps.min()), 3), high=round(float(gaps.max()), 3)))
    usable = worst <= GAP_FAIL
    thickness = ordered[0].thickness
    if thickness and gap > SPARSE * thickness:
        problems.append(reason("sparse", gap=round(gap, 3), thickness=thickness))
        usable = False
    if _shear(ordered, gap) > GAP_FAIL:
        problems.append(reason("sheared"))
        usable = False
    return gap, tuple(problems), usable


def _shear(ordered: tuple[Frame, ...], gap: float) -> float:
    """Greatest sideways step between neighbours, as a part of the gap."""
    positions = np.array([frame.position for frame in ordered], dtype=float)
    steps = np.diff(positions, axis=0)
    normal = ordered[0].normal
    sideways = steps - np.outer(steps @ normal, normal)
    return float(np.linalg.norm(sideways, axis=1).max() / gap)


def image(volume: Volume, pixels: Callable[[Frame], NDArray[Any]]) -> sitk.Image:
    """The volume with rescaled pixel values; `pixels` gives one frame's plane. Raises Refused where it isn't usable."""
    if not volume.usable:
        raise Refused.because(volume.problems[-1])
    planes = np.stack([pixels(frame) for frame in volume.frames])
    return with_geometry(sitk.GetImageFromArray(planes), volume.geometry)


def with_geometry(image: sitk.Image, geometry: dict[str, Any]) -> sitk.Image:
    image.SetSpacing(geometry["spacing"])
    image.SetOrigin(geometry["origin"])
    image.SetDirection(geometry["direction"])
    return image
