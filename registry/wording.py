"""What the typed acts and jobs are called on pages; the audit trail itself keeps their codes."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext_lazy as _

from registry.permissions import Role

KINDS = {
    "create": _("created"),
    "change": _("changed"),
    "account.create": _("account made"),
    "account.sign_in": _("signed in"),
    "account.sign_in_failed": _("sign-in failed"),
    "account.sign_out": _("signed out"),
    "audit.export": _("audit trail exported"),
    "build.discard": _("uploaded version thrown away"),
    "build.migrate": _("records brought to another version"),
    "build.publish": _("study build published"),
    "build.release": _("study build released at a site"),
    "build.upload": _("version of the forms uploaded"),
    "build.weigh": _("effect of a version worked out"),
    "calendar.feed_made": _("calendar address made"),
    "calendar.feed_revoked": _("calendar address revoked"),
    "calendar.replan": _("visits planned by the version in force"),
    "dataset.export": _("dataset exported"),
    "dataset.lock": _("dataset locked"),
    "dataset.verify": _("dataset verified"),
    "features.extract": _("features extracted"),
    "file.add": _("file uploaded"),
    "identity.view": _("identity viewed"),
    "image.intake": _("images received"),
    "image.match": _("images matched to a subject"),
    "image.quarantine": _("images put in quarantine"),
    "membership.grant": _("role granted"),
    "membership.revoke": _("role revoked"),
    "model.run": _("models evaluated"),
    "nightly": _("nightly run"),
    "quality.run": _("data-quality rules run"),
    "query.answer": _("query answered"),
    "query.assign": _("query assigned"),
    "query.close": _("query closed"),
    "query.comment": _("words added to a query"),
    "query.export": _("queries exported"),
    "query.open": _("query opened"),
    "query.reopen": _("query reopened"),
    "record.unlock": _("record unlocked"),
    "records.export": _("records exported"),
    "records.fetch": _("export fetched"),
    "records.import": _("records imported"),
    "records.preview": _("import previewed"),
    "views.create": _("SQL views made"),
    "rules.publish": _("endpoint rules published"),
    "sdv.drop": _("verification dropped by a change"),
    "sdv.verify": _("verified against the source"),
    "sdv.withdraw": _("verification taken back"),
    "segmentation.upload": _("segmentation uploaded"),
    "signature.refused": _("signature refused"),
    "signature.sign": _("signed electronically"),
}


def kind_name(kind: str) -> str:
    """The name of an act or job; its code where it has none yet."""
    return str(KINDS.get(kind, kind))


SOURCES = {
    "web": _("on the page"),
    "api": _("by the interface"),
    "import": _("by import"),
    "migration": _("by migration to a new build"),
    "derived": _("derived"),
    "dicom": _("from DICOM headers"),
    "command": _("on the command line"),
    "demo": _("by the demo"),
    "job": _("by a job"),
}


def source_name(source: str) -> str:
    """The door a change came through, in words."""
    return str(SOURCES.get(source, source))


def role_names(held: str) -> str:
    """Roles as the trail keeps them (`coordinator@01, reader`) in words: `site coordinator 01, image reader`."""
    return ", ".join(_role_name(one) for one in held.split(", ") if one)


def _role_name(one: str) -> str:
    role, at, site = one.partition("@")
    label = str(Role(role).label) if role in Role.values else role
    return f"{label} {site}" if at else label


# Why saved answers change (ICH E6(R3) 4.2.4); the trail keeps `code: words`, and codes can be counted.
REASONS = {
    "transcription": _("Typing or transcription error"),
    "source": _("The source was corrected"),
    "additional": _("Information came later"),
    "query": _("In answer to a query"),
    "other": _("Other (explain)"),
}


def reason_shown(stored: str) -> str:
    """A stored reason with its code in the reader's language."""
    code, colon, text = stored.partition(":")
    return f"{REASONS[code]}{colon}{text}" if code in REASONS else stored


# What an event or a finished job tells beside its kind; what has no name here is shown by its key.
FACTS = {
    "approved_on": _("approved on"),
    "document": _("approval document"),
    "draft": _("upload under review"),
    "left": _("left as they are"),
    "signatures_ended": _("signatures that ended"),
    "subjects": _("subjects"),
    "records": _("records"),
    "accepted": _("accepted"),
    "dataset": _("dataset"),
    "digest": _("digest"),
    "duplicate": _("already here"),
    "evaluation": _("evaluation"),
    "file": _("file"),
    "form": _("form"),
    "hash": _("dataset hash"),
    "intake": _("upload"),
    "item": _("item"),
    "kind": _("kind"),
    "masks": _("segmentations"),
    "meaning": _("meaning"),
    "object": _("object"),
    "parameters": _("parameters"),
    "quarantined": _("quarantined"),
    "record": _("record"),
    "query": _("query"),
    "refused": _("refused"),
    "role": _("role"),
    "series": _("series"),
    "user": _("user"),
    "username": _("user name"),
}
HASH_LENGTH, SHOWN_LENGTH = 64, 12


def fact_name(key: str) -> str:
    return str(FACTS.get(key, key))


def details_shown(stored: str) -> str:
    """An event's details (JSON in the trail) as `name: value` pairs; anything else as it stands.

    Hashes are cut as they are elsewhere on pages, and what nests is left to the export.
    """
    try:
        details = json.loads(stored)
    except ValueError:
        return stored
    if not isinstance(details, dict):
        return stored
    plain = {key: value for key, value in details.items() if not isinstance(value, dict | list)}
    return " · ".join(f"{fact_name(key)}: {_cut(value)}" for key, value in plain.items())


def _cut(value: object) -> str:
    text = str(value)
    is_hash = len(text) == HASH_LENGTH and set(text) <= set("0123456789abcdef")
    return text[:SHOWN_LENGTH] if is_hash else text


def person_name(user: Any) -> str:
    """A person's name; the system's in the reader's language."""
    if user is None:
        return "—"
    return str(_("System")) if user.is_system else user.full_name or user.username
