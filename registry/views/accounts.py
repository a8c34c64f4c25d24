"""Sign in and out, the language, the own account."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe
from django.views.i18n import set_language as set_language_cookie

from registry.services import people


class SignIn(LoginView):
    """Django's sign-in, written to the audit trail; the pages then speak the language of the account until the person
    chooses another."""

    template_name = "registry/sign_in.html"
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        people.signed_in(by=form.get_user())
        response = super().form_valid(form)
        response.set_cookie(settings.LANGUAGE_COOKIE_NAME, form.get_user().language, samesite="Lax")
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        if form.non_field_errors():
            people.sign_in_failed(username=form.cleaned_data["username"])
        return super().form_invalid(form)


class SignOut(LogoutView):
    """Django's sign-out, written to the audit trail."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        people.signed_out(by=request.user)
        return super().post(request, *args, **kwargs)


@login_not_required
@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    return set_language_cookie(request)


@require_safe
def profile(request: HttpRequest) -> HttpResponse:
    memberships = request.user.memberships.select_related("study", "site").order_by("study__code", "role")
    return render(request, "registry/profile.html", {"memberships": memberships})
