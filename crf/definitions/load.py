"""A study folder as one StudyDefinition, or as the list of everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from .errors import DefinitionError, DefinitionErrors, Place
from .model import Codelist, Form, StudyDefinition, StudyFile
from .pydantic_faults import explain
from .verify import verify
from .yaml_lines import BadYaml, Lines, read

STUDY, CODELISTS, FORMS = "study.yaml", "codelists.yaml", "forms"
_CODELISTS: TypeAdapter[dict[str, Codelist]] = TypeAdapter(dict[str, Codelist])


class _File:
    """One file of the folder: its value, and where in the definition it stands."""

    def __init__(self, name: str, value: Any, lines: Lines, prefix: Place) -> None:
        self.name = name
        self.value = value
        self.lines = lines
        self.prefix = prefix


def load_study(path: Path) -> StudyDefinition:
    """Read study.yaml, codelists.yaml and forms/*.yaml below `path`. Raises DefinitionErrors with every fault."""
    return _Loader(Path(path)).study()


class _Loader:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.errors: list[DefinitionError] = []
        self.files: dict[Place, _File] = {}

    def study(self) -> StudyDefinition:
        head = self.part(self.root / STUDY, (), StudyFile)
        codelists = self.codelists()
        forms = self.forms()
        if self.errors or head is None:
            raise DefinitionErrors(self.errors)
        # Not validated again: pydantic would only repeat what the parts have passed.
        parts = {name: getattr(head, name) for name in StudyFile.model_fields}
        study = StudyDefinition.model_construct(
            _fields_set=head.model_fields_set | {"forms", "codelists"}, **parts, forms=forms, codelists=codelists
        )
        for fault in verify(study):
            file, place = self.home(fault.place)
            self.add(file, place, fault.item, fault.en, fault.remedy_en, fault.zh, fault.remedy_zh)
        if self.errors:
            raise DefinitionErrors(self.errors)
        return study

    def read(self, path: Path, prefix: Place) -> _File | None:
        name = path.relative_to(self.root).as_posix()
        try:
            value, lines = read(path)
        except FileNotFoundError:
            self.errors.append(
                DefinitionError(
                    name,
                    1,
                    "",
                    "the file is missing",
                    f"a study folder has {STUDY}, {CODELISTS} and {FORMS}/*.yaml",
                    "缺少该文件",
                    f"研究文件夹应有 {STUDY}、{CODELISTS} 和 {FORMS}/*.yaml",
                )
            )
            return None
        except (BadYaml, OSError) as error:
            line, zh = (error.line, error.zh) if isinstance(error, BadYaml) else (1, str(error))
            self.errors.append(
                DefinitionError(name, line, "", str(error), "correct the file", zh, "请修改该文件")
            )  # fmt: skip
            return None
        file = self.files[prefix] = _File(name, value, lines, prefix)
        return file

    def part(self, path: Path, prefix: Place, kind: type[BaseModel]) -> Any:
        file = self.read(path, prefix)
        return None if file is None else self.validated(file, kind.model_validate)

    def validated(self, file: _File, validate: Any) -> Any:
        try:
            return validate(file.value)
        except ValidationError as error:
            for problem in explain(error, file.value):
                self.add(
                    file, problem.place, problem.item, problem.en, problem.remedy_en, problem.zh, problem.remedy_zh
                )
            return None

    def codelists(self) -> dict[str, Codelist]:
        path = self.root / CODELISTS
        if not path.exists():
            return {}
        file = self.read(path, ("codelists",))
        if file is None or file.value is None:
            return {}
        return self.validated(file, _CODELISTS.validate_python) or {}

    def forms(self) -> tuple[Form, ...]:
        paths = sorted((self.root / FORMS).glob("*.y*ml"))
        if not paths:
            self.read(self.root / FORMS / "*.yaml", ("forms", 0))
        forms = [self.part(path, ("forms", index), Form) for index, path in enumerate(paths)]
        return tuple(form for form in forms if form is not None)

    def home(self, place: Place) -> tuple[_File, Place]:
        """The file that a place of the definition is written in, and the place inside it."""
        for length in (2, 1, 0):
            file = self.files.get(place[:length])
            if file is not None:
                return file, place[length:]
        raise AssertionError(f"no file holds {place}")

    def add(self, file: _File, place: Place, item: str, en: str, remedy_en: str, zh: str, remedy_zh: str) -> None:
        self.errors.append(DefinitionError(file.name, file.lines.of(place), item, en, remedy_en, zh, remedy_zh))
