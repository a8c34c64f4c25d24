"""Builds that nobody should write: whatever a file holds, loading ends with a definition or with named faults."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crf.definitions import DefinitionErrors, StudyDefinition, evaluate, load_study
from crf.definitions.expressions import BadExpression, ExpressionFailed, compile_expression
from crf.definitions.verify import verify
from crf.definitions.yaml_lines import BadYaml, parse

MINI = Path(__file__).parent / "data" / "mini"
FILES = ("study.yaml", "codelists.yaml", "forms/DM.yaml")
often = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "study"


def faults(folder: Path, file: str, content: bytes) -> list[Any]:
    """What is said about the small study with one file replaced; nothing where it loads."""
    shutil.copytree(MINI, folder, dirs_exist_ok=True)
    (folder / file).write_bytes(content)
    try:
        load_study(folder)
    except DefinitionErrors as error:
        assert all(one.file and one.line >= 1 and one.message and one.message_zh for one in error.errors)
        assert all(len(one.message) < 2000 for one in error.errors)
        assert error.of("zh-hans")
        return error.errors
    return []


HOSTILE = {
    "aliases that unfold to billions": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (b, b, *[b - 1] * 8) for b in range(98, 122)),
    "an alias of itself": b"a: &a [*a]\n",
    "a scalar of 10 MB": b"code: " + b"A" * 10_000_000 + b"\n",
    "a scalar of 10 MB in a title": b"title: {zh: '" + b"x" * 10_000_000 + b"', en: x}\n",
    "a file of 25 MB": b"# " + b"x" * 25_000_000,
    "a hundred thousand brackets": b"[" * 100_000,
    "two thousand levels of indentation": b"".join(b" " * n + b"a:\n" for n in range(2000)),
    "a tag that runs Python": b"code: !!python/object/apply:os.system ['true']\n",
    "a tag of nobody": b"code: !x 1\n",
    "a merge key": b"a: &a {code: A}\n<<: *a\n",
    "two documents": b"code: A\n---\ncode: B\n",
    "a NUL": b"code: A\x00B\n",
    "UTF-16": "code: A\n".encode("utf-16"),
    "GB18030": "title: {zh: 小研究}\n".encode("gb18030"),
    "a list": b"- 1\n- 2\n",
    "a number": b"3\n",
    "nothing": b"",
    "an infinite number": b"subject_number: .inf\n",
    "a key that is a list": b"[1, 2]: 3\n",
    "a number of ten thousand digits": b"code: " + b"9" * 10_000 + b"\n",
    "a truncated file": (MINI / "study.yaml").read_bytes()[:300],
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_study_file_is_refused_with_its_place(folder, content):
    assert faults(folder, "study.yaml", content)


@pytest.mark.parametrize(
    ("old", "new", "item", "said"),
    [
        ("en: A small study", r'en: "A small\0study"', "title", "control character U+0000"),
        ("zh: 小研究", r'zh: "小\x1b研究"', "title", "control character U+001B"),
        ("registration_number: none", r'protocol: {deep: [{"\x07": 1}]}', "MINI", "control character U+0007"),
        ("registration_number: none", r'alias: {odm: "\0"}', "MINI", "control character U+0000"),
        ("registration_number: none", 'subject_number: "{site}-{name}-{sequence}"', "MINI", "not spelt as"),
        ("registration_number: none", 'subject_number: "{site.__class__}{sequence}"', "MINI", "not spelt as"),
        ("registration_number: none", 'subject_number: "{sequence:0999999999d}"', "MINI", "not spelt as"),
        ("window: [-30, 0]", "window: [-30, 999999999]", "BASELINE", "999999999 is too large"),
        ("registration_number: none", "quality: {outlier_z: " + "9" * 400 + "}", "quality", "should be a number"),
        ("code: MINI", "code: " + "m" * 100_000, "", "not spelt as"),
    ],
)  # fmt: skip
def test_what_would_fail_only_later_is_refused_at_load(folder, old, new, item, said):
    content = (MINI / "study.yaml").read_text(encoding="utf-8").replace(old, new)
    (fault,) = faults(folder, "study.yaml", content.encode())
    assert fault.item.startswith(item) and said in fault.message


@pytest.mark.parametrize(
    "pattern", ["{site}-{sequence:04d}", "{sequence:03d}/{site}", "P{sequence}", "{site}-{sequence}-{site}"]
)
def test_a_subject_number_is_of_site_and_sequence(folder, pattern):
    content = (MINI / "study.yaml").read_text(encoding="utf-8")
    assert faults(folder, "study.yaml", f'{content}subject_number: "{pattern}"\n'.encode()) == []


@often
@given(st.binary(max_size=400), st.sampled_from(FILES))
def test_random_bytes_never_crash_the_loader(folder, content, file):
    faults(folder, file, content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def spots(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(spot for key, one in inner for spot in spots(one, (*place, key)))]


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    key, *rest = place
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[key] = put(changed[key], tuple(rest), new)
    return changed


@often
@given(st.data(), st.sampled_from(FILES))
def test_a_definition_with_anything_at_any_place_loads_or_is_told_of(folder, data, file):
    original = yaml.safe_load((MINI / file).read_text(encoding="utf-8"))
    place = data.draw(st.sampled_from(spots(original)))
    broken = put(original, place, data.draw(VALUES))
    faults(folder, file, yaml.safe_dump(broken, allow_unicode=True).encode("utf-8", "surrogatepass"))


@often
@given(VALUES)
def test_yaml_of_any_value_is_read_or_refused_with_a_line(value):
    try:
        parse(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))
    except BadYaml as bad:
        assert bad.line >= 1


# Expressions

WORDS = st.sampled_from(
    ["sex", "age", "meds", "r", "r.dose", "forms.DM.sex", "1", "2.5", "'F'", "==", "<", "+", "&&", "||", "!", "(", ")",
     "[", "]", ",", ".", "?", ":", "meds.map(r, ", "meds.exists(r, ", "given(", "coalesce(", "size(", "ctcae(", "null",
     "in", "true", "events", "//", '"', "\\", "%", "days(", "sum("]
)  # fmt: skip


@often
@given(st.lists(WORDS, max_size=25).map(" ".join) | st.text(max_size=80))
def test_an_expression_of_any_words_has_a_value_none_or_a_reason(text):
    values = {"sex": "F", "age": 3, "meds": [{"row": 1, "dose": 2.5}, {"row": 2}]}
    try:
        expression = compile_expression(text)
    except BadExpression as bad:
        assert bad.zh and bad.en
        return
    try:
        expression.evaluate(values.get)
        expression.evaluate(lambda name: None)
    except ExpressionFailed as failed:
        assert str(failed)


# Values

ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
    | st.sampled_from(["2026-04-03", "2026-04-UK", "F", "HBV", {"missing": "unknown", "reason": ""}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@often
@given(st.data())
def test_values_of_any_kind_never_crash_an_evaluation(mini: StudyDefinition, data):
    form = data.draw(st.sampled_from(mini.forms))
    values = {name: data.draw(ANSWERS) for name in form.items}
    state = evaluate(form, values, {"forms": {"DM": values}, "events": {"BASELINE": {"LB": values}}, "today": 3})
    assert set(state.stored) <= set(form.items) | {"_typed"}


# Definitions

NAMES = st.sampled_from(["a", "b", "c", "dose"])
TYPES = ["text", "integer", "decimal", "date", "file", "derived", "label"]
LABEL = {"zh": "甲", "en": "A"}
ITEMS = st.fixed_dictionaries(
    {"name": NAMES, "type": st.sampled_from(TYPES), "label": st.just(LABEL)},
    optional={
        "range": st.tuples(st.integers(0, 5), st.integers(0, 9)).map(list),
        "derive": st.sampled_from(["a + b", "size(g)", "c"]), "value_type": st.sampled_from(["integer", "text"]),
        "show_if": st.sampled_from(["a == 1", "g.exists(r, r.b > 1)"]),
        "required": st.booleans(), "unit": st.just("mg"), "precision": st.integers(0, 3), "lab": st.just("X"),
        "units": st.just([{"unit": "g", "factor": 1000}]), "ctcae": st.sampled_from(["Anemia", "nothing"]),
        "guideline": st.just(LABEL), "codings": st.just([{"system": "LOINC", "code": "1"}]), "critical": st.booleans(),
    },
)  # fmt: skip
SECTIONS = st.fixed_dictionaries(
    {"name": st.just(LABEL), "items": st.lists(ITEMS, min_size=1, max_size=4)},
    optional={"rows": st.fixed_dictionaries({"name": st.sampled_from(["g", "h", "a"])}), "show_if": st.just("a == 1")},
)
STUDIES = st.lists(SECTIONS, min_size=1, max_size=3).map(
    lambda sections: {
        "code": "S", "version": "1", "title": LABEL, "sites": [{"code": "1", "name": LABEL}],
        "events": [{"oid": "L", "name": LABEL, "kind": "log", "forms": ["F"]}],
        "forms": [{"oid": "F", "name": LABEL, "sections": sections}],
    }
)  # fmt: skip


@often
@given(STUDIES)
def test_a_definition_is_the_same_after_its_canonical_json_and_verifying_always_ends(given_study):
    study = StudyDefinition.model_validate(given_study)
    again = StudyDefinition.from_json(study.canonical_json())
    assert again == study
    assert again.canonical_json() == study.canonical_json()
    found = verify(study)
    assert [fault.en for fault in verify(again)] == [fault.en for fault in found]
    if not found:
        state = evaluate(study.form("F"), {"a": 1, "g": [{"row": 1, "b": 2}]})
        assert evaluate(study.form("F"), state.stored).stored == state.stored
