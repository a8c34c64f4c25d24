"""House rules of services, read from their source: keywords, a named person, authorisation first."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ("registry", "crf", "imaging", "analytics")

# Services that ask for no right: they write nothing, or write down who came and went, or are the account's own
# beginning.
WITHOUT_RIGHT = {
    "registry.services.people.system_user",
    "registry.services.people.acting_user",
    "registry.services.people.signed_in",
    "registry.services.people.signed_out",
    "registry.services.people.sign_in_failed",
    "registry.services.seals.verify",
    "registry.services.seals.sealed_tables",
    "registry.services.seals.audited_models",
    "crf.services.integrity.problems",
}


def services() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every public function of a services module that writes: one that opens audit.change or takes `by`."""
    for app in APPS:
        for path in sorted((ROOT / app / "services").rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and _writes(node):
                    yield f"{module}.{node.name}", node


def _writes(node: ast.FunctionDef) -> bool:
    takes_by = any(argument.arg == "by" for argument in [*node.args.args, *node.args.kwonlyargs])
    return takes_by or "audit.change(" in ast.unparse(node)


ALL = [service for service in services() if service[0] not in WITHOUT_RIGHT]


@pytest.mark.parametrize(("name", "service"), ALL, ids=[name for name, _ in ALL])
def test_a_service_takes_keywords_and_names_the_person_last(name, service):
    assert not service.args.args, f"{name} takes positional arguments; services are called with keywords"
    assert service.args.kwonlyargs[-1].arg == "by", f"{name} must name the person last: by="


@pytest.mark.parametrize(("name", "service"), ALL, ids=[name for name, _ in ALL])
def test_a_service_authorises_before_it_does_anything(name, service):
    body = [node for node in service.body if not _is_docstring(node)]
    # Loading or asking what the permission is about may come before; writing may not.
    before = []
    for node in body:
        text = ast.unparse(node)
        if "authorise(" in text or "PermissionDenied" in text:
            break
        before.append(text)
    else:
        delegated = [text for text in before if "by=by" in text]
        assert delegated, f"{name} never authorises, nor hands `by` to a service that does"
        before = before[: before.index(delegated[0])]
    assert not any("audit.change(" in text or ".save(" in text for text in before), (
        f"{name} writes before it authorises"
    )


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_the_list_of_services_is_not_empty():
    assert len(ALL) > 20
