"""Builds: published unreleased, released site by site, browsed, compared, downloaded; records stay with theirs."""

from __future__ import annotations

import copy
import datetime as dt
import io
import re
import threading
import unicodedata
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook
from reportlab.pdfbase import pdfmetrics

from crf import tasks
from crf.definitions.check import evaluate
from crf.definitions.errors import DefinitionErrors
from crf.definitions.load import load_study
from crf.definitions.model import Item, StudyDefinition
from crf.definitions.rows import ROW
from crf.definitions.yaml_lines import parse
from crf.exchange import crf_pdf, crf_workbook, yaml_folder, yaml_zip
from crf.exchange.formats import read_study
from crf.exchange.odm_read import read_odm
from crf.exchange.odm_write import write_metadata
from crf.models import BuildDraft, BuildRelease, StudyBuild
from crf.selectors import NoBuild, current_build
from crf.services import build_uploads, builds, calendar, pdf_fonts, record_rules, records, release
from registry.models import AuditEvent, Job
from registry.services import subjects
from registry.services.people import system_user
from registry.services.subjects import EnrolmentRefused
from tests.study import DEFINITION, both, enrol, enter, person

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    with translation.override("en"):
        yield


def version(number: str, edit: Any = None) -> StudyDefinition:
    raw = copy.deepcopy(DEFINITION) | {"version": number}
    items = {item["name"]: item for form in raw["forms"] for part in form["sections"] for item in part["items"]}
    if edit:
        edit(raw, items)
    return StudyDefinition.from_json(raw)


def unreleased(number: str, edit: Any = None) -> StudyBuild:
    return builds.publish(definition=version(number, edit), release=False, by=system_user())


@pytest.fixture
def manager(study):
    return person("manager", study=study, role="data_manager")


@pytest.fixture
def client(manager) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(manager)
    return client


# -- releases ----------------------------------------------------------------------------------------------------------


def test_a_published_build_is_used_nowhere_until_it_is_released(study, site, other_site, manager):
    newer = unreleased("1.1")
    assert current_build(study, site).version == "1.0"
    release.release(build=newer, sites=[site], approved_on=dt.date(2026, 3, 1), document="EC 2026-17", by=manager)
    assert current_build(study, site).version == "1.1"
    assert current_build(study, other_site).version == "1.0", "the other site goes on with its build"


def test_a_record_is_made_with_the_build_of_its_site_and_stays_with_it(study, site, other_site, manager):
    newer = unreleased("1.1", lambda raw, items: items["age"].update(range=[0, 90]))
    here, there = enrol(site, by=system_user()), enrol(other_site, by=system_user())
    before = enter(here, "DM", {"age": "50"}, by=system_user())
    release.release(build=newer, sites=[site], approved_on=dt.date(2026, 3, 1), by=manager)
    assert enter(here, "DM", {"sex": "F"}, by=system_user()).build_id == before.build_id != newer.pk
    assert enter(here, "LB", {"albumin": "40"}, by=system_user()).build_id == newer.pk
    assert enter(there, "LB", {"albumin": "40"}, by=system_user()).build_id == before.build_id


def test_a_title_longer_than_the_registry_keeps_is_cut_there_and_whole_in_the_build(study):
    title = both("A-very-long-title-" * 40)
    build = unreleased("1.1", lambda raw, items: raw.update(title=title, registration_number="R" * 90))
    study.refresh_from_db()
    assert study.name_en == title["en"][:300] and build.study_definition.title.en == title["en"]


def test_a_release_is_audited_with_its_approval_and_the_same_again_writes_nothing(study, site, manager):
    newer = unreleased("1.1")
    approval = {"approved_on": dt.date(2026, 3, 1), "document": "EC 2026-17"}
    release.release(build=newer, sites=[site], by=manager, **approval)
    assert release.release(build=newer, sites=[site], by=manager, **approval) == []
    told = AuditEvent.objects.filter(kind="build.release", by=manager).get()
    assert told.site == site
    assert told.details == {
        "version": "1.1",
        "sha256": newer.sha256,
        "approved_on": "2026-03-01",
        "document": "EC 2026-17",
    }


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"approved_on": dt.date(2999, 1, 1)}, "future"),
        ({"document": "x" * 301}, "300 characters"),
        ({"document": "two\nlines"}, "one line"),
        ({"sites": []}, "at least one site"),
    ],
)
def test_a_release_that_makes_no_sense_is_refused(study, site, manager, what, words):
    with pytest.raises(release.ReleaseRefused, match=words):
        release.release(**{"build": unreleased("1.1"), "sites": [site], "by": manager} | what)


def test_of_two_people_who_publish_one_version_at_once_the_second_is_told(transactional_clone, study):
    ready = threading.Barrier(2)

    def publish(most: int) -> str:
        ready.wait()
        try:
            return unreleased("1.1", lambda raw, items: items["age"].update(range=[0, most])).version
        except builds.VersionTaken:
            return "taken"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as both_at_once:
        assert sorted(both_at_once.map(publish, [90, 91])) == ["1.1", "taken"]
    assert study.builds.filter(version="1.1").count() == 1


def test_a_build_is_not_released_at_a_site_that_it_does_not_name(study, other_site, manager):
    newer = unreleased("1.1", lambda raw, items: raw.update(sites=raw["sites"][:1]))
    with pytest.raises(release.ReleaseRefused, match="no site 02"):
        release.release(build=newer, sites=[other_site], by=manager)


def test_a_release_stays_for_ever(study, site):
    with pytest.raises(DatabaseError), transaction.atomic():
        BuildRelease.objects.filter(site=site).update(document="another")
    with pytest.raises(DatabaseError), transaction.atomic():
        BuildRelease.objects.filter(site=site).delete()


def test_only_who_may_release_does(study, site):
    newer = unreleased("1.1")
    with pytest.raises(PermissionDenied):
        release.release(build=newer, sites=[site], by=person("pi", study=study, role="pi"))


def test_a_new_site_enrols_only_after_a_release_there(study, manager):
    more = [*DEFINITION["sites"], {"code": "03", "name": both("Third hospital")}]
    newer = unreleased("1.1", lambda raw, items: raw.update(sites=more))
    third = study.sites.get(code="03")
    with pytest.raises(NoBuild):
        current_build(study, third)
    with pytest.raises(EnrolmentRefused, match="No build of this study is released at site 03"):
        enrol(third, by=system_user())
    release.release(build=newer, sites=[third], approved_on=dt.date(2026, 3, 1), by=manager)
    assert enrol(third, by=system_user()).visits.count() == 3


def test_planning_goes_on_where_a_later_build_dropped_a_visit_that_repeats(study, site, manager):
    follow = {"oid": "FOLLOW", "name": both("Follow-up"), "kind": "repeating", "forms": ["LB"]}
    first = unreleased("1.1", lambda raw, items: raw["events"].append(follow))
    release.release(build=first, sites=[site], by=manager)
    subject = enrol(site, by=system_user())
    calendar.add_repeat(subject=subject, event="FOLLOW", by=system_user())
    release.release(build=unreleased("1.2"), sites=[site], by=manager)
    subject.refresh_from_db()
    enter(subject, "LB", {"lb_date": "2026-03-04"}, by=system_user())
    assert subject.visits.filter(event="FOLLOW").count() == 2
    assert subject.visits.get(event="MONTH1").target_on == dt.date(2026, 4, 3)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chictr2600121791", "chictr2600121618"])
def test_the_zip_of_a_build_reads_back_as_the_same_build(name):
    study = load_study(FIXTURES / name)
    content = yaml_zip.write_zip(study)
    assert yaml_zip.read_zip(content, file="study.zip").sha256() == study.sha256()
    assert yaml_zip.write_zip(study) == content


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["1.5e3", "NO", "~", "01", "-0"]
)


@given(st.recursive(words | st.integers() | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=3)))
def test_what_is_written_as_yaml_is_read_as_it_was(value):
    assert parse(yaml_folder._yaml({"value": value}))[0] == {"value": value}


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04 broken", "cannot be read"),
        (zipped(**{"readme.txt": b"hello"}), "should hold one study.yaml, not 0"),
        (zipped(**{"a__study.yaml": b"", "b__study.yaml": b""}), "not 2"),
        (zipped(**{"study.yaml": b"x" * 61_000_000}), "unpacks to more than 60 MB"),
        (zipped(**{f"forms__{n}.yaml": b"" for n in range(2001)}), "2000 files"),
        (zipped(**{"study.yaml": b"\xff\xfe\x00"}), "study.yaml"),
    ],
)
def test_a_zip_that_is_broken_hostile_or_no_study_gets_one_clear_error(content, words):
    with pytest.raises(DefinitionErrors) as refused:
        yaml_zip.read_zip(content, file="upload.zip")
    told = refused.value.of("en")
    assert words in told and told.count("upload.zip") <= 1, "an error inside an error"


def test_a_zip_whose_bytes_were_altered_is_read_or_gets_one_error():
    whole = zipped(**{"study.yaml": b"", "forms__a.yaml": b"a" * 200})
    for at in range(len(whole)):
        content = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        assert yaml_zip.holds_folder(content) in (True, False)
        with pytest.raises(DefinitionErrors):
            yaml_zip.read_zip(content, file="upload.zip")


def test_a_zip_whose_directory_lies_about_its_sizes_is_not_unpacked_without_end():
    content = zipped(**{"study.yaml": b"x" * 70_000_000})
    small = (1000).to_bytes(4, "little")
    lying = content.replace((70_000_000).to_bytes(4, "little"), small)
    with pytest.raises(DefinitionErrors):
        yaml_zip.read_zip(lying, file="upload.zip")


def test_a_zip_writes_nothing_outside_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    study = yaml_folder.write_yaml(version("1.0"))
    files = {name.replace("/", "__"): content for name, content in study.items()}
    evil = {"..__..__evil.yaml": b"x", "forms__..__..__evil.yaml": b"x", "__etc__evil.yaml": b"x"}
    assert yaml_zip.read_zip(zipped(**files, **evil), file="x.zip").version == "1.0"
    assert list(tmp_path.rglob("*")) == [] and not list(tmp_path.parent.glob("evil*"))


def test_the_workbook_holds_every_item_and_no_formula():
    study = version("1.0", lambda raw, items: items["age"].update(label={"zh": "=1+1", "en": '=HYPERLINK("x")'}))
    content = crf_workbook.write_workbook(study, created=dt.datetime(2026, 1, 1))
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    assert book.sheet_names == ["study", "events", "forms", "items", "codelists", "checks", "labs"]
    head, *rows = book.get_sheet_by_name("items").to_python()
    assert [row[head.index("name")] for row in rows] == [item.name for _form, item in study.items()]
    assert rows[0][head.index("label_zh")] == "=1+1"
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        assert not any(b"<f>" in parts.read(name) for name in parts.namelist())
    assert content == crf_workbook.write_workbook(study, created=dt.datetime(2026, 1, 1))


def test_the_workbook_leaves_out_nothing_that_an_item_can_say():
    columns = {column.removesuffix("_zh").removesuffix("_en") for column in crf_workbook.ITEM_COLUMNS}
    assert set(Item.model_fields) - columns == {"alias"}


def test_the_workbook_tells_conversions_rows_and_normal_ranges():
    def more(raw: Any, items: Any) -> None:
        items["albumin"]["units"] = [{"unit": "g/dL", "factor": 10}]
        raw["forms"][2]["sections"][0]["rows"] = {"name": "aes", "max": 9}
        raw["labs"] = {"ALB": {"name": both("Albumin"), "ranges": [{"low": 40, "unit": "g/L", "site": "01"}]}}

    content = crf_workbook.write_workbook(version("1.0", more), created=dt.datetime(2026, 1, 1))
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    head, *rows = book.get_sheet_by_name("items").to_python()
    told = {row[head.index("name")]: dict(zip(head, row, strict=True)) for row in rows}
    assert told["albumin"]["units"] == "g/L = g/dL × 10"
    assert (told["ae_term"]["group"], told["ae_term"]["rows"]) == ("aes", "0-9")
    assert book.get_sheet_by_name("labs").to_python()[1][:6] == ["ALB", "Albumin(中)", "Albumin", 40.0, "", "g/L"]


@pytest.mark.parametrize("annotated", [False, True])
def test_the_crf_on_paper_is_the_same_each_time_and_its_bookmarks_name_every_form(annotated):
    study = load_study(FIXTURES / "chictr2600121791")
    faces = pdf_fonts.faces()
    content = crf_pdf.write_pdf(study, annotated=annotated, faces=faces)
    assert content == crf_pdf.write_pdf(study, annotated=annotated, faces=faces)
    assert content.startswith(b"%PDF") and b"NotoSansSC" in content, "the Chinese face is embedded"
    assert len(re.findall(rb"/Title", content)) > len(study.forms)
    one = crf_pdf.write_pdf(study, annotated=annotated, faces=faces, form=study.forms[0].oid)
    assert len(one) < len(content)


def plain(text: str) -> str:
    """Letters and digits alone: paper breaks lines, and writes 10⁹ as 10^9."""
    return re.sub(r"\W", "", unicodedata.normalize("NFKC", text))


@pytest.mark.parametrize("name", ["chictr2600121791", "chictr2600121618"])
def test_the_paper_says_all_that_is_asked_and_its_annotations_what_each_answer_is_called(name, monkeypatch):
    drawn: list[str] = []

    class Canvas(crf_pdf.Canvas):
        def drawString(self, x, y, text, *more):
            face = pdfmetrics.getFont(self._fontname).face
            assert all(ord(character) in face.charToGlyph for character in text), f"{text!r} is not in the face"
            drawn.append(text)
            super().drawString(x, y, text, *more)

    monkeypatch.setattr(crf_pdf, "Canvas", Canvas)
    study, said = load_study(FIXTURES / name), {}
    for annotated in (False, True):
        drawn.clear()
        crf_pdf.write_pdf(study, annotated=annotated, faces=pdf_fonts.faces())
        said[annotated] = plain("".join(drawn))
    for form in study.forms:
        for item in form.questions.values():
            for text in (item.label.zh, item.label.en):
                assert all(plain(text) in one for one in said.values()), (form.oid, item.name)
            assert plain(f"{item.name}({item.type}") in said[True]
    assert "109L" in said[False] and "show_if" in said[True] and "show_if" not in said[False]


def test_annotations_say_names_limits_and_logic():
    items = {item.name: item for _form, item in version("1.0").items()}
    assert crf_pdf.notes_of(items["age"]) == ["age (integer)", "range: 0 to 120", "soft_range: 18 to 80"]
    assert "show_if: sex == 'F'" in crf_pdf.notes_of(items["pregnant"])
    assert "derive: albi(bilirubin, albumin)" in crf_pdf.notes_of(items["albi_score"])


# -- calendars ---------------------------------------------------------------------------------------------------------


def with_week_12(raw: Any, items: Any) -> None:
    week = {"oid": "WEEK12", "name": both("Week 12"), "anchor": "enrolment", "day": 84, "forms": ["LB"]}
    raw["events"].insert(1, week)


def test_who_is_enrolled_already_gets_the_visits_of_the_version_that_is_released(study, site, other_site, manager):
    here, there, gone = (
        enrol(site, by=system_user()),
        enrol(other_site, by=system_user()),
        enrol(site, by=system_user()),
    )
    subjects.withdraw(subject=gone, reason="moved away", by=system_user())
    release.release(build=unreleased("1.1", with_week_12), sites=[site], approved_on=dt.date(2026, 3, 1), by=manager)
    job = Job.objects.get(kind="calendar.replan", requested_by=manager)
    tasks.replan_sites(job_id=job.pk, site_ids=[site.pk])
    tasks.replan_sites(job_id=job.pk, site_ids=[site.pk])
    assert here.visits.get(event="WEEK12").target_on == dt.date(2026, 5, 25)
    assert not there.visits.filter(event="WEEK12").exists(), "the other site goes on with its schedule"
    assert not gone.visits.filter(event="WEEK12").exists()
    assert here.visits.get(event="WEEK12").history.count() == 1
    job.refresh_from_db()
    assert (job.state, job.result) == (Job.State.DONE, {"subjects": 1})


def test_where_nobody_is_enrolled_no_calendar_is_planned(study, site, manager):
    release.release(build=unreleased("1.1", with_week_12), sites=[site], approved_on=dt.date(2026, 3, 1), by=manager)
    assert not Job.objects.filter(kind="calendar.replan").exists()


def test_what_a_record_of_the_newer_build_derives_follows_a_record_of_the_older_one(study, site, manager):
    def derive(raw: Any, items: Any) -> None:
        derived = {"name": "reserve", "type": "derived", "value_type": "decimal", "label": both("Reserve")}
        raw["forms"][0]["sections"][0]["items"].append(derived | {"derive": "forms.LB.albumin * 2.0"})

    subject = enrol(site, by=system_user())
    enter(subject, "LB", {"albumin": "40"}, by=system_user())
    release.release(build=unreleased("1.1", derive), sites=[site], approved_on=dt.date(2026, 3, 1), by=manager)
    newer = enter(subject, "DM", {"age": "50"}, by=system_user())
    assert newer.data["reserve"] == 80
    enter(subject, "LB", {"albumin": "30"}, reason="typo", by=system_user())
    newer.refresh_from_db()
    assert newer.data["reserve"] == 60


def test_deriving_again_what_stands_in_rows_takes_no_answer_away(study):
    def rows(raw: Any, items: Any) -> None:
        section = raw["forms"][2]["sections"][0]
        section["rows"] = {"name": "aes"}
        section["items"] += [
            {"name": "dose", "type": "decimal", "label": both("Dose"), "show_if": "forms.DM.sex == 'F'"},
            {"name": "twice", "type": "derived", "value_type": "decimal", "label": both("Twice")}
            | {"derive": "forms.LB.albumin * 2.0"},
        ]

    form = version("1.1", rows).form("AE")
    data = {"aes": [{ROW: 1, "ae_term": "pain", "dose": 5.0, "twice": 60.0}]}
    state = evaluate(form, data, {"forms": {"DM": {"sex": "M"}, "LB": {"albumin": 40.0}}})
    again = record_rules.derived_again(form, data, state)
    assert again == {"aes": [{ROW: 1, "ae_term": "pain", "dose": 5.0, "twice": 80.0}]}


# -- uploads -----------------------------------------------------------------------------------------------------------


def uploaded(study: Any, definition: StudyDefinition, by: Any, **more: Any) -> BuildDraft:
    content = yaml_zip.write_zip(definition)
    return build_uploads.upload(study=study, file_name="study.zip", content=content, by=by, **more)


def test_an_upload_is_read_kept_for_review_and_published_without_a_release(study, site, manager):
    draft = uploaded(study, version("1.1", lambda raw, items: items["age"].update(range=[0, 90])), manager)
    assert StudyBuild.objects.count() == 1
    build = build_uploads.publish(draft=draft, by=manager)
    assert (build.version, build.sha256) == ("1.1", draft.sha256)
    assert current_build(study, site).version == "1.0" and not BuildDraft.objects.exists()
    assert list(AuditEvent.objects.filter(by=manager).values_list("kind", flat=True).order_by("pk")) == [
        "build.upload",
        "build.publish",
    ]


def test_an_upload_of_another_study_is_refused_and_nothing_is_kept(study, manager):
    with pytest.raises(DefinitionErrors, match="definition of study OTHER"):
        uploaded(study, version("1.1").model_copy(update={"code": "OTHER"}), manager)
    assert not BuildDraft.objects.exists()


def test_an_odm_export_of_another_study_is_refused_and_its_own_is_taken(study, manager):
    other = write_metadata(version("1.1").model_copy(update={"code": "OTHER"}))
    with pytest.raises(DefinitionErrors, match="definition of study OTHER, not of LIVER"):
        build_uploads.upload(study=study, file_name="a.xml", content=other, version="1.1", by=manager)
    assert not BuildDraft.objects.exists()
    mine = write_metadata(version("1.1"))
    draft = build_uploads.upload(study=study, file_name="a.xml", content=mine, version="1.1", by=manager)
    assert draft.sha256 == version("1.1").sha256()


def test_an_upload_of_a_version_that_holds_something_else_is_refused(study, manager):
    with pytest.raises(builds.VersionTaken):
        uploaded(study, version("1.0", lambda raw, items: items["age"].update(range=[0, 90])), manager)


def test_faults_name_file_line_and_item(study, manager):
    files = yaml_folder.write_yaml(version("1.1"))
    name = next(name for name in files if name.endswith("DM.yaml"))
    files[name] = files[name].replace(b"sex == 'F'", b"sexx == 'F'")
    with pytest.raises(DefinitionErrors) as refused:
        content = zipped(**{path.replace("/", "__"): text for path, text in files.items()})
        build_uploads.upload(study=study, file_name="study.zip", content=content, by=manager)
    fault = refused.value.errors[0]
    assert fault.file == name and fault.item == "DM.pregnant" and fault.line > 20


def test_a_dictionary_of_another_system_becomes_a_version_of_this_study_with_its_losses(study, manager):
    content = (
        b"Variable / Field Name,Form Name,Field Type,Field Label\nrecord_id,demo,text,ID\nweight,demo,text,Weight\n"
    )
    with pytest.raises(DefinitionErrors, match="needs a version"):
        build_uploads.upload(study=study, file_name="dictionary.csv", content=content, by=manager)
    draft = build_uploads.upload(study=study, file_name="dictionary.csv", content=content, version="2.0", by=manager)
    definition = draft.study_definition
    assert (definition.code, definition.version) == ("LIVER", "2.0")
    assert [site.code for site in definition.sites] == ["01", "02"], "its sites stay"
    assert draft.losses[0]["fate"] == "assumed"


def test_logic_of_another_system_that_names_a_site_which_is_not_ours_is_kept_as_its_words(study, manager):
    raw = copy.deepcopy(DEFINITION) | {"version": "9"}
    raw["sites"] = [{"code": "north", "name": both("North")}]
    raw["forms"][0]["sections"][0]["items"][2]["show_if"] = "subject.site == 'north'"
    content = write_metadata(StudyDefinition.from_json(raw), version="1.3.2", created="2026-01-01T00:00:00Z")
    draft = build_uploads.upload(study=study, file_name="study.xml", content=content, version="2.0", by=manager)
    item = draft.study_definition.form("DM").item("pregnant")
    assert item.show_if is None and item.alias["cel:show_if"] == "subject.site == 'north'"
    assert any("no code 'north'" in loss["en"] for loss in draft.losses)


def test_only_who_may_publish_uploads(study):
    with pytest.raises(PermissionDenied):
        uploaded(study, version("1.1"), person("monitor", study=study, role="monitor"))


# -- pages -------------------------------------------------------------------------------------------------------------


def page(client: Client, name: str, *args: Any, **query: Any) -> str:
    answer = client.get(reverse(f"crf:{name}", args=["LIVER", *args]), query)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def test_the_pages_show_which_build_is_in_force_where(client, study, site, manager):
    newer = unreleased("1.1")
    release.release(build=newer, sites=[site], approved_on=dt.date(2026, 3, 1), document="EC 2026-17", by=manager)
    shown = page(client, "builds")
    assert "2026-03-01" in shown and "EC 2026-17" in shown
    assert "Baseline" in page(client, "build", newer.pk)


def test_a_form_is_shown_as_it_will_be_entered_with_its_codes_and_logic(client, study):
    shown = page(client, "build-form", study.builds.get().pk, "DM")
    assert 'id="value-age"' in shown and "Female" in shown
    assert "show_if: sex == &#x27;F&#x27;" in shown and "range: 0 to 120" in shown
    assert "<fieldset" in shown and "disabled" in shown


def test_a_form_of_thousands_of_items_is_shown_a_page_at_a_time(client, study, django_assert_max_num_queries):
    many = [{"name": f"q{n}", "type": "text", "label": both(f"Question {n}")} for n in range(7000)]
    big = {"oid": "BIG", "name": both("Big"), "sections": [{"name": both("All"), "items": many}]}

    def add(raw, items):
        raw["forms"].append(big)
        raw["events"][2]["forms"] = ["AE", "BIG"]

    build = unreleased("1.1", add)
    with django_assert_max_num_queries(12):
        shown = page(client, "build-form", build.pk, "BIG", page=3)
    assert shown.count("data-item=") == 60 and len(shown) < 600_000
    with django_assert_max_num_queries(12):
        shown = page(client, "build-difference", build.pk, of="BIG")
    assert len(shown) < 600_000 and "q198" in shown and "q6999" not in shown


def test_a_code_list_of_thousands_is_told_in_part_and_with_its_terminology_codes(client, study):
    def long(raw: Any, items: Any) -> None:
        raw["codelists"]["SEX"]["choices"] = [
            {"code": f"c{n}", "label": both(f"Choice {n}"), "codings": [{"system": "NCIt", "code": f"C{n}"}]}
            for n in range(3000)
        ]
        items["pregnant"].pop("show_if")

    shown = page(client, "build-form", unreleased("1.1", long).pk, "DM")
    assert "<code>c39</code>" in shown and "NCIt C39" in shown and "<code>c40</code>" not in shown
    assert "and 2960 more" in shown


def test_a_build_says_of_each_visit_when_it_is(client, study):
    def visits(raw: Any, items: Any) -> None:
        raw["events"] += [
            {"oid": "FOLLOW", "name": both("Follow-up"), "kind": "repeating", "forms": ["LB"], "groups": ["ALL"]}
            | {"anchor": "enrolment", "day": 90, "every": 91},
            {"oid": "EXTRA", "name": both("Extra"), "kind": "unscheduled", "forms": ["LB"]},
        ]

    shown = page(client, "build", unreleased("1.1", visits).pk)
    for words in ("day 30 from LB.lb_date", "every 91 days · ALL", "added by a person", "without a date"):
        assert words in shown


def test_a_version_under_review_is_compared_with_whichever_version_is_asked(client, study, site, manager):
    release.release(build=unreleased("1.1"), sites=[site], approved_on=dt.date(2026, 3, 1), by=manager)
    draft = uploaded(study, version("1.2", lambda raw, items: items["age"].update(range=[0, 90])), manager)
    assert "Compared with version 1.1." in page(client, "build-draft", draft.pk)
    first = study.builds.get(version="1.0")
    shown = page(client, "build-draft", draft.pk, **{"from": first.pk})
    assert "Compared with version 1.0." in shown
    assert "Compared with version 1.1." in page(client, "build-draft", draft.pk, **{"from": "999999"})


def test_the_difference_names_each_change_and_what_it_may_do(client, study):
    build = unreleased("1.1", lambda raw, items: items["age"].update(range=[0, 90]))
    shown = page(client, "build-difference", build.pk, of="DM")
    assert "stored values may fail" in shown and "0, 120" in shown and "0, 90" in shown


@pytest.mark.parametrize(
    ("kind", "start"),
    [("yaml", b"PK"), ("xlsx", b"PK"), ("pdf", b"%PDF"), ("annotated", b"%PDF"), ("odm", b"<?xml"), ("odm2", b"<?xml")],
)
def test_a_build_is_downloaded_in_each_form(client, study, kind, start):
    answer = client.get(reverse("crf:download-build", args=["LIVER", study.builds.get().pk, kind]))
    assert answer.content.startswith(start)
    assert answer["Content-Disposition"].startswith('attachment; filename="LIVER_1.0')


@pytest.mark.parametrize(("kind", "name"), [("redcap", "LIVER_1.0.csv"), ("xlsform", "LIVER_1.0.xlsx")])
def test_a_format_that_cannot_say_everything_is_downloaded_with_what_it_lost(client, study, kind, name):
    address = reverse("crf:download-build", args=["LIVER", study.builds.get().pk, kind])
    assert address in page(client, "build", study.builds.get().pk)
    with zipfile.ZipFile(io.BytesIO(client.get(address).content)) as files:
        assert sorted(files.namelist()) == sorted([name, "losses.csv"])
        assert read_study(files.read(name), file=name).definition.forms
        assert "event" in files.read("losses.csv").decode("utf-8-sig")


def test_the_odm_of_the_page_is_the_build(client, study):
    for kind in ("odm", "odm2"):
        answer = client.get(reverse("crf:download-build", args=["LIVER", study.builds.get().pk, kind]))
        assert read_odm(answer.content).definition == study.builds.get().study_definition


def test_the_page_reads_an_upload_shows_the_difference_and_publishes(client, study):
    file = io.BytesIO(yaml_zip.write_zip(version("1.1", lambda raw, items: items["age"].update(range=[0, 90]))))
    file.name = "study.zip"
    answer = client.post(reverse("crf:upload-build", args=["LIVER"]), {"file": file}, follow=True)
    shown = answer.content.decode()
    assert "Version 1.1, under review" in shown and "stored values may fail" in shown
    address = answer.request["PATH_INFO"]
    answer = client.post(address, {"act": "publish"}, follow=True)
    assert "No site uses it yet" in answer.content.decode()
    assert study.builds.filter(version="1.1").exists()


def test_the_page_lists_what_is_wrong_with_an_upload(client, study):
    file = io.BytesIO(zipped(**{"study.yaml": b"code: LIVER\n"}))
    file.name = "study.zip"
    answer = client.post(reverse("crf:upload-build", args=["LIVER"]), {"file": file})
    assert answer.status_code == 422 and "study.yaml" in answer.content.decode()
    assert not BuildDraft.objects.exists()


def test_the_page_releases_at_the_chosen_sites_with_their_approval(client, study, site, other_site):
    newer = unreleased("1.1")
    address = reverse("crf:release-build", args=["LIVER", newer.pk])
    assert client.post(address, {"sites": [site.pk]}).status_code == 422, "an approval date is needed"
    answer = client.post(address, {"sites": [site.pk], "approved_on": "2026-03-01", "document": "EC 2026-17"})
    assert answer.status_code == 302
    assert current_build(study, site) == newer and current_build(study, other_site) != newer


def test_what_was_entered_at_a_visit_or_form_that_a_later_build_drops_stays_in_the_casebook(client, study, site):
    subject = enrol(site, by=system_user())
    enter(subject, "DM", {"age": "50"}, by=system_user())
    enter(subject, "AE", {"ae_term": "Sentinel"}, event="LOG", by=system_user())

    def drop(raw: Any, items: Any) -> None:
        del raw["events"][2]
        raw["events"][0]["forms"] = ["LB"]

    release.release(build=unreleased("1.1", drop), sites=[site], by=system_user())
    shown = page(client, "subject", subject.number)
    for place in ("BASELINE/1/DM/1/", "LOG/1/AE/1/", "BASELINE/1/LB/1/"):
        assert place in shown
    assert "Sentinel" in page(client, "edit-record", subject.number, "LOG", 1, "AE", 1)
    with pytest.raises(records.RecordRefused, match="not part of this visit"):
        enter(subject, "AE", {"ae_term": "new"}, event="LOG", repeat=2, by=system_user())
