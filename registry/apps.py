from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Who, where, when: studies, sites, people, subjects; and the audit and access rules that all others call."""

    name = "registry"
