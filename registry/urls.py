"""Addresses of the registry's pages; a subject's own page is crf's."""

from django.urls import path

from registry.views import accounts, jobs, studies, subjects, trail

app_name = "registry"
urlpatterns = [
    path("", studies.studies, name="studies"),
    path("sign-in/", accounts.SignIn.as_view(), name="sign-in"),
    path("sign-out/", accounts.SignOut.as_view(), name="sign-out"),
    path("language/", accounts.set_language, name="set-language"),
    path("account/", accounts.profile, name="profile"),
    path("studies/<slug:code>/", studies.study, name="study"),
    path("studies/<slug:code>/subjects/", subjects.subjects, name="subjects"),
    path("studies/<slug:code>/subjects/<str:number>/identity/", subjects.identity, name="identity"),
    path("studies/<slug:code>/audit/", trail.audit, name="audit"),
    path("studies/<slug:code>/audit/export/", trail.export_audit, name="export-audit"),
    path("studies/<slug:code>/jobs/", jobs.jobs, name="jobs"),
    path("studies/<slug:code>/jobs/<int:job_id>/", jobs.job, name="job"),
]
