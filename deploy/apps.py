from django.apps import AppConfig


class DeployConfig(AppConfig):
    """Holds the commands that wire the apps together: `demo` and `migrate`."""

    name = "deploy"
