"""import_study and export_study: every format by one command each, what is lost on the screen, nothing half done."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from crf.definitions import load_study
from crf.exchange.formats import format_of
from crf.exchange.odm_read import read_odm
from crf.models import StudyBuild
from crf.selectors import definition_of
from crf.services.builds import publish
from registry.models import Study
from registry.services import people
from tests.study import person

DATA = Path(__file__).parent / "data"
SMALL = DATA / "small_odm.xml"


def run(*arguments: object, language: str = "en", **options: object) -> str:
    out = StringIO()
    with translation.override(language):
        call_command(*map(str, arguments), stdout=out, **options)
    return out.getvalue()


def test_a_check_of_a_foreign_file_lists_what_it_would_lose_and_needs_no_database():
    said = run("import_study", SMALL, "--check")
    assert "ST_1 MDV-1 is well formed: 4 events, 3 forms" in said
    assert "kept, without effect: ConditionDef C.ODD (line 106) 'CheckSteps(1)'" in said
    assert "原文保留,不起作用: ConditionDef C.ODD (行106)" in run("import_study", SMALL, "--check", language="zh-hans")


def test_the_losses_can_go_to_a_table(tmp_path):
    said = run("import_study", SMALL, "--check", "--losses", tmp_path / "losses.csv")
    rows = list(csv.DictReader((tmp_path / "losses.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert f"{len(rows)} things of the file are not in the definition as they were" in said
    assert {"ConditionDef", "RangeCheck"} <= {row["element"] for row in rows}
    assert "CheckSteps" not in said


def test_json_has_the_summary_and_every_loss():
    said = json.loads(run("import_study", SMALL, "--check", "--json", "--code", "MINE"))
    assert (said["code"], said["published"]) == ("MINE", False)
    assert len(said["lost"]) == said["losses"] > 20
    assert {"fate", "element", "place", "what", "zh", "en", "line"} == said["lost"][0].keys()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xml", b"<ODM", "a.xml:1: not well-formed XML"),
        ("a.xml", b"<html/>", "a.xml:1: no CDISC ODM"),
        ("a.txt", b"hello", "a.txt:1: the format of this file is not known"),
        ("a.csv", b"a,b\n1,2\n", "a.csv:1"),
    ],
)
@pytest.mark.django_db
def test_a_bad_file_ends_with_its_reason_and_publishes_nothing(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CommandError, match=said):
        run("import_study", tmp_path / name)
    assert not Study.objects.exists()


def test_a_path_that_is_not_there_is_said(tmp_path):
    with pytest.raises(CommandError, match=r"study\.yaml:1: the file is missing"):
        run("import_study", tmp_path / "nothing.xml")


@pytest.mark.django_db
def test_a_study_travels_from_odm_through_every_version_of_it(tmp_path):
    run("import_study", SMALL)
    first = definition_of(Study.objects.get(code="ST_1"))
    for version in ("1.3.1", "1.3.2", "2.0"):
        run("export_study", "ST_1", "--odm-version", version, "-o", tmp_path / version)
        [path] = (tmp_path / version).iterdir()
        assert read_odm(path.read_bytes()).definition == first
        assert "published" in run("import_study", path)
    assert StudyBuild.objects.count() == 1


@pytest.mark.django_db
def test_the_yaml_of_an_imported_study_is_the_study(tmp_path):
    run("import_study", SMALL)
    run("export_study", "ST_1", "--format", "yaml", "-o", tmp_path / "out")
    assert load_study(tmp_path / "out") == definition_of(Study.objects.get(code="ST_1"))


@pytest.mark.parametrize(("format", "suffix"), [("redcap", ".csv"), ("xlsform", ".xlsx")])
@pytest.mark.django_db
def test_other_formats_are_written_and_read_and_say_what_they_lose(tmp_path, study, format, suffix):
    said = json.loads(run("export_study", "LIVER", "--format", format, "-o", tmp_path, "--json"))
    [path] = map(Path, said["files"])
    assert path.suffix == suffix
    assert said["lost"]
    assert json.loads(run("import_study", path, "--check", "--json", "--code", "BACK"))["items"] >= 8


@pytest.mark.django_db
def test_no_file_is_overwritten(tmp_path, study):
    run("export_study", "LIVER", "-o", tmp_path)
    with pytest.raises(CommandError, match="exists; choose another folder"):
        run("export_study", "LIVER", "-o", tmp_path)


@pytest.mark.django_db
def test_a_build_of_before_can_be_exported_and_who_sees_no_study_gets_none(tmp_path, study):
    changed = definition_of(Study.objects.get(code="LIVER")).model_copy(update={"version": "2.0"})
    publish(definition=changed, by=people.acting_user(None))
    said = run("export_study", "LIVER", "--build", "1.0", "-o", tmp_path / "a")
    assert "LIVER_1.0.xml" in said
    other = publish(definition=changed.model_copy(update={"code": "OTHER"}), by=people.acting_user(None)).study
    person("stranger", study=other, role="coordinator", site=other.sites.first())
    for arguments in (["NOPE"], ["LIVER", "--build", "9"], ["LIVER", "--user", "stranger"]):
        with pytest.raises(CommandError, match="There is no study"):
            run("export_study", *arguments, "-o", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.django_db
def test_publishing_without_release_leaves_the_sites_on_their_build(tmp_path):
    run("import_study", SMALL)
    run("export_study", "ST_1", "-o", tmp_path)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"&quot;MDV-1&quot;", b"&quot;MDV-2&quot;"))
    run("import_study", path, "--no-release")
    study = Study.objects.get(code="ST_1")
    assert [build.version for build in StudyBuild.objects.order_by("pk")] == ["MDV-1", "MDV-2"]
    assert definition_of(study, study.sites.first()).version == "MDV-1"


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.xlsx", b"PK", "xlsform"),
        ("a.XLS", b"", "xlsform"),
        ("a.csv", b"", "redcap"),
        ("a.xml", b'<ODM xmlns:redcap="https://projectredcap.org">', "redcap"),
        ("a.xml", b"\xef\xbb\xbf<ODM>", "odm"),
        ("a", b"<ODM>", "odm"),
        ("a.txt", b"x", ""),
    ],
)
def test_a_file_is_known_by_its_name_and_beginning(name, content, format):
    assert format_of(content, name) == format
