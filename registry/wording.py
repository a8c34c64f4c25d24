"""What the typed acts and jobs are called on pages; the audit trail itself keeps their codes."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

KINDS = {
    "create": _("created"),
    "change": _("changed"),
    "account.create": _("account made"),
    "account.sign_in": _("signed in"),
    "account.sign_in_failed": _("sign-in failed"),
    "account.sign_out": _("signed out"),
    "audit.export": _("audit trail exported"),
    "build.publish": _("study build published"),
    "dataset.export": _("dataset exported"),
    "dataset.lock": _("dataset locked"),
    "dataset.verify": _("dataset verified"),
    "features.extract": _("features extracted"),
    "identity.view": _("identity viewed"),
    "image.intake": _("images received"),
    "image.match": _("images matched to a subject"),
    "image.quarantine": _("images put in quarantine"),
    "membership.grant": _("role granted"),
    "membership.revoke": _("role revoked"),
    "model.run": _("models evaluated"),
    "nightly": _("nightly run"),
    "record.unlock": _("record unlocked"),
    "rules.publish": _("endpoint rules published"),
    "segmentation.upload": _("segmentation uploaded"),
    "signature.refused": _("signature refused"),
    "signature.sign": _("signed electronically"),
}


def kind_name(kind: str) -> str:
    """The name of an act or job; its code where it has none yet."""
    return str(KINDS.get(kind, kind))
