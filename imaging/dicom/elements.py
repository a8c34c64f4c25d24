"""Walk a data set's elements cheaply: pydicom's own iteration sorts tags and looks each up again."""

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.dataelem import DataElement


def elements(dataset: Dataset) -> Iterator[DataElement]:
    """The elements of one level, parsed as they come; their order is the file's."""
    for element in list(dataset.values()):
        yield element if isinstance(element, DataElement) else dataset[element.tag]


def leaves(dataset: Dataset) -> Iterator[DataElement]:
    """Every element with a value, at every depth; sequences themselves are left out."""
    for element in elements(dataset):
        if element.VR == "SQ":
            for item in element.value or ():
                yield from leaves(item)
        elif not is_empty(element):
            yield element


def is_empty(element: DataElement) -> bool:
    value = element.value
    return value is None or (hasattr(value, "__len__") and len(value) == 0)
