"""PS3.15 Annex E, Basic Application Level Confidentiality Profile, at every depth, from the standard's own table.

`deidentify` returns a copy; `remaining` then looks for the object's own identifiers in the bytes that will be stored.
"""

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pydicom.valuerep import PersonName

from imaging.dicom import profile as table
from imaging.dicom.dates import shift_date, shift_datetime
from imaging.dicom.descriptors import clean_text
from imaging.dicom.elements import elements, is_empty

IMPLEMENTATION_UID = "2.25.190402866117263716012431987741690155264"
IMPLEMENTATION_NAME = "LOBULE_1"
MAX_SHIFT_DAYS = 3652
# These name vocabularies, classes and encodings, not instances; every other UID outside the standard's root is mapped.
PUBLIC_UIDS = frozenset({"CodingSchemeUID", "MappingResourceUID", "ContextUID"})
STANDARD_ROOT = "1.2.840.10008."
OPTION_CODES = {
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
}
DUMMIES: dict[str, object] = {
    "AE": "REMOVED", "AS": "000Y", "CS": "REMOVED", "DA": "19000101", "DS": "0", "DT": "19000101000000", "IS": "0",
    "LO": "REMOVED", "LT": "REMOVED", "PN": PersonName("REMOVED"), "SH": "REMOVED", "ST": "REMOVED", "TM": "000000",
    "UC": "REMOVED", "UR": "http://removed.invalid", "UT": "REMOVED", "UI": "2.25.0",
    "FL": 0.0, "FD": 0.0, "SL": 0, "SS": 0, "SV": 0, "UL": 0, "US": 0, "UV": 0, "AT": 0,
    "OB": b"\0\0", "OD": b"\0" * 8, "OF": b"\0" * 4, "OL": b"\0" * 4, "OV": b"\0" * 8, "OW": b"\0\0", "UN": b"\0\0",
}  # fmt: skip
CHARACTERISTICS = frozenset({"M", "F", "O", "YES", "NO", "UNKNOWN", "ALTERED", "UNALTERED"})
CLEANED_VRS = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})


@dataclass(frozen=True, slots=True)
class Options:
    """Options of PS3.15 Annex E.3. With all of them off, the Basic Profile applies literally."""

    modified_dates: bool = True  # intervals between examinations are what the analysis needs
    patient_characteristics: bool = True  # age, sex, size, weight
    clean_descriptors: bool = True  # descriptions keep only words of an imaging vocabulary

    def codes(self) -> list[str]:
        chosen = {
            "113100": True,
            "113105": self.clean_descriptors,
            "113107": self.modified_dates,
            "113108": self.patient_characteristics,
        }
        return [code for code, used in chosen.items() if used]


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Keyed, repeatable replacements: the same key and input give the same output in every run."""

    key: bytes = field(repr=False)

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.digest(self.key, f"{kind}:{value}".encode(), "sha256")

    def uid(self, uid: str) -> str:
        """A UID under 2.25 (PS3.5 B.2), so that segmentations and later images still refer to each other."""
        return f"2.25.{int.from_bytes(self._digest('uid', uid)[:16], 'big')}"

    def days(self, patient: str) -> int:
        """How many days this patient's dates move back: 1 to MAX_SHIFT_DAYS."""
        return 1 + int.from_bytes(self._digest("days", patient.strip())[:8], "big") % MAX_SHIFT_DAYS

    def patient(self, patient: str) -> str:
        return f"L{self._digest('patient', patient.strip()).hex()[:15].upper()}"


def deidentify(
    original: Dataset, *, pseudonyms: Pseudonyms, options: Options | None = None, patient: str | None = None
) -> Dataset:
    """Return a de-identified copy; `original` is left as it was.

    `patient` keys the date shift and the pseudonym (default: the object's PatientID); give it where one person has
    several PatientIDs, so that all of their dates move alike.
    """
    options = options or Options()
    identity = str(original.get("PatientID") or "") if patient is None else patient
    copy = _Engine(table.load(), pseudonyms, options, pseudonyms.days(identity)).apply(original)
    if "PatientID" in original:
        copy.PatientID = pseudonyms.patient(identity)
    _state_method(copy, original, options)
    copy.file_meta = _file_meta(original, copy)
    copy.preamble = b"\0" * 128
    return copy


@dataclass(slots=True)
class _Engine:
    profile: table.Profile
    pseudonyms: Pseudonyms
    options: Options
    days: int

    def apply(self, source: Dataset) -> Dataset:
        target = Dataset()
        for element in elements(source):
            self._copy(element, target)
        return target

    def _copy(self, element: DataElement, target: Dataset) -> None:
        tag = element.tag
        if tag.is_private or not dictionary_has_tag(tag) or tag.group & 0xFF00 in (0x5000, 0x6000):
            return  # unknown to the standard, or curves and overlays, which may draw text
        if tag == 0x00080005 or tag.element == 0 or tag.group in (0x0000, 0x0002):
            return  # character set and file meta are written anew
        action = self._action(element)
        if action != "X":
            target.add(self._replacement(element, action))

    def _action(self, element: DataElement) -> str:
        """X remove, Z empty, D dummy, U map, K keep, S shift dates, C clean text.

        Where the table leaves a choice by attribute type, the choice that is conformant for every type is taken:
        a value that is emptied or replaced rather than absent.
        """
        rule = self.profile.rule(element.tag)
        if rule is None:
            return self._unlisted(element)
        if self.options.modified_dates and "modified_dates" in rule.options and element.VR in ("DA", "DT", "TM"):
            return "S"
        if self.options.patient_characteristics and _is_plain_characteristic(element, rule):
            return "K"
        if self.options.clean_descriptors and "clean_descriptors" in rule.options and element.VR in CLEANED_VRS:
            return "C"
        return {"X/Z": "Z", "X/D": "D", "Z/D": "D", "X/Z/D": "D", "X/Z/U*": "U"}.get(rule.action, rule.action)

    def _unlisted(self, element: DataElement) -> str:
        if element.VR == "UI" and element.keyword not in PUBLIC_UIDS:
            return "U"
        if element.VR in ("DA", "DT"):
            return "S" if self.options.modified_dates else "Z"
        if element.VR == "PN" or element.VR == "UN":
            return "Z"
        return "K"

    def _replacement(self, element: DataElement, action: str) -> DataElement:
        if element.VR == "SQ":
            return _element(element, self._sequence(element, action))
        if is_empty(element) or action == "Z":
            return _element(element, None)
        if action == "K":
            return _element(element, _capped_age(element) if element.VR == "AS" else _plain(element))
        change = {"D": self._dummy, "U": self._mapped, "S": self._shifted, "C": self._cleaned}[action]
        return _element(element, change(element))

    def _sequence(self, element: DataElement, action: str) -> Sequence:
        if action == "Z":
            return Sequence([])
        items = [self.apply(item) for item in element.value]
        return Sequence([_all_dummies(item) for item in items] if action == "D" else items)

    def _dummy(self, element: DataElement) -> object:
        return self._mapped(element) if element.VR == "UI" else _dummy_of(element)

    def _mapped(self, element: DataElement) -> object:
        return _each(element, lambda uid: uid if uid.startswith(STANDARD_ROOT) else self.pseudonyms.uid(uid))

    def _shifted(self, element: DataElement) -> object:
        if element.VR == "TM":
            return _plain(element)
        shift = shift_date if element.VR == "DA" else shift_datetime
        return _each(element, lambda value: shift(value, -self.days))

    def _cleaned(self, element: DataElement) -> object:
        cleaned = _each(element, clean_text)
        rule = self.profile.rule(element.tag)
        must_stay = rule is not None and "D" in rule.action and not any(_values(cleaned))
        return _dummy_of(element) if must_stay else cleaned


def _is_plain_characteristic(element: DataElement, rule: table.Rule) -> bool:
    """Measures, ages and the standard's own codes are kept; text in these attributes may say anything."""
    if rule.options.get("patient_characteristics") != "K":
        return False
    return element.VR in ("AS", "DS", "US") or (element.VR == "CS" and element.value in CHARACTERISTICS)


def _values(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [value]


def _each(element: DataElement, change: Callable[[str], object]) -> object:
    value = element.value
    if isinstance(value, str) or not isinstance(value, Iterable):
        return change(str(value))
    return [change(str(part)) for part in value]


def _plain(element: DataElement) -> object:
    return _each(element, PersonName) if element.VR == "PN" else element.value


def _capped_age(element: DataElement) -> object:
    """Ages above 89 years identify; they become 090Y."""
    age = str(element.value)
    return "090Y" if age.endswith("Y") and age[:-1].isdecimal() and int(age[:-1]) > 89 else age


def _element(original: DataElement, value: object) -> DataElement:
    new = DataElement(original.tag, original.VR, value, already_converted=True)
    new.is_undefined_length = original.is_undefined_length and original.tag == 0x7FE00010
    return new


def _dummy_of(element: DataElement) -> object:
    return DUMMIES[str(element.VR).split(" or ")[0]]  # "OB or OW" until it is written


def _all_dummies(item: Dataset) -> Dataset:
    """Inside a sequence that must be replaced as a whole, codes identify too: every leaf becomes a dummy."""
    for element in item:
        if element.VR == "SQ":
            for inner in element.value:
                _all_dummies(inner)
        elif not is_empty(element) and element.VR != "UI":
            item[element.tag] = _element(element, _dummy_of(element))
    return item


def _state_method(copy: Dataset, original: Dataset, options: Options) -> None:
    copy.SpecificCharacterSet = "ISO_IR 192"
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = [
        "Lobule: PS3.15 Basic Profile",
        f"PS3.15 Table E.1-1 {table.load().edition}",
        *[f"Option {code}" for code in options.codes()[1:]],
    ]
    copy.DeidentificationMethodCodeSequence = Sequence([_code(code) for code in options.codes()])
    copy.LongitudinalTemporalInformationModified = "MODIFIED" if options.modified_dates else "REMOVED"


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = OPTION_CODES[value]
    return item


def _file_meta(original: Dataset, copy: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = copy.SOPClassUID
    meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    syntax = original.file_meta.TransferSyntaxUID
    # Deflated headers can't be searched for what names the patient.
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    return meta
