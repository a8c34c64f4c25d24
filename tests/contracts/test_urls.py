"""Every door: closed without a sign-in unless listed, and nothing of a study for a stranger to it."""

from collections.abc import Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

PUBLIC = {"registry:sign-in", "registry:sign-out", "registry:set-language"}


def patterns(resolver: URLResolver, prefix: str = "", namespace: str = "") -> Iterator[tuple[str, str, URLPattern]]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from patterns(entry, prefix + str(entry.pattern), inner)
        else:
            yield f"{namespace}{entry.name}", prefix + str(entry.pattern), entry


DOORS = sorted(patterns(get_resolver()), key=lambda door: door[0])


def address(route: str, study, subject, values: dict[str, object]) -> str:
    """The route with its parameters filled: the study's own where they name one of its things."""
    known = {"code": study.code, "study": study.code, "number": subject.number, "subject": subject.number, **values}
    filled = route
    while "<" in filled:
        before, rest = filled.split("<", 1)
        parameter, after = rest.split(">", 1)
        kind, _, name = parameter.rpartition(":")
        filled = before + str(known.get(name, 999_999 if kind == "int" else "x")) + after
    return "/" + filled


@pytest.fixture
def place(study, site, coordinator):
    from tests.study import enrol, enter

    subject = enrol(site, by=coordinator)
    record = enter(subject, "DM", {"age": "50", "sex": "M"}, by=coordinator)
    return study, subject, {"event": "BASELINE", "repeat": 1, "form": "DM", "n": 1, "record_id": record.pk}


@pytest.mark.parametrize(("name", "route", "door"), DOORS, ids=[door[0] for door in DOORS])
@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_enters_without_signing_in(client, place, name, route, door, method):
    response = getattr(client, method)(address(route, *place))
    if name in PUBLIC:
        assert response.status_code in (200, 302, 405)
    elif route.startswith("api/"):
        assert response.status_code in (401, 403), f"{name} answers {response.status_code}"
    else:
        assert response.status_code == 302 and "sign-in" in response.url, f"{name} answers {response.status_code}"


@pytest.mark.parametrize(
    ("name", "route", "door"), [d for d in DOORS if "<" in d[1]], ids=[d[0] for d in DOORS if "<" in d[1]]
)
def test_a_stranger_to_the_study_finds_nothing(client, place, django_user_model, name, route, door):
    from registry.models import User

    client.force_login(User.objects.create(username="nobody", full_name="No Body"))
    for method in ("get", "post"):
        response = getattr(client, method)(address(route, *place))
        assert response.status_code in (404, 405), f"{method} {name} answers {response.status_code}"


def test_every_door_has_a_name():
    unnamed = [route for name, route, _ in DOORS if name.endswith(("None", ":"))]
    assert not unnamed, unnamed
