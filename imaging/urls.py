"""Addresses of the imaging pages."""

app_name = "imaging"
urlpatterns: list = []
