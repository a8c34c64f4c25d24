"""Upload a file, assign its columns, see what it would change, confirm with a reason, and follow it to its end."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from crf.definitions import DefinitionErrors
from crf.definitions.errors import Refusal
from crf.definitions.mapping import Mapping, read_mapping
from crf.definitions.model import StudyDefinition
from crf.definitions.tables import MAX_BYTES
from crf.definitions.values import display_value
from crf.models import Import, ImportLine
from crf.selectors import definition_of
from crf.services import import_files, import_jobs, imports
from crf.services.import_files import Gone
from crf.views import import_mapping
from crf.views.entry_page import language
from registry.models import Study
from registry.permissions import Permission
from registry.web import render_page, study_or_404

PER_PAGE = 50
MOST_DETAILED = 600  # columns whose words and units the page asks for; a browser sends seven fields for each
MOST_VALUES = 60  # of one record on a page of the preview
CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
}
FORMATS = (
    ("", gettext_lazy("recognise it")),
    ("csv", gettext_lazy("CSV")),
    ("xlsx", gettext_lazy("Excel workbook (XLSX)")),
    ("odm", gettext_lazy("CDISC ODM with clinical data")),
    ("redcap", gettext_lazy("REDCap records (CSV)")),
)


class UploadRecords(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("File"), help_text=gettext_lazy("CSV, XLSX, ODM or REDCap records, at most 50 MB.")
    )
    format = forms.ChoiceField(label=gettext_lazy("Format"), choices=FORMATS, required=False)
    mapping = forms.FileField(
        label=gettext_lazy("Mapping (YAML)"),
        required=False,
        help_text=gettext_lazy("Only if you have one; otherwise you assign the columns on the next page."),
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_BYTES:
            raise forms.ValidationError(_("The file is larger than 50 MB; split it."))
        return file

    def clean_mapping(self) -> Mapping | None:
        file = self.cleaned_data["mapping"]
        if not file:
            return None
        if file.size > 200_000:
            raise forms.ValidationError(_("A mapping has at most 200 kB."))
        try:
            return read_mapping(file.read().decode(), file.name)
        except UnicodeDecodeError as error:
            raise forms.ValidationError(_("Save the mapping as UTF-8.")) from error
        except DefinitionErrors as errors:
            raise forms.ValidationError([error.of(language()) for error in errors.errors]) from errors


@require_http_methods(["GET", "POST"])
def import_records(request: HttpRequest, code: str) -> HttpResponse:
    """The person's imports in this study, and the door for another file."""
    study = study_or_404(request, code, needs=Permission.RECORD_IMPORT)
    form = UploadRecords(request.POST or None, request.FILES or None)
    status = 200
    if form.is_bound:
        status = 422
        if form.is_valid() and (upload := _uploaded(request, study, form)):
            return _next(upload)
    mine = Import.objects.visible_to(request.user).filter(study=study, by=request.user).select_related("job__study")
    return render_page(request, "crf/import_records.html", {"form": form, "uploads": mine[:20]}, status=status)


def _uploaded(request: HttpRequest, study: Study, form: UploadRecords) -> Import | None:
    given = form.cleaned_data
    try:
        upload = import_jobs.upload(
            study=study,
            file_name=given["file"].name,
            content=given["file"].read(),
            format=given["format"],
            by=request.user,
        )
    except import_jobs.FileRefused as refused:
        problem = refused.problem
        place = _("row %(row)s: ") % {"row": problem.row} if problem.row else ""
        form.add_error("file", f"{place}{problem.of(language())}; {problem.remedy(language())}")
        return None
    if given["mapping"] is not None or not upload.is_table:
        mapping = given["mapping"] or _chosen(request, upload) or Mapping(hidden="keep")
        import_jobs.assign(upload=upload, mapping=mapping, by=request.user)
        upload = import_jobs.preview(upload=upload, by=request.user)
    return upload


def _next(upload: Import) -> HttpResponse:
    to = "crf:import-columns" if upload.state == Import.State.UPLOADED else "crf:import"
    return redirect(to, upload.study.code, upload.pk)


def _upload_or_404(request: HttpRequest, code: str, import_id: int) -> Import:
    """An import is its sender's: it holds what others may not see."""
    study = study_or_404(request, code, needs=Permission.RECORD_IMPORT)
    mine = Import.objects.visible_to(request.user).select_related("study", "by", "job__study")
    return get_object_or_404(mine, study=study, by=request.user, pk=import_id)


@require_http_methods(["GET", "POST"])
def import_columns(request: HttpRequest, code: str, import_id: int) -> HttpResponse:
    """Which column is which item; of a file without columns, only whose its records are."""
    upload = _upload_or_404(request, code, import_id)
    if not upload.is_open:
        return redirect("crf:import", code, import_id)
    definition = definition_of(upload.study)
    problem = ""
    if request.method == "POST":
        if "sheet" in request.POST:
            return _sheet_chosen(request, upload)
        page = import_mapping.posted(upload, request.POST)
        try:
            mapping = import_mapping.mapping_of(page)
        except Refusal as refusal:
            problem = refusal.of(language())
        else:
            name = _line_of(request, "name")
            import_jobs.assign(upload=upload, mapping=mapping, name=name, by=request.user)
            import_jobs.preview(upload=upload, by=request.user)
            return redirect("crf:import", code, import_id)
    else:
        page = import_mapping.shown(upload, definition, _chosen(request, upload))
    context = {
        "upload": upload,
        "page": page,
        "problem": problem,
        "targets": import_mapping.targets(definition, language()),
        "fixed": [
            (name, import_mapping.FACTS[name], page.fixed.get(name, "")) for name in import_mapping.fixed(upload)
        ],
        "dates": import_mapping.DATES,
        "is_detailed": len(upload.columns) <= MOST_DETAILED,
        "remembered": import_jobs.remembered(upload),
        "name": request.POST.get("name", ""),
    }
    return render_page(request, "crf/import_columns.html", context, status=422 if problem else 200)


def _chosen(request: HttpRequest, upload: Import) -> Mapping | None:
    """The mapping asked for by name, else the import's own, else the last one for files of this layout."""
    kept = import_jobs.remembered(upload)
    asked = next((one for one in kept if str(one.pk) == request.GET.get("mapping")), None)
    stored = asked.mapping if asked else upload.mapping if upload.mapping else kept[0].mapping if kept else None
    return None if stored is None else Mapping.model_validate(stored)


def _sheet_chosen(request: HttpRequest, upload: Import) -> HttpResponse:
    try:
        import_jobs.choose_sheet(upload=upload, sheet=request.POST["sheet"][:100], by=request.user)
    except import_jobs.FileRefused as refused:
        messages.error(request, refused.problem.of(language()))
    return redirect("crf:import-columns", upload.study.code, upload.pk)


@require_http_methods(["GET", "POST"])
def import_preview(request: HttpRequest, code: str, import_id: int) -> HttpResponse:
    """What the file would do, leafed through; and what is done with it."""
    upload = _upload_or_404(request, code, import_id)
    if request.method == "POST":
        return _act(request, upload)
    kinds = {one["kind"]: one["count"] for one in _kinds(upload)}
    asked = request.GET.get("kind")
    kind = (
        asked
        if asked in ImportLine.Kind.values
        else next((one for one in ImportLine.Kind.values if kinds.get(one)), "")
    )
    lines = upload.lines.filter(kind=kind)
    page = Paginator(lines, PER_PAGE).get_page(request.GET.get("page"))
    definition = definition_of(upload.study)
    context = {
        "upload": upload,
        "counts": upload.counts,
        "kinds": [(name, label, kinds.get(name, 0)) for name, label in ImportLine.Kind.choices],
        "kind": kind,
        "page": page,
        "lines": [_line(definition, line) for line in page],
        "modes": Import.Mode.choices,
        "changes_something": _changes_something(upload),
        "can_start": upload.state == Import.State.PREVIEWED and not upload.is_busy,
        "is_xml": upload.format == "odm" or upload.file_name.lower().endswith(".xml"),
        "is_over": upload.state != Import.State.PREVIEWED,
    }
    return render_page(request, "crf/import.html", context)


def _changes_something(upload: Import) -> bool:
    names = ("subjects_new", "records_new", "records_changed", "visits_changed")
    return any(upload.counts.get(name) for name in names)


def _kinds(upload: Import) -> Any:
    return upload.lines.order_by().values("kind").annotate(count=Count("pk"))


def _act(request: HttpRequest, upload: Import) -> HttpResponse:
    """Start, stop, preview again or discard; whatever speaks against it is said on the page."""
    act = _ACTS.get(request.POST.get("act", ""))
    try:
        if act:
            return act(request, upload)
    except imports.ReasonMissing:
        messages.error(request, _("Stored values would change: give a reason."))
    except import_jobs.NotNow as not_now:
        messages.error(request, str(not_now))
    except Gone:
        messages.error(request, _("The file is no longer kept; upload it again."))
    return redirect("crf:import", upload.study.code, upload.pk)


def _start(request: HttpRequest, upload: Import) -> HttpResponse:
    mode = request.POST.get("mode") if request.POST.get("mode") in Import.Mode.values else Import.Mode.ALL
    import_jobs.start(upload=upload, mode=str(mode), reason=_line_of(request, "reason"), by=request.user)
    return redirect("crf:import", upload.study.code, upload.pk)


def _line_of(request: HttpRequest, name: str) -> str:
    """What was typed in a field of one line, without the characters that no line has and no database keeps."""
    return "".join(one if one.isprintable() else " " for one in request.POST.get(name, "")).strip()


def _stop(request: HttpRequest, upload: Import) -> HttpResponse:
    import_jobs.stop(upload=upload, by=request.user)
    messages.info(request, _("The import was asked to stop."))
    return redirect("crf:import", upload.study.code, upload.pk)


def _again(request: HttpRequest, upload: Import) -> HttpResponse:
    import_jobs.preview(upload=upload, by=request.user)
    return redirect("crf:import", upload.study.code, upload.pk)


def _discard(request: HttpRequest, upload: Import) -> HttpResponse:
    import_jobs.discard(upload=upload, by=request.user)
    messages.success(request, _("The file and its preview are gone."))
    return redirect("crf:import-records", upload.study.code)


_ACTS = {"start": _start, "stop": _stop, "preview": _again, "discard": _discard}


def _line(definition: StudyDefinition, line: ImportLine) -> dict[str, Any]:
    """A line of the preview in the reader's language."""
    event = next((one for one in definition.events if one.oid == line.event), None)
    form = next((one for one in definition.forms if one.oid == line.form), None)
    changes = [_change(definition, form, *value) for value in line.values[:MOST_VALUES]]
    zh = language().startswith("zh")
    return {
        "row": line.row or "",
        "column": line.column,
        "reason": import_files.unseal(line.zh if zh else line.en),
        "remedy": line.remedy_zh if zh else line.remedy_en,
        "subject": import_files.unseal(line.subject),
        "event": event.name.of(language()) if event else line.event,
        "repeat": line.repeat,
        "form": form.name.of(language()) if form else line.form,
        "number": line.number,
        "changes": changes,
        "more": len(line.values) - len(changes),
    }


def _change(definition: StudyDefinition, form: Any, address: str, old: Any, new: Any) -> dict[str, str]:
    """Old and new of one answer, as people read it; without a form it is the day of the visit."""
    if not address or form is None:
        return {"item": _("Day of the visit"), "old": old or "", "new": new or ""}
    item = form.item(address)
    codelist = definition.codelist(item)
    told = [display_value(item, codelist, value, language()) for value in (old, new)]
    return {"item": item.label.of(language()), "address": address, "old": told[0], "new": told[1]}


@require_safe
def import_refused(request: HttpRequest, code: str, import_id: int, format: str) -> HttpResponse:
    """The refused rows with what is wrong with each, to be corrected and sent again."""
    upload = _upload_or_404(request, code, import_id)
    if format not in CONTENT_TYPES:
        raise Http404
    try:
        content = import_jobs.refused(upload=upload, format=format, language=language(), by=request.user)
    except Gone as gone:
        raise Http404 from gone
    response = HttpResponse(content, content_type=CONTENT_TYPES[format])
    response["Content-Disposition"] = f'attachment; filename="refused-{upload.pk}.{format}"'
    return response
