"""A study definition as the YAML folder that `load_study` reads: study.yaml, codelists.yaml, forms/*.yaml."""

from __future__ import annotations

from typing import Any

import yaml

from crf.definitions.load import CODELISTS, FORMS, STUDY
from crf.definitions.model import StudyDefinition
from crf.definitions.yaml_lines import implicit_resolvers

try:
    from yaml import CSafeDumper as _Base
except ImportError:  # PyYAML without libyaml
    from yaml import SafeDumper as _Base  # type: ignore[assignment]


def write_yaml(study: StudyDefinition) -> dict[str, bytes]:
    """Files by their path in the folder. Reading them gives the same definition, its forms in the same order."""
    fields = study.model_dump(mode="json", exclude_defaults=True)
    forms, codelists = fields.pop("forms"), fields.pop("codelists", {})
    files = {STUDY: _yaml(fields)}
    if codelists:
        files[CODELISTS] = _yaml(codelists)
    names = [form["oid"] for form in forms]
    numbered = names != sorted(names)  # files are read in the order of their names
    for number, form in enumerate(forms, start=1):
        prefix = f"{number:0{len(str(len(forms)))}d}_" if numbered else ""
        files[f"{FORMS}/{prefix}{form['oid']}.yaml"] = _yaml(form)
    return files


def _yaml(value: Any) -> bytes:
    text: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
    return text.encode()


class _Dumper(_Base):
    """Spells a list that is repeated twice, instead of pointing at the first, and quotes what reading would take for a
    number: `1.5e3` is text to PyYAML's own dumper."""

    yaml_implicit_resolvers = implicit_resolvers()

    def ignore_aliases(self, data: Any) -> bool:
        return True
