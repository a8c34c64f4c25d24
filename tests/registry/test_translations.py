"""Every text that a person sees is in Chinese too."""

import re

import pytest
from babel.messages.pofile import read_po

from registry.wording import KINDS
from tests.messages import ROOT, asked

APPS = ["registry", "crf", "imaging", "analytics"]


def translated(app: str) -> dict[str, object]:
    path = ROOT / app / "locale/zh_Hans/LC_MESSAGES/django.po"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return {_singular(message.id): message for message in read_po(file) if message.id}


def _singular(msgid: str | tuple[str, ...]) -> str:
    return msgid[0] if isinstance(msgid, tuple) else msgid


@pytest.mark.parametrize("app", APPS)
def test_every_text_has_its_chinese(app):
    known = translated(app)
    missing = sorted(text for text in asked(app) if text not in known or not all(_strings(known[text])))
    assert not missing, f"add to {app}/locale/zh_Hans/LC_MESSAGES/django.po: {missing}"


@pytest.mark.parametrize("app", APPS)
def test_every_act_and_job_has_a_name(app):
    text = "".join(path.read_text() for path in sorted((ROOT / app / "services").glob("*.py")))
    written = set(re.findall(r'event\(kind="([a-z._]+)"|^KIND = "([a-z._]+)"', text, re.M))
    assert written and {one or other for one, other in written} <= KINDS.keys()


@pytest.mark.parametrize("app", APPS)
def test_no_translation_is_left_of_a_text_that_is_gone(app):
    stale = sorted(set(translated(app)) - asked(app))
    assert not stale, f"remove from {app}/locale/zh_Hans/LC_MESSAGES/django.po: {stale}"


@pytest.mark.parametrize("app", APPS)
def test_a_translation_keeps_the_placeholders_of_its_text(app):
    placeholder = re.compile(r"%\((\w+)\)")
    for text, message in translated(app).items():
        for string in _strings(message):
            assert set(placeholder.findall(string)) <= set(placeholder.findall(" ".join(_ids(message)))), text


def _strings(message):
    return message.string if isinstance(message.string, tuple) else (message.string,)


def _ids(message):
    return message.id if isinstance(message.id, tuple) else (message.id,)
