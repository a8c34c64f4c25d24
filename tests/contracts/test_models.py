"""House rules of tables: clinical ones have history, facts are append-only, the app's role owns nothing."""

import pytest
from django.apps import apps
from django.db import connection

from registry import audit

OURS = [model for model in apps.get_models() if model._meta.app_label in ("registry", "crf", "imaging", "analytics")]

# Tables without history, each with the reason.
WITHOUT_HISTORY = {
    "registry.User": "accounts are audited as events; last sign-in would write a row per visit",
    "registry.Job": "progress of work, not clinical",
    "registry.AuditEvent": "append-only itself",
    "registry.AuditSeal": "append-only itself",
    "registry.Signature": "append-only itself",
    "crf.StudyBuild": "append-only itself",
}


def is_append_only(model) -> bool:
    return any(trigger.name == "append_only" for trigger in getattr(model._meta, "triggers", []))


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_every_table_has_history_or_is_append_only_or_says_why_not(model):
    if "Historical" in model.__name__:
        assert is_append_only(model)
    elif not issubclass(model, audit.Audited) and not is_append_only(model):
        assert model._meta.label in WITHOUT_HISTORY or getattr(model, "WITHOUT_HISTORY", ""), model._meta.label


@pytest.mark.parametrize(
    "model", [m for m in OURS if issubclass(m, audit.Audited)], ids=lambda model: model._meta.label
)
def test_every_audited_row_stays_and_knows_its_scope(model):
    names = {trigger.name for trigger in model._meta.triggers}
    assert {"never_deleted", "no_truncate"} <= names
    assert hasattr(model.objects.none(), "visible_to") or model._meta.label == "registry.Membership"
    assert hasattr(model, "study_id"), "the audit trail notes the role held in the row's study"


@pytest.mark.django_db
def test_the_role_of_web_and_workers_owns_no_table_and_cannot_become_who_does():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("lobule_app",)
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user")
        assert cursor.fetchall() == []
        cursor.execute("SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False, False)
        cursor.execute("SELECT pg_has_role('lobule_app', 'lobule_owner', 'MEMBER')")
        assert cursor.fetchone() == (False,)


@pytest.mark.django_db
def test_every_trigger_of_the_models_is_in_the_database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal")
        present = {(table, name.rsplit("_", 1)[0]) for table, name in cursor.fetchall()}
    for model in OURS:
        for trigger in getattr(model._meta, "triggers", []):
            assert (model._meta.db_table, f"pgtrigger_{trigger.name}") in present, (model, trigger.name)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_the_default_order_joins_no_other_table(model):
    """`ordering = ["subject"]` drags in the subject's own ordering, and its study's: five joins for every read."""
    names = [name.lstrip("-") for name in model._meta.ordering if isinstance(name, str) and name.lstrip("-") != "pk"]
    joined = [name for name in names if model._meta.get_field(name).is_relation and not name.endswith("_id")]
    assert not joined, f"{model._meta.label}: write {joined[0]}_id"
