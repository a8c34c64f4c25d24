"""A small study on disk, whole or with one thing broken."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from crf.definitions import DefinitionErrors, StudyDefinition, load_study

MINI = Path(__file__).parent / "data" / "mini"


@pytest.fixture(scope="session")
def mini() -> StudyDefinition:
    return load_study(MINI)


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[str, str, str], DefinitionErrors]:
    """Load the small study after replacing `old` by `new` in one file, and return what is said about it."""

    def breaking(file: str, old: str, new: str) -> DefinitionErrors:
        folder = tmp_path / "study"
        shutil.copytree(MINI, folder, dirs_exist_ok=True)
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(DefinitionErrors) as caught:
            load_study(folder)
        return caught.value

    return breaking
