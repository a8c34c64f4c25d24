"""The demo's people: one account per role, a coordinator at each site, two readers. Passwords are made, not known."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from deploy import embedded
from registry.models import Site, Study, User
from registry.permissions import Role
from registry.services import people

PASSWORD_BYTES = 9


@dataclass(frozen=True)
class Account:
    """A person of the demo; `site` is the site code of those who work at one site."""

    username: str
    role: str
    zh: str
    en: str
    site: str = ""


CAST = (
    Account("coordinator", Role.COORDINATOR, "研究协调员", "site coordinator", "01"),
    Account("investigator", Role.INVESTIGATOR, "研究者", "investigator", "01"),
    Account("pi", Role.PI, "主要研究者", "principal investigator"),
    Account("monitor", Role.MONITOR, "监查员", "monitor"),
    Account("datamanager", Role.DATA_MANAGER, "数据管理员", "data manager"),
    Account("reader", Role.READER, "盲态阅片者 1", "blinded image reader 1"),
    Account("statistician", Role.STATISTICIAN, "统计师", "statistician"),
    Account("administrator", Role.ADMINISTRATOR, "系统管理员", "administrator"),
    Account("coordinator02", Role.COORDINATOR, "研究协调员", "site coordinator", "02"),
    Account("coordinator03", Role.COORDINATOR, "研究协调员", "site coordinator", "03"),
    Account("coordinator04", Role.COORDINATOR, "研究协调员", "site coordinator", "04"),
    Account("reader2", Role.READER, "盲态阅片者 2", "blinded image reader 2"),
)
READERS = ("reader", "reader2")


def passwords(path: Path) -> dict[str, str]:
    """The passwords of this installation's demo, made on first use and kept readable to its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {account.username: secrets.token_urlsafe(PASSWORD_BYTES) for account in CAST}
        embedded.write_private(path, json.dumps(made, indent=1))
    found: dict[str, str] = json.loads(path.read_text())
    return found


def make(studies: list[Study], known: dict[str, str], by: User) -> None:
    """Create the accounts that are missing, and give each its role in every study."""
    for account in CAST:
        user = User.objects.filter(username=account.username).first() or people.create_user(
            username=account.username,
            full_name=f"{account.zh}{account.site}（合成）",
            organisation="SYNTHETIC",
            password=known[account.username],
            by=by,
        )
        for study in studies:
            _grant(user, account, study, by)


def coordinator(site: Site) -> User:
    """The account that enters data at a site."""
    username = next(one.username for one in CAST if one.role == Role.COORDINATOR and one.site == site.code)
    return User.objects.get(username=username)


def _grant(user: User, account: Account, study: Study, by: User) -> None:
    site = Site.objects.filter(study=study, code=account.site).first() if account.site else None
    if account.site and site is None:
        return  # the study has no such site
    if not user.memberships.filter(study=study, site=site, role=account.role).exists():
        people.grant(user=user, study=study, role=account.role, site=site, by=by)
