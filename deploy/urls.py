"""Every door of the site. Paths of one study share the prefix /studies/<code>/; each app owns its part."""

from django.urls import include, path

urlpatterns = [
    path("", include("registry.urls")),
    path("", include("crf.urls")),
    path("", include("imaging.urls")),
    path("", include("analytics.urls")),
]

handler403 = "registry.views.errors.not_allowed"
handler404 = "registry.views.errors.not_found"
handler500 = "registry.views.errors.failed"
