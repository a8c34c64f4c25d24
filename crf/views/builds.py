"""A study's builds: which is in force where, what each asks, how two differ, and each as a file."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from crf.definitions.model import StudyDefinition
from crf.exchange import crf_pdf, crf_workbook, yaml_zip
from crf.exchange.formats import write_study
from crf.exchange.loss import as_csv
from crf.models import BuildDraft, StudyBuild
from crf.selectors import builds as reads
from crf.services import pdf_fonts
from crf.views.build_pages import build_or_404, difference_page, form_or_404, section_page
from crf.views.entry_page import language
from registry.permissions import Permission, rights
from registry.web import render_page, study_or_404

ZIP, XLSX, PDF, XML = (
    "application/zip",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/pdf",
    "application/xml",
)
DOWNLOADS = {
    "yaml": (ZIP, ".zip"), "xlsx": (XLSX, ".xlsx"), "pdf": (PDF, "_pdf.pdf"), "annotated": (PDF, "_annotated.pdf"),
    "odm": (XML, "_odm.xml"), "odm2": (XML, "_odm2.xml"), "redcap": (ZIP, "_redcap.zip"),
    "xlsform": (ZIP, "_xlsform.zip"),
}  # fmt: skip


@require_safe
def builds(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.BUILD_VIEW)
    releases = reads.in_force(study)
    counts = reads.records_by_build(study)
    found = StudyBuild.objects.filter(study=study).select_related("published_by").order_by("-pk")
    may_import = Permission.BUILD_IMPORT in rights(request.user, study=study)
    context = {
        "builds": [_listed(build, releases.values(), counts) for build in found],
        "sites": [(site, releases.get(site.pk)) for site in study.sites.all()],
        "drafts": BuildDraft.objects.filter(study=study).select_related("uploaded_by") if may_import else [],
        "may_import": may_import,
    }
    return render_page(request, "crf/builds.html", context)


def _listed(build: StudyBuild, releases: Any, counts: dict[int, int]) -> dict[str, Any]:
    sites = [release for release in releases if release.build_id == build.pk]
    return {"build": build, "releases": sites, "records": counts.get(build.pk, 0)}


@require_safe
def build(request: HttpRequest, code: str, build_id: int) -> HttpResponse:
    """What the build asks: visits with their forms."""
    build = build_or_404(request, code, build_id, needs=Permission.BUILD_VIEW)
    definition = build.study_definition
    context = {
        "build": build,
        "visits": [_visit(definition, event) for event in definition.events],
        "releases": reads.releases_of(build),
        "records": reads.records_by_build(build.study).get(build.pk, 0),
        "others": StudyBuild.objects.filter(study=build.study).exclude(pk=build.pk).order_by("-pk")[:20],
    }
    return render_page(request, "crf/build.html", context)


def _visit(definition: StudyDefinition, event: Any) -> dict[str, Any]:
    forms = [definition.form(oid) for oid in event.forms]
    return {
        "oid": event.oid,
        "name": event.name.of(language()),
        "event": event,
        "forms": [(form.oid, form.name.of(language()), len(form.questions)) for form in forms],
    }


@require_safe
def build_form(request: HttpRequest, code: str, build_id: int, form: str) -> HttpResponse:
    """One section of a form, as it will be entered."""
    build = build_or_404(request, code, build_id, needs=Permission.BUILD_VIEW)
    definition = build.study_definition
    shown = form_or_404(definition, form)
    number = _number(request.GET.get("section"))
    context = {
        "build": build,
        "form": {"oid": shown.oid, "name": shown.name.of(language()), "help": shown.help and shown.help.of(language())},
        "sections": [
            (index, part.name.of(language()), len(part.items)) for index, part in enumerate(shown.sections, start=1)
        ],
        "number": number,
        "at": [event.name.of(language()) for event in definition.events if shown.oid in event.forms],
        **section_page(definition, shown, number, request.GET.get("page")),
    }
    return render_page(request, "crf/build_form.html", context)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else 1


@require_safe
def build_difference(request: HttpRequest, code: str, build_id: int) -> HttpResponse:
    """What this build changes against another: the one published before it, unless the address names one."""
    build = build_or_404(request, code, build_id, needs=Permission.BUILD_VIEW)
    others = StudyBuild.objects.filter(study=build.study).exclude(pk=build.pk)
    if wanted := request.GET.get("from"):
        old = get_object_or_404(others, pk=_number(wanted))
    else:
        old = others.filter(pk__lt=build.pk).order_by("-pk").first() or others.order_by("-pk").first()
    context: dict[str, Any] = {"build": build, "old": old}
    if old:
        changes = reads.changes_between(old, build)
        page = request.GET.get("page")
        context |= difference_page(build.study_definition, changes, request.GET.get("of", ""), page)
    return render_page(request, "crf/build_difference.html", context)


@require_safe
def download_build(request: HttpRequest, code: str, build_id: int, kind: str) -> HttpResponse:
    """The build as YAML (the folder that imports again), a workbook, a CRF on paper, or in another system's format."""
    build = build_or_404(request, code, build_id, needs=Permission.BUILD_VIEW)
    if kind not in DOWNLOADS:
        raise Http404(f"no download {kind}")
    form = request.GET.get("form", "")
    if form:
        form_or_404(build.study_definition, form)
    media, ending = DOWNLOADS[kind]
    name = "_".join(part for part in (build.study.code, build.version, form) if part)
    headers = {"Content-Disposition": f'attachment; filename="{name}{ending}"'}
    return HttpResponse(_file(build, kind, form), content_type=media, headers=headers)


def _file(build: StudyBuild, kind: str, form: str) -> bytes:
    definition = build.study_definition
    if kind == "yaml":
        return yaml_zip.write_zip(definition)
    if kind == "xlsx":
        return crf_workbook.write_workbook(definition, created=build.published_at)
    if kind in ("odm", "odm2", "redcap", "xlsform"):
        return _foreign(build, kind)
    faces = pdf_fonts.faces()
    return crf_pdf.write_pdf(definition, annotated=kind == "annotated", faces=faces, form=form)


def _foreign(build: StudyBuild, kind: str) -> bytes:
    """ODM, which says everything, as it is; the other formats in a zip with the list of what they have no place for."""
    exported = write_study(
        build.study_definition,
        format=kind.removesuffix("2"),
        odm="2.0" if kind == "odm2" else "1.3.2",
        created=build.published_at.isoformat(timespec="seconds"),
        language=language(),
    )
    if kind in ("odm", "odm2"):
        return next(iter(exported.files.values()))
    return yaml_zip.zipped(exported.files | {"losses.csv": as_csv(exported.losses).encode()})
