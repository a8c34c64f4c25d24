"""The demo meets every subject once, in an order in which two workers seldom wait for one site."""

import itertools

import pytest
from django.apps import apps

from crf.models import Record
from deploy.demo import accounts, build, cohort, entry
from deploy.demo.cohort import subject
from imaging.models import Segmentation
from registry.models import Study


@pytest.mark.parametrize("count", [1, 7, 67, 190, 630])
def test_every_subject_is_met_once(count):
    assert sorted(build.mixed(list(range(count)))) == list(range(count))


def test_neighbours_are_of_different_sites():
    sites = [site for site in "12345" for _ in range(38)]
    order = build.mixed(sites)
    assert sum(a == b for a, b in itertools.pairwise(order)) < len(sites) / 10


@pytest.fixture
def defined(db, settings, tmp_path, monkeypatch):
    """Both studies and their accounts; nobody enrolled."""
    monkeypatch.setattr(build, "ACCOUNTS", tmp_path / "accounts.json")
    folder = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = settings.STORAGES | {"default": folder}
    build._define()


def rows():
    """How many rows each table of ours holds; a history row or an audit event is a change."""
    return {model.__name__: model._base_manager.count() for app in ("registry", "crf", "imaging")
            for model in apps.get_app_config(app).get_models()}  # fmt: skip


@pytest.mark.parametrize(("code", "cell"), [("CHICTR2600121791", "03"), ("CHICTR2600121618", "PROSP")])
def test_a_subject_is_entered_once_however_often_the_demo_runs(defined, code, cell):
    one = subject(entry.plan(code), cell, 7)
    entry.enter_subject(code, one)
    before = rows()
    assert before["Record"] == len(one.pages)
    build._define()
    entry.enter_subject(code, one)
    assert rows() == before


def test_a_demo_does_not_grow_into_one_of_another_size(defined):
    code = "CHICTR2600121791"
    cells = cohort.cells(entry.plan(code), "demo")
    entry.enrol(Study.objects.get(code=code), subject(entry.plan(code), cells[-1], len(cells)))
    build._refuse_other_size("demo")
    with pytest.raises(build.NotForDemo, match=r"other size \(demo\)"):
        build._refuse_other_size("full")


def test_a_demo_built_from_other_fixtures_is_left_alone(defined, monkeypatch):
    changed = entry.plan("CHICTR2600121618").definition.model_copy(update={"short_title": None})
    monkeypatch.setattr(entry, "plan", lambda code: cohort.Plan(changed, None))
    with pytest.raises(build.NotForDemo, match="LOBULE_VAR"):
        build._define()


def test_a_subject_whose_entry_was_killed_is_completed(defined, monkeypatch):
    code = "CHICTR2600121791"
    one = subject(entry.plan(code), "03", 7)

    def killed(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(entry, "_outline", killed)
        entry.enter_subject(code, one)
    entry.enter_subject(code, one)
    assert Record.objects.filter(status=Record.Status.COMPLETE).count() == len(one.pages)
    assert Segmentation.objects.count() == 2 * len(accounts.READERS)


def test_dicom_headers_answer_what_the_course_of_the_subject_says(defined):
    """The form is filled from the images, and the values are those that the synthetic scanner was set to."""
    code = "CHICTR2600121791"
    one = subject(entry.plan(code), "03", 7)
    told = next(page.values for page in one.pages if page.form == "MRI")
    entry.enter_subject(code, one)
    record = Record.objects.get(form="MRI")
    filled = record.history.order_by("revision").first()
    assert filled.history_source == "dicom"
    assert filled.data.items() <= record.data.items()
    assert {"scan_date", "manufacturer", "model", "field_strength", "sequences", "tr_t2", "te_ap"} <= filled.data.keys()
    assert {name: record.data[name] for name in told} == told
