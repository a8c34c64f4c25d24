"""What DICOM headers say is not typed: the form about the images is filled when they arrive, and never overwritten."""

import pytest

from crf.definitions.model import Codelist, Item
from crf.models import Record
from crf.services import records
from imaging.models import Series
from imaging.services import series as matching
from imaging.services.acquisition import answer
from tests.imaging.conftest import stack
from tests.study import DEFINITION, both, enrol, enter, publish

pytestmark = pytest.mark.django_db

VENDORS = ["SIEMENS", "GE", "PHILIPS", "OTHER"]
ITEMS = [
    {"name": "scan_date", "type": "date", "dicom": "AcquisitionDate", "required": True},
    {"name": "vendor", "type": "choice", "codelist": "VENDOR", "dicom": "Manufacturer"},
    {"name": "field", "type": "choice", "codelist": "FIELD", "dicom": "MagneticFieldStrength"},
    {"name": "found", "type": "choices", "codelist": "SEQ", "dicom": "sequences"},
    {"name": "tr_t2", "type": "decimal", "precision": 1, "dicom": "T2.RepetitionTime", "show_if": "'T2' in found"},
    {"name": "te_t2", "type": "decimal", "precision": 2, "dicom": "T2.EchoTime", "show_if": "'T2' in found"},
    {"name": "quality", "type": "text", "required": True},
]
T2 = {"EchoTime": 80.004, "RepetitionTime": 3000, "MagneticFieldStrength": 2.8936}
FILLED = {"scan_date": "2023-04-17", "vendor": "SIEMENS", "field": "3.0", "found": ["T2"], "tr_t2": 3000, "te_t2": 80}


def codelist(codes):
    return {"name": both("List"), "choices": [{"code": code, "label": both(code)} for code in codes]}


@pytest.fixture
def asked(study):
    """The study's next build asks about the images at baseline."""
    return ask("1.1", *ITEMS)


def ask(version, *items):
    form = {"oid": "MRI", "name": both("Images")}
    form["sections"] = [{"name": both("Scan"), "items": [{"label": both(one["name"])} | one for one in items]}]
    baseline = DEFINITION["events"][0] | {"forms": ["DM", "LB", "MRI"]}
    return publish(
        version=version,
        forms=[*DEFINITION["forms"], form],
        events=[baseline, *DEFINITION["events"][1:]],
        codelists=DEFINITION["codelists"]
        | {"VENDOR": codelist(VENDORS), "FIELD": codelist(["1.5", "3.0"]), "SEQ": codelist(["T1", "T2", "AP"])},
        imaging={"modality": "MR", "event": "BASELINE", "sequences": [{"code": "T2", "name": both("T2")}]},
    )


@pytest.fixture
def subject(asked, site, coordinator):
    return enrol(site, by=coordinator, hospital_number="HN0012345")


@pytest.fixture
def another_subject(asked, site, coordinator):
    return enrol(site, by=coordinator)


def test_images_that_arrive_fill_the_form_and_the_trail_says_so(receive, subject, coordinator):
    receive(stack(**T2))
    record = Record.objects.get(subject=subject, form="MRI")
    assert record.data == FILLED
    assert record.status == Record.Status.IN_PROGRESS
    written = record.history.get()
    assert (written.history_source, written.history_user) == ("dicom", coordinator)


def test_the_same_images_again_write_nothing(receive, subject):
    receive(stack(**T2))
    receive(stack(**T2))
    assert Record.objects.get(subject=subject, form="MRI").revision == 1


def test_what_a_person_typed_or_took_away_stays(receive, subject, coordinator):
    enter(subject, "MRI", {"vendor": "OTHER", "field": "1.5"}, by=coordinator)
    enter(subject, "MRI", {"field": ""}, reason="the header is wrong", by=coordinator)
    receive(stack(**T2))
    data = Record.objects.get(subject=subject, form="MRI").data
    assert data["vendor"] == "OTHER"
    assert "field" not in data
    assert data["te_t2"] == 80


def test_a_completed_form_is_left_alone(receive, subject, coordinator):
    enter(subject, "MRI", {"scan_date": "2023-04-17", "quality": "good"}, complete=True, by=coordinator)
    receive(stack(**T2))
    record = Record.objects.get(subject=subject, form="MRI")
    assert (record.revision, record.status) == (1, Record.Status.COMPLETE)


def test_a_form_begun_under_an_earlier_build_is_filled_as_that_build_asks(receive, subject, coordinator):
    enter(subject, "MRI", {"quality": "good"}, by=coordinator)
    ask("1.2", *ITEMS, {"name": "model", "type": "text", "dicom": "ManufacturerModelName"})
    receive(stack(**T2, ManufacturerModelName="Prisma"))
    record = Record.objects.get(form="MRI")
    assert (record.data, record.build.version) == (FILLED | {"quality": "good"}, "1.1")


def test_an_answer_that_would_hide_a_persons_is_left_to_the_person(receive, subject, coordinator):
    ask("1.2", *ITEMS, {"name": "why_none", "type": "text", "show_if": "!given(found)"})
    enter(subject, "MRI", {"why_none": "not yet scanned"}, by=coordinator)
    assert receive(stack(**T2)).counts["accepted"] == 4
    assert Record.objects.get(form="MRI").data == {"why_none": "not yet scanned"}


def test_a_later_upload_of_the_examination_adds_its_answers(receive, subject, coordinator):
    receive(stack(**T2))
    enter(subject, "MRI", {"quality": "good"}, by=coordinator)
    receive(stack(series="2", EchoTime=2, RepetitionTime=4, ScanningSequence="GR", SeriesDescription="t1 vibe"))
    record = Record.objects.get(form="MRI")
    assert record.data == FILLED | {"found": ["T1", "T2"], "quality": "good"}
    assert record.history.order_by("revision").last().history_change_reason.startswith("additional")


def test_a_later_upload_does_not_change_what_a_person_corrected(receive, subject, coordinator):
    receive(stack(**T2))
    enter(subject, "MRI", {"found": ["AP"]}, reason="named wrong", by=coordinator)
    receive(stack(series="2", EchoTime=2, RepetitionTime=4, ScanningSequence="GR", SeriesDescription="t1 vibe"))
    assert Record.objects.get(form="MRI").data["found"] == ["AP"]


def test_images_of_no_sequence_of_the_study_wait_for_one(receive, subject):
    receive(stack(series="2", EchoTime=2, RepetitionTime=4, ScanningSequence="GR", SeriesDescription="t1 vibe"))
    assert not Record.objects.filter(form="MRI").exists(), "no sequence of the study yet"
    receive(stack(**T2))
    assert Record.objects.get(form="MRI").data["found"] == ["T1", "T2"]


def test_a_match_by_hand_fills_the_form_of_that_subject(receive, another_subject, coordinator):
    receive(stack(**T2))
    assert not Record.objects.filter(form="MRI").exists()
    matching.match(series=Series.objects.get(), subject=another_subject, by=coordinator)
    assert Record.objects.get(form="MRI").subject == another_subject


def test_an_uploader_who_may_not_enter_forms_fills_it_through_the_system(monkeypatch, receive, subject, coordinator):
    """No role of today uploads without entering; a scanner's account will."""
    from registry import permissions

    entering = permissions.Permission.RECORD_ENTER
    fewer = {role: held - {entering} if role == "coordinator" else held for role, held in permissions.GRANTS.items()}
    monkeypatch.setattr(permissions, "GRANTS", fewer)
    receive(stack(**T2))
    written = Record.objects.get(form="MRI").history.get()
    assert (written.history_source, written.history_user.is_system) == ("dicom", True)


def test_of_two_examinations_the_first_is_meant(receive, subject):
    later = stack(study="2", series="9", AcquisitionDate="20230601", **T2 | {"RepetitionTime": 4100})
    receive([*later, *stack(**T2)])
    assert Record.objects.get(form="MRI").data == FILLED


def test_the_form_means_the_examination_of_the_date_it_says(receive, subject, coordinator):
    enter(subject, "MRI", {"scan_date": "2023-06-01"}, by=coordinator)
    receive(stack(**T2))
    assert set(Record.objects.get(form="MRI").data) == {"scan_date"}
    receive(stack(study="2", series="9", AcquisitionDate="20230601", **T2 | {"RepetitionTime": 4100}))
    assert Record.objects.get(form="MRI").data["tr_t2"] == 4100


def test_the_person_completes_what_headers_do_not_know(receive, subject, coordinator):
    receive(stack(**T2))
    record = Record.objects.get(form="MRI")
    saved = records.save(
        subject=subject, visit=record.visit, form="MRI", data={"quality": "good"}, complete=True, by=coordinator
    )
    assert saved.record.status == Record.Status.COMPLETE
    assert saved.record.data == FILLED | {"quality": "good"}


def item(**more):
    return Item.model_validate({"name": "x", "label": both("X")} | more)


def volume(kind="T2", split=None, **acquisition):
    return Series(kind=kind, split=split or {}, acquisition=acquisition)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("SIEMENS", "SIEMENS"),
        ("Siemens Healthineers", "SIEMENS"),
        ("GE MEDICAL SYSTEMS", "GE"),
        ("Philips Medical Systems", "PHILIPS"),
        ("Hitachi", None),
        ("", None),
    ],
)
def test_a_manufacturer_is_known_by_its_words(header, code):
    asked = item(type="choice", codelist="V", dicom="Manufacturer")
    assert answer(asked, Codelist.model_validate(codelist(VENDORS)), [volume(manufacturer=header)]) == code


def test_headers_that_disagree_answer_nothing():
    asked = item(type="decimal", precision=1, dicom="SliceThickness")
    assert answer(asked, None, [volume(thickness=3.0), volume(thickness=5.0)]) is None
    assert answer(asked, None, [volume(thickness=3.0), volume(thickness=3.04)]) == 3.0
    asked = item(type="choice", codelist="F", dicom="MagneticFieldStrength")
    assert (
        answer(asked, Codelist.model_validate(codelist(["1.5", "3.0"])), [volume(field=1.5), volume(field=7.0)]) is None
    )


def test_a_number_means_the_nearest_choice():
    asked = item(type="choice", codelist="K", dicom="KVP")
    choices = Codelist.model_validate(codelist(["100", "110", "120", "130", "OTHER"]))
    assert [answer(asked, choices, [volume(kvp=kvp)]) for kvp in (120.0, 111.0, 80.0)] == ["120", "110", None]


def test_b_values_are_listed_once_in_order():
    asked = item(type="text", dicom="DWI.DiffusionBValue")
    volumes = [volume("DWI", {"b": 800.0}), volume("DWI", {"b": 0.0}), volume("DWI", {"b": 800.0}), volume("T2")]
    assert answer(asked, None, volumes) == "0, 800"
