"""A number names the code that made it."""

import shutil

from analytics.snapshots import software


def test_our_own_code_is_named_by_its_content(tmp_path, monkeypatch):
    for name in (*software.OWN, *software.OWN_FILES):
        source, copy = software.ROOT / name, tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    before = software.versions()["lobule"]
    monkeypatch.setattr(software, "ROOT", tmp_path)
    software.own_code.cache_clear()
    assert software.versions()["lobule"] == before, "the place of the code doesn't matter"
    changed = tmp_path / "analytics/stats/roc.py"
    changed.write_text(changed.read_text() + "\n# changed\n")
    software.own_code.cache_clear()
    assert software.versions()["lobule"] != before
    software.own_code.cache_clear()
