"""Upload a CSV, see what it would change, confirm with a reason.

Between preview and confirmation the file travels in the page, signed and bound to the person and the study, so that
nothing lies on the server and what is confirmed is what was shown.
"""

from __future__ import annotations

import base64
from typing import Any

from django import forms
from django.contrib import messages
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from crf.definitions import DefinitionErrors
from crf.definitions.mapping import Mapping, read_mapping
from crf.definitions.values import display_value
from crf.selectors import definition_of
from crf.services import imports
from crf.services.import_plan import Plan
from crf.views.entry_page import language
from registry.models import Study
from registry.permissions import Permission
from registry.web import render_page, study_or_404

MAX_UPLOAD = 5_000_000
MAX_AGE = 3600  # seconds from preview to confirmation
SHOWN = 200
SALT = "crf.import-records"


class UploadRecords(forms.Form):
    file = forms.FileField(label=gettext_lazy("CSV file"), help_text=gettext_lazy("UTF-8 or GB18030, at most 5 MB."))
    mapping = forms.FileField(
        label=gettext_lazy("Mapping (YAML)"),
        required=False,
        help_text=gettext_lazy("Without it, columns are named subject, site, event, repeat, form and as the items."),
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_UPLOAD:
            raise forms.ValidationError(_("The file is larger than 5 MB; use the command import_records."))
        return file

    def clean_mapping(self) -> str:
        """The mapping's text, checked."""
        file = self.cleaned_data["mapping"]
        if not file:
            return ""
        if file.size > 200_000:
            raise forms.ValidationError(_("A mapping has at most 200 kB."))
        try:
            text = file.read().decode()
            read_mapping(text, file.name)
        except UnicodeDecodeError as error:
            raise forms.ValidationError(_("Save the mapping as UTF-8.")) from error
        except DefinitionErrors as errors:
            raise forms.ValidationError([error.of(language()) for error in errors.errors]) from errors
        return text


@require_http_methods(["GET", "POST"])
def import_records(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.RECORD_IMPORT)
    if "upload" in request.POST:
        return _confirm(request, study)
    form = UploadRecords(request.POST or None, request.FILES or None)
    if not form.is_valid():
        return _page(request, {"form": form}, status=422 if form.is_bound else 200)
    file = form.cleaned_data["file"]
    upload = {"name": file.name[:200], "content": file.read(), "mapping": form.cleaned_data["mapping"]}
    return _preview(request, study, upload, form)


def _preview(request: HttpRequest, study: Study, upload: dict[str, Any], form: forms.Form) -> HttpResponse:
    plan = imports.preview(study=study, content=upload["content"], mapping=_mapping(upload), by=request.user)
    context = {"form": form, "upload": _sealed(request, study, upload, plan), **_shown(study, plan, upload["name"])}
    return _page(request, context, status=422 if plan.problems else 200)


def _confirm(request: HttpRequest, study: Study) -> HttpResponse:
    """Import what the preview showed; whatever speaks against it comes back as a new preview."""
    upload = _unsealed(request, study)
    if upload is None:
        messages.error(request, _("The preview has expired; upload the file again."))
        return redirect("crf:import-records", study.code)
    reason = request.POST.get("reason", "").strip()[:1000]
    try:
        plan = imports.commit(
            study=study,
            content=upload["content"],
            mapping=_mapping(upload),
            reason=reason,
            file_name=upload["name"],
            fingerprint=upload["fingerprint"],
            by=request.user,
        )
    except (imports.ImportRefused, imports.PreviewOutdated) as refusal:
        _explain(request, refusal)
        context = {"upload": _sealed(request, study, upload, refusal.plan), "reason": reason}
        shown = _shown(study, refusal.plan, upload["name"])
        return _page(request, {"form": UploadRecords(), **context, **shown}, status=422)
    messages.success(request, _("Imported: %(new)s new and %(changed)s changed records.") % _numbers(plan))
    return redirect("registry:subjects", study.code)


def _explain(request: HttpRequest, refusal: Exception) -> None:
    """What is not a fault of the file is said on top of its preview."""
    if isinstance(refusal, imports.PreviewOutdated):
        messages.warning(request, _("The study changed since the preview; look at it again."))
    if isinstance(refusal, imports.ReasonMissing):
        refusal.plan.problems.clear()
        messages.error(request, _("Stored values would change: give a reason."))


def _numbers(plan: Plan) -> dict[str, int]:
    return {"new": plan.counts["records_new"], "changed": plan.counts["records_changed"]}


def _page(request: HttpRequest, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return render_page(request, "crf/import_records.html", context, status=status)


def _mapping(upload: dict[str, Any]) -> Mapping | None:
    return read_mapping(upload["mapping"]) if upload["mapping"] else None


def _sealed(request: HttpRequest, study: Study, upload: dict[str, Any], plan: Plan) -> str:
    """The upload as text that only this person can send back, for this study, within the hour."""
    content = base64.b85encode(upload["content"]).decode()
    bound = {"user": request.user.pk, "study": study.pk, "fingerprint": plan.fingerprint()}
    return signing.dumps({**upload, "content": content, **bound}, salt=SALT, compress=True)


def _unsealed(request: HttpRequest, study: Study) -> dict[str, Any] | None:
    try:
        upload = signing.loads(request.POST["upload"], salt=SALT, max_age=MAX_AGE)
    except signing.BadSignature:
        return None
    if (upload["user"], upload["study"]) != (request.user.pk, study.pk):
        return None
    return upload | {"content": base64.b85decode(upload["content"])}


def _shown(study: Study, plan: Plan, name: str) -> dict[str, Any]:
    """The plan in the reader's language, as much of it as a page can hold."""
    problems = [
        {"row": one.row or "", "column": one.column, "reason": one.of(language()), "remedy": one.remedy(language())}
        for one in plan.problems[:SHOWN]
    ]
    overwrites = _overwrites(study, plan)
    return {
        "plan": plan,
        "counts": plan.counts,
        "name": name,
        "problems": problems,
        "problems_more": len(plan.problems) - len(problems),
        "overwrites": overwrites[:SHOWN],
        "overwrites_more": max(len(overwrites) - SHOWN, 0),
        "has_changes": any(planned.changes for planned in plan.records),
        "needs_reason": any(planned.needs_reason for planned in plan.records),
    }


def _overwrites(study: Study, plan: Plan) -> list[dict[str, Any]]:
    definition = definition_of(study)
    found = []
    for planned in plan.records:
        form = definition.form(planned.incoming.key.form)
        for change in planned.overwrites:
            item = form.items[change.item]
            old, new = (
                display_value(item, definition.codelist(item), value, language()) for value in (change.old, change.new)
            )
            found.append(
                {
                    "row": change.row,
                    "subject": planned.subject.number,
                    "event": definition.event(planned.incoming.key.event).name.of(language()),
                    "form": form.name.of(language()),
                    "item": item.label.of(language()),
                    "old": old,
                    "new": new,
                }
            )
    return found
