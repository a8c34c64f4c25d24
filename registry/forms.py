"""What people send from the registry's pages, checked before a service sees it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.core.validators import MinValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.models import AuditEvent, Group, Site, Study, Subject, User
from registry.permissions import Permission, rights
from registry.services.audit_export import Filters
from registry.wording import kind_name


def day_picker() -> forms.DateInput:
    """The browser's own picker; it takes ISO dates only, whatever the language."""
    return forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


class EnrolSubject(forms.Form):
    """A new subject at one of the sites where the user may enrol."""

    site = forms.ModelChoiceField(Site.objects.none(), label=_("Site"), empty_label=None)
    group = forms.ModelChoiceField(Group.objects.none(), label=_("Group"), empty_label=None)
    enrolled_on = forms.DateField(
        label=_("Enrolled on"),
        widget=day_picker(),
        validators=[MinValueValidator(dt.date(1900, 1, 1))],
        help_text=_("The day of consent."),
    )
    hospital_number = forms.CharField(
        label=_("Hospital number"),
        max_length=60,
        required=False,
        help_text=_("Stored encrypted; finds the subject's images and guards against enrolling a person twice."),
    )
    id_number = forms.CharField(
        label=_("ID number"),
        max_length=40,
        required=False,
        help_text=_("Identity card or passport. Stored encrypted; shows a person enrolled at two sites."),
    )
    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        required=False,
        help_text=_("Stored encrypted; seen only at the own site, and every view is recorded."),
    )

    def __init__(self, *args: Any, study: Study, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        allowed = [site.pk for site in study.sites.visible_to(user) if _may_enrol(user, site)]
        self.fields["site"].queryset = study.sites.filter(pk__in=allowed)
        self.fields["group"].queryset = study.groups.all()
        self.fields["group"].required = study.groups.exists()
        self.fields["enrolled_on"].initial = timezone.localdate
        for name in ("hospital_number", "id_number", "name"):
            self.fields[name].widget.attrs["autocomplete"] = "off"


def _may_enrol(user: User, site: Site) -> bool:
    return Permission.SUBJECT_ENROL in rights(user, site=site)


class SubjectFilter(forms.Form):
    """The filters of the subject list; a wrong value filters nothing."""

    number = forms.CharField(label=_("Number"), required=False, widget=forms.TextInput(attrs={"type": "search"}))
    site = forms.ChoiceField(label=_("Site"), required=False)
    group = forms.ChoiceField(label=_("Group"), required=False)
    status = forms.ChoiceField(label=_("Status"), required=False)

    def __init__(self, *args: Any, study: Study, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        everything = [("", _("all"))]
        sites, groups = study.sites.visible_to(user), study.groups.all()
        self.fields["site"].choices = everything + [(site.code, f"{site.code} {site.name}") for site in sites]
        self.fields["group"].choices = everything + [(group.code, group.name) for group in groups]
        self.fields["status"].choices = everything + list(Subject.Status.choices)

    def chosen(self) -> dict[str, str]:
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class AuditFilter(forms.Form):
    """Which part of the audit trail; without any choice, the last 30 days."""

    site = forms.ModelChoiceField(Site.objects.none(), label=_("Site"), required=False, empty_label=_("all"))
    subject = forms.CharField(label=_("Subject"), required=False, widget=forms.TextInput(attrs={"type": "search"}))
    person = forms.ModelChoiceField(User.objects.none(), label=_("Person"), required=False, empty_label=_("all"))
    action = forms.ChoiceField(label=_("Action"), required=False)
    since = forms.DateField(label=_("From"), required=False, widget=day_picker())
    until = forms.DateField(label=_("To"), required=False, widget=day_picker())

    def __init__(self, *args: Any, study: Study, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self.study, self.user = study, user
        self.fields["since"].initial = timezone.localdate() - dt.timedelta(days=30)
        self.fields["site"].queryset = study.sites.visible_to(user)
        self.fields["person"].queryset = User.objects.filter(memberships__study=study).distinct().order_by("username")
        kinds = AuditEvent.objects.visible_to(user).filter(study=study).order_by().values_list("kind", flat=True)
        found = ["create", "change", *sorted(set(kinds))]
        self.fields["action"].choices = [("", _("all")), *((kind, kind_name(kind)) for kind in found)]

    def clean_subject(self) -> Subject | None:
        number = self.cleaned_data["subject"].strip()
        found = Subject.objects.visible_to(self.user).filter(study=self.study, number=number).first()
        if number and found is None:
            raise forms.ValidationError(_("No subject has this number."))
        return found

    def chosen(self) -> Filters:
        """The filters as the export takes them; days are whole days here, in local time."""
        if not self.is_bound:
            return Filters(since=_midnight(self.fields["since"].initial))
        if not self.is_valid():
            return Filters(since=_midnight(timezone.localdate() + dt.timedelta(days=1)))
        given = self.cleaned_data
        return Filters(
            site=given["site"],
            subject=given["subject"],
            user=given["person"],
            kind=given["action"],
            since=_midnight(given["since"]),
            until=_midnight(given["until"] + dt.timedelta(days=1)) if given["until"] else None,
        )


def _midnight(day: dt.date | None) -> dt.datetime | None:
    return timezone.make_aware(dt.datetime.combine(day, dt.time.min)) if day else None
