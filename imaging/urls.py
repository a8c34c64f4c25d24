"""The doors of this app."""

from django.urls import URLPattern

app_name = "imaging"
urlpatterns: list[URLPattern] = []
