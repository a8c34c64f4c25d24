"""What the rights that a person holds ask of them, as links on the study's overview."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from registry.models import Study, User
from registry.permissions import Permission, rights
from registry.web import url_or_none

P = Permission


@dataclass(frozen=True)
class Step:
    """One thing to do: shown to those who hold `needs`, once its page exists."""

    url_name: str
    needs: Permission
    icon: str
    label: Any
    why: Any


STEPS = (
    Step(
        "crf:worklist",
        P.RECORD_VIEW,
        "clipboard-list",
        _("What is to be done today"),
        _("Forms, visits, queries and signatures that wait for you."),
    ),
    Step(
        "crf:casebooks",
        P.RECORD_VIEW,
        "table",
        _("All casebooks"),
        _("Subjects and visits with their state; filter and jump."),
    ),
    Step(
        "crf:calendar",
        P.RECORD_VIEW,
        "calendar-event",
        _("Calendar of visits"),
        _("Coming and missed visits with their windows."),
    ),
    Step(
        "crf:enrol-subject",
        P.SUBJECT_ENROL,
        "user-plus",
        _("Enrol a subject"),
        _("The number is given automatically."),
    ),
    Step(
        "registry:subjects",
        P.RECORD_ENTER,
        "clipboard-list",
        _("Enter case report forms"),
        _("Open a subject and see which forms are due."),
    ),
    Step(
        "crf:import-records",
        P.RECORD_IMPORT,
        "table",
        _("Import records from a file"),
        _("CSV, Excel, ODM or REDCap, with a preview before anything is written."),
    ),
    Step(
        "crf:upload-build",
        P.BUILD_IMPORT,
        "files",
        _("Upload a version of the forms"),
        _("See the difference and what it means for the records, then release it site by site."),
    ),
    Step(
        "crf:export-records",
        P.RECORD_EXPORT,
        "download",
        _("Export records for analysis"),
        _("De-identified by rule, with dictionary and scripts."),
    ),
    Step(
        "imaging:upload",
        P.IMAGE_UPLOAD,
        "upload",
        _("Upload images"),
        _("A folder or zip of DICOM files; identities are removed before storage."),
    ),
    Step(
        "imaging:images",
        P.SEGMENTATION_UPLOAD,
        "photo-scan",
        _("Draw and upload segmentations"),
        _("Your masks are checked against the series."),
    ),
    Step(
        "registry:subjects",
        P.RECORD_VERIFY,
        "clipboard-check",
        _("Review the records"),
        _("Compare the entries with the source."),
    ),
    Step(
        "crf:sdv",
        P.RECORD_VERIFY,
        "shield-check",
        _("Verify against the source"),
        _("What is due under the plan, and what changed afterwards."),
    ),
    Step(
        "crf:sdv-plan",
        P.SDV_PLAN,
        "target",
        _("Plan source data verification"),
        _("Every item, critical items, or a random share."),
    ),
    Step(
        "analytics:lock-dataset",
        P.DATASET_LOCK,
        "lock",
        _("Lock a dataset"),
        _("See what is missing, then sign with your password."),
    ),
    Step(
        "analytics:evaluations",
        P.EVALUATION_RUN,
        "refresh",
        _("Re-evaluate the models"),
        _("On the last locked dataset, with progress and comparison."),
    ),
    Step(
        "analytics:evaluations",
        P.EVALUATION_VIEW,
        "report-analytics",
        _("Read the evaluation reports"),
        _("Every number names the dataset it comes from."),
    ),
    Step(
        "registry:audit",
        P.AUDIT_EXPORT,
        "download",
        _("Export the audit trail"),
        _("One line per changed value, as CSV."),
    ),
)


def next_steps(user: User, study: Study) -> list[dict[str, Any]]:
    """The steps open to `user`, each with its address; steps of apps without that page are left out."""
    held = rights(user, study=study)
    found = []
    for step in STEPS:
        url = url_or_none(step.url_name, study.code) if step.needs in held else None
        if url:
            found.append({"url": url, "icon": step.icon, "label": step.label, "why": step.why})
    return found
