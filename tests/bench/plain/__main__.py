"""Make the yardstick's tables, with a row for each person: `python -m tests.bench.plain PEOPLE`; prints the keys."""

import json
import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.settings"
django.setup()

from django.db import connections  # noqa: E402

from tests.bench.plain.models import PlainRecord  # noqa: E402

with connections["owner"].schema_editor() as editor:
    for model in (PlainRecord, PlainRecord.history.model):
        editor.create_model(model)
        editor.execute(f"GRANT SELECT, INSERT, UPDATE ON {model._meta.db_table} TO lobule_app")
    editor.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO lobule_app")
keys = [PlainRecord.objects.create(subject=str(number)).pk for number in range(int(sys.argv[1]))]
sys.stdout.write(json.dumps(keys))
