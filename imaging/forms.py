"""What people send from the imaging pages, checked before a service sees it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from crf.definitions import StudyDefinition
from registry.models import Site, Study, Subject, User
from registry.permissions import Permission, rights


class ManyFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Several files of one input; the value is a list."""

    widget = ManyFiles

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        single = super().clean
        files = data if isinstance(data, list | tuple) else [data]
        return [single(each, initial) for each in files if each] or [single(None, initial)]


class UploadImages(forms.Form):
    """DICOM files, or a zip of them, for a site where the user may upload."""

    site = forms.ModelChoiceField(Site.objects.none(), label=_("Site"), empty_label=None)
    subject = forms.CharField(
        label=_("Subject number"),
        max_length=40,
        required=False,
        help_text=_("Leave empty: images find their subject by the hospital number, or wait in the site's inbox."),
    )
    files = ManyFilesField(
        label=_("DICOM files or a zip"),
        help_text=_("Names, numbers and dates of birth are removed before anything is stored."),
    )

    def __init__(self, *args: Any, study: Study, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self.user = user
        allowed = [site.pk for site in study.sites.visible_to(user) if _may(user, site, Permission.IMAGE_UPLOAD)]
        self.fields["site"].queryset = study.sites.filter(pk__in=allowed)
        self.fields["files"].widget.attrs["accept"] = ".dcm,.ima,.zip,application/dicom,application/zip"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        cleaned["subject"] = _subject(self, cleaned.get("site"), cleaned.get("subject") or "", self.user)
        return cleaned


class MatchSubject(forms.Form):
    """The subject that an examination belongs to."""

    subject = forms.CharField(label=_("Subject number"), max_length=40)
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        required=False,
        help_text=_("Needed when the images are moved from another subject."),
    )

    def __init__(self, *args: Any, site: Site, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self.site, self.user = site, user

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("subject"):
            cleaned["subject"] = _subject(self, self.site, cleaned["subject"], self.user)
        return cleaned


class AddSegmentation(forms.Form):
    """A reader's mask of one region."""

    roi = forms.ChoiceField(label=_("Region"))
    round = forms.IntegerField(label=_("Round"), min_value=1, max_value=9, initial=1)
    file = forms.FileField(
        label=_("Mask"),
        help_text=_("NIfTI (.nii, .nii.gz), NRRD or DICOM SEG, drawn on this series."),
    )
    label = forms.IntegerField(
        label=_("Label"),
        min_value=1,
        required=False,
        help_text=_("Only where the file holds several labels or segments."),
    )

    def __init__(self, *args: Any, definition: StudyDefinition | None, **options: Any) -> None:
        super().__init__(*args, **options)
        rois = definition.imaging.rois if definition and definition.imaging else []
        language = "en" if (get_language() or "").startswith("en") else "zh"
        self.fields["roi"].choices = [(roi.code, roi.name.of(language)) for roi in rois] or [("roi", _("region"))]


class SeriesFilter(forms.Form):
    """The filters of the image list; a wrong value filters nothing."""

    show = forms.ChoiceField(
        label=_("Show"),
        required=False,
        choices=[("", _("all")), ("inbox", _("inbox: without a subject")), ("problems", _("with remarks"))],
    )
    site = forms.ChoiceField(label=_("Site"), required=False)
    kind = forms.ChoiceField(label=_("Sequence or phase"), required=False)
    subject = forms.CharField(label=_("Subject"), required=False, widget=forms.TextInput(attrs={"type": "search"}))

    def __init__(self, *args: Any, sites: Any, kinds: list[str], with_subjects: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        everything = [("", _("all"))]
        self.fields["site"].choices = everything + [(site.code, f"{site.code} {site.name}") for site in sites]
        self.fields["kind"].choices = everything + [(kind, kind) for kind in kinds]
        if not with_subjects:
            del self.fields["subject"]

    def conditions(self) -> dict[str, Any]:
        self.is_valid()
        chosen = self.cleaned_data
        found: dict[str, Any] = {}
        if chosen.get("show") == "inbox":
            found["subject__isnull"] = True
        if chosen.get("show") == "problems":
            found["qc__verdict__in"] = ["warn", "fail"]
        if chosen.get("site"):
            found["site__code"] = chosen["site"]
        if chosen.get("kind"):
            found["kind"] = chosen["kind"]
        if chosen.get("subject"):
            found["subject__number__icontains"] = chosen["subject"]
        return found


def _subject(form: forms.Form, site: Site | None, number: str, user: User) -> Subject | None:
    if not number or site is None:
        return None
    found = Subject.objects.visible_to(user).filter(site=site, number=number.strip()).first()
    if found is None:
        form.add_error("subject", _("No subject of this site has this number; look it up in the subject list."))
    return found


def _may(user: User, site: Site, permission: Permission) -> bool:
    return permission in rights(user, site=site)
