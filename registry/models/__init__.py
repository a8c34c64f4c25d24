"""The registry's tables."""

from registry.models.job import Job
from registry.models.people import Membership, User
from registry.models.study import Group, ScopedAudited, Site, Study
from registry.models.subject import Identity, Subject, Visit
from registry.models.trail import AuditEvent, AuditSeal, Signature

__all__ = [
    "AuditEvent",
    "AuditSeal",
    "Group",
    "Identity",
    "Job",
    "Membership",
    "ScopedAudited",
    "Signature",
    "Site",
    "Study",
    "Subject",
    "User",
    "Visit",
]
