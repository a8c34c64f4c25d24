"""What people fill in: the lock."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from analytics.selectors.readiness import KINDS, Readiness


class LockForm(forms.Form):
    """Name and password, and for each kind of open issue a reason why the lock goes on with it."""

    name = forms.SlugField(
        label=_("Name of the dataset"),
        max_length=60,
        help_text=_("Letters, digits and hyphens, for example main-analysis. The same name again makes a new version."),
    )
    password = forms.CharField(
        label=_("Your password, as signature"),
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        strip=False,
    )

    def __init__(self, *args: Any, readiness: Readiness, **options: Any) -> None:
        super().__init__(*args, **options)
        self.kinds = [kind for kind in KINDS if kind in readiness.counts]
        for kind in self.kinds:
            self.fields[f"except_{kind}"] = forms.CharField(
                label=_("Why the lock goes on with: %(kind)s (%(count)s)")
                % {"kind": KINDS[kind], "count": readiness.counts[kind]},
                max_length=500,
                widget=forms.TextInput(),
            )
        self.order_fields([*(f"except_{kind}" for kind in self.kinds), "name", "password"])

    @property
    def exceptions(self) -> dict[str, str]:
        return {kind: self.cleaned_data[f"except_{kind}"] for kind in self.kinds}
