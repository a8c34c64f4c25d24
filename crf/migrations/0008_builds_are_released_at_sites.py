"""Builds are released site by site; until now each study's newest build was in force everywhere, and stays so."""

import django.db.models.deletion
import django.utils.timezone
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models


def release_newest(apps, schema_editor):
    StudyBuild, BuildRelease = apps.get_model("crf", "StudyBuild"), apps.get_model("crf", "BuildRelease")
    Site = apps.get_model("registry", "Site")
    newest = {}
    for build in StudyBuild.objects.order_by("pk").defer("definition"):
        newest[build.study_id] = build
    for site in Site.objects.order_by("pk"):
        if build := newest.get(site.study_id):
            BuildRelease.objects.create(
                build=build, site=site, released_by_id=build.published_by_id, released_at=build.published_at
            )


class Migration(migrations.Migration):
    dependencies = [
        ("crf", "0007_what_is_typed_is_kept"),
        ("registry", "0003_a_person_at_two_sites_is_found"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BuildDraft",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("file_name", models.CharField(max_length=200)),
                ("file_sha256", models.CharField(max_length=64)),
                ("definition", models.JSONField()),
                ("version", models.CharField(max_length=40)),
                ("sha256", models.CharField(max_length=64)),
                ("losses", models.JSONField(default=list)),
                ("uploaded_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "study",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="build_drafts", to="registry.study"
                    ),
                ),
                (
                    "uploaded_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "weighing",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="registry.job"
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="BuildRelease",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("approved_on", models.DateField(blank=True, null=True, verbose_name="approved on")),
                ("document", models.CharField(blank=True, max_length=300, verbose_name="approval document")),
                ("released_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "build",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="releases", to="crf.studybuild"
                    ),
                ),
                (
                    "released_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "site",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="releases", to="registry.site"
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="buildrelease",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="a522c0ddad7a90c8c6625131e7ce8ae98198f5b0",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_3023d",
                    table="crf_buildrelease",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="buildrelease",
            trigger=pgtrigger.compiler.Trigger(
                name="no_truncate",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot truncate %: its rows are kept for ever', TG_TABLE_NAME;",
                    hash="24e1a52fba335a7cf9efa68300f1d5f8873b8b90",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_no_truncate_79009",
                    table="crf_buildrelease",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.RunPython(release_newest, migrations.RunPython.noop),
    ]
