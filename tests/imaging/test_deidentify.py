"""De-identification obeys the whole table, at every depth, repeatably, and leaves the original alone."""

import re

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from imaging.dicom import gate, guard, identifiers, profile
from imaging.dicom.dates import shift_date, shift_datetime
from imaging.dicom.deidentify import Options, Pseudonyms, deidentify
from imaging.dicom.descriptors import clean_text
from tests.imaging.dicom_objects import ORIGINAL_ROOT, as_bytes, everything, slice_of, with_meta

BASIC = Options(modified_dates=False, patient_characteristics=False, clean_descriptors=False)
KEY = Pseudonyms(b"a project key of thirty-two bytes")


def obeyed(action: str, before: pydicom.DataElement, after: pydicom.DataElement | None) -> bool:
    """Whether one row's action was carried out; with a choice (X/Z/D), any one of them will do."""
    removed = after is None
    emptied = after is not None and after.is_empty
    replaced = after is not None and not after.is_empty and after.value != before.value
    verdicts = {"X": removed, "Z": emptied or replaced, "D": replaced, "U": replaced, "U*": replaced}
    return any(verdicts[one] for one in action.split("/"))


def test_every_action_of_the_table_is_obeyed():
    original = everything()
    copy = deidentify(original, pseudonyms=KEY, options=BASIC)
    rules = [rule for rule in profile.load().rules.values() if rule.tag in original]
    disobeyed = [rule.keyword for rule in rules if not obeyed(rule.action, original[rule.tag], copy.get(rule.tag))]
    assert len(rules) >= 613
    assert disobeyed == []


def test_nothing_secret_survives_anywhere_in_the_bytes():
    for options in (BASIC, Options()):
        content = identifiers.write(deidentify(everything(), pseudonyms=KEY, options=options))
        assert not re.search(rb"secret|zhang|HN0012345|ACC778899|19620305|20230417", content, re.IGNORECASE)
        assert ORIGINAL_ROOT.encode() not in content


def test_identifiers_inside_a_sequence_that_the_table_does_not_list_are_replaced():
    item = deidentify(everything(), pseudonyms=KEY).DerivationCodeSequence[0]
    assert not item.PatientName
    assert "InstitutionName" not in item or item.InstitutionName == "REMOVED"
    assert not [element for element in item if element.tag.is_private]


def test_the_original_is_left_as_it_was():
    original = everything()
    before = as_bytes(original)
    deidentify(original, pseudonyms=KEY)
    assert as_bytes(original) == before


def test_the_same_key_gives_the_same_bytes_and_another_key_does_not():
    once, again = (identifiers.write(deidentify(slice_of(), pseudonyms=KEY)) for _ in range(2))
    other = identifiers.write(deidentify(slice_of(), pseudonyms=Pseudonyms(b"another key")))
    assert once == again != other


def test_intervals_between_a_patients_dates_are_kept():
    first = deidentify(slice_of(AcquisitionDate="20230417"), pseudonyms=KEY)
    later = deidentify(slice_of(AcquisitionDate="20230501"), pseudonyms=KEY)
    other = deidentify(slice_of(AcquisitionDate="20230417", PatientID="OTHER"), pseudonyms=KEY)
    assert shift_date(first.AcquisitionDate, 14) == later.AcquisitionDate
    assert first.AcquisitionDate != "20230417"
    assert other.AcquisitionDate != first.AcquisitionDate
    assert first.AcquisitionTime == "101112"
    assert first.LongitudinalTemporalInformationModified == "MODIFIED"


def test_patient_characteristics_are_kept_and_great_ages_are_capped():
    copy = deidentify(slice_of(PatientAge="093Y", PatientWeight=61.5), pseudonyms=KEY)
    assert (copy.PatientAge, copy.PatientSex, copy.PatientWeight) == ("090Y", "M", 61.5)
    assert not copy.PatientBirthDate
    assert "PatientAge" not in deidentify(slice_of(), pseudonyms=KEY, options=BASIC)


def test_the_object_says_how_it_was_de_identified():
    copy = deidentify(slice_of(), pseudonyms=KEY)
    assert copy.PatientIdentityRemoved == "YES"
    assert profile.load().edition in str(copy.DeidentificationMethod)
    codes = [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113107", "113108"]


def test_references_between_objects_survive():
    image, other = slice_of(number=1), slice_of(number=2)
    other.ReferencedImageSequence = [Dataset()]
    other.ReferencedImageSequence[0].ReferencedSOPInstanceUID = image.SOPInstanceUID
    image, other = (deidentify(each, pseudonyms=KEY) for each in (image, other))
    assert other.ReferencedImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert image.SeriesInstanceUID == other.SeriesInstanceUID
    assert image.SOPClassUID == slice_of().SOPClassUID


def test_text_in_the_wrong_field_is_emptied_and_text_that_stays_is_reported():
    original = slice_of(Manufacturer="SIEMENS for ZHANG", BodyPartExamined="ZHANG")
    found = identifiers.known(original)
    copy = deidentify(original, pseudonyms=KEY)
    assert identifiers.scrub(copy, found) == ["Manufacturer"]
    assert identifiers.remaining(identifiers.write(copy), copy, found) == ["PatientName"]


def test_text_that_stays_in_a_deflated_object_is_reported_too():
    original = with_meta(slice_of(BodyPartExamined="ZHANG"), DeflatedExplicitVRLittleEndian)
    passed = gate.admit(as_bytes(original), pseudonyms=KEY, patient_key=str)
    assert passed.held and passed.held.code == "identifier_remains"
    assert guard.parse(passed.content).pixel_array.tolist() == slice_of().pixel_array.tolist()


def test_chinese_names_are_found_in_any_encoding():
    original = slice_of(SpecificCharacterSet="GB18030", PatientName="Zhang^San=张三丰", Manufacturer="张三丰")
    found = identifiers.known(original)
    copy = deidentify(original, pseudonyms=KEY)
    assert identifiers.remaining(identifiers.write(copy), copy, found) == ["PatientName"]
    identifiers.scrub(copy, found)
    assert identifiers.remaining(identifiers.write(copy), copy, found) == []


def test_a_hospital_number_that_looks_like_a_time_is_not_mistaken_for_one():
    original = slice_of(PatientID="101112")
    copy = deidentify(original, pseudonyms=KEY)
    assert identifiers.remaining(identifiers.write(copy), copy, identifiers.known(original)) == []
    copy.BodyPartExamined = "101112"
    assert identifiers.remaining(identifiers.write(copy), copy, identifiers.known(original)) == ["PatientID"]


@pytest.mark.parametrize("name", ["6_1.dcm", "6_2.dcm", "IM_0027_fMAP.dcm"])
def test_real_enhanced_mr_keeps_no_private_element_no_original_uid_and_no_original_date(shared, name):
    original = guard.parse((shared / "data/imaging/dcm_qa_enh" / name).read_bytes())
    found = identifiers.known(original)
    copy = deidentify(original, pseudonyms=KEY)
    identifiers.scrub(copy, found)
    content = identifiers.write(copy)
    stored = guard.parse(content)

    def values(dataset, vrs):
        leaves = (each for each in dataset.iterall() if each.VR in vrs and not each.is_empty)
        return {(each.keyword, str(part)) for each in leaves for part in _values(each)}

    assert not [element for element in stored.iterall() if element.tag.is_private]
    kept = {value for _, value in values(original, {"UI"}) & values(stored, {"UI"})}
    assert {uid for uid in kept if not uid.startswith("1.2.840.10008.")} == set()
    assert len(values(original, {"DA", "DT"})) > 1
    assert values(original, {"DA", "DT"}) & values(stored, {"DA", "DT"}) == set()
    assert identifiers.remaining(content, copy, found) == []
    assert stored.PixelData == original.PixelData


def _values(element):
    return element.value if isinstance(element.value, list) else [element.value]


@pytest.mark.parametrize(
    ("value", "moved"),
    [("20200301", "20200229"), ("2020.03.01", "20200229"), ("202003", ""), ("20201399", ""), ("", "")],
)
def test_dates_move_by_whole_days_or_become_empty(value, moved):
    assert shift_date(value, -1) == moved


def test_date_times_keep_time_and_zone():
    assert shift_datetime("20200301101112.5+0800", -1) == "20200229101112.5+0800"
    assert shift_datetime("2020", -1) == ""


def test_descriptions_keep_only_imaging_words():
    assert clean_text("AX T2 FS zhang san 2mm") == "AX T2 FS 2 mm"
    assert clean_text("张三 动脉期增强") == "动脉期 增强"
    assert clean_text("Dr. Wang's LAVA ART 13800138000") == "LAVA ART"


def test_the_profile_is_what_the_generator_makes_from_the_standards_table(shared):
    made = profile.main(str(shared / "data/imaging/dicom_standard"), profile.load().edition)
    assert made == (profile.Path(profile.__file__).parent / "profile.json").read_text(encoding="utf-8")
