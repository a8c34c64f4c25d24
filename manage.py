#!/usr/bin/env python
"""Run a management command; with no DATABASE_URL, on the embedded servers under var/."""

import os
import sys

from django.core.management import execute_from_command_line

from deploy import embedded

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.settings")
    with embedded.environment(sys.argv):
        execute_from_command_line(sys.argv)
