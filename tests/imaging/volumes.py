"""Read a folder of DICOM files into volumes, as intake does, but without a database."""

import gzip
from collections import defaultdict
from pathlib import Path

import SimpleITK as sitk
from pydicom import Dataset

from imaging.dicom import classify, geometry, guard, headers, pixels


def parse(path: Path) -> Dataset:
    content = path.read_bytes()
    return guard.parse(gzip.decompress(content) if path.suffix == ".gz" else content)


def sort_folder(folder: Path, pattern: str = "*") -> tuple[geometry.Sorting, dict[Path, Dataset]]:
    datasets = {path: parse(path) for path in sorted(folder.glob(pattern)) if path.name != "LICENSE"}
    return sort(datasets), datasets


def sort(datasets: dict) -> geometry.Sorting:
    frames = (geometry.read_frames(key, headers.facts(each)) for key, each in datasets.items())
    return geometry.sort_volumes([frame for group in frames for frame in group])


def image(volume: geometry.Volume, datasets: dict) -> sitk.Image:
    decoded = {frame.source: pixels.planes(datasets[frame.source]) for frame in volume.frames}
    return geometry.image(volume, lambda frame: decoded[frame.source][frame.number])


def kinds(sorting: geometry.Sorting, datasets: dict) -> list[str]:
    known: dict = defaultdict(dict)
    for key, dataset in datasets.items():
        known[key] = headers.facts(dataset)
    volumes = []
    for volume in sorting.volumes:
        facts, first = known[volume.frames[0].source], volume.frames[0]
        volumes.append(
            classify.Series(
                facts["modality"], facts["acquisition"], facts["description"], first.keys, volume.split, volume.size
            )
        )
    return [kind.code for kind in classify.classify_study(volumes)]
