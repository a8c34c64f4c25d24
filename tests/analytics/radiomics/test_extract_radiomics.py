"""The command, as a user types it."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation


@pytest.fixture
def phantom(shared):
    folder = shared / "data/imaging/ibsi1_digital_phantom/nifti"
    return str(folder / "image/phantom.nii.gz"), str(folder / "mask/mask.nii.gz")


@pytest.fixture
def parameters(tmp_path):
    path = tmp_path / "ibsi.yaml"
    path.write_text("discretise: {bin_width: 1}\n", encoding="utf-8")
    return str(path)


def test_it_prints_one_feature_a_line(phantom, parameters):
    out = StringIO()
    call_command("extract_radiomics", *phantom, "--parameters", parameters, stdout=out)
    values = dict(line.split("\t") for line in out.getvalue().splitlines())
    assert len(values) == 107
    assert float(values["original_firstorder_Energy"]) == 567


def test_it_prints_json_with_provenance(phantom, parameters):
    out = StringIO()
    call_command("extract_radiomics", *phantom, "--parameters", parameters, "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert found["values"]["original_glcm_Contrast"] == pytest.approx(5.324480, rel=1e-6)
    assert found["failures"] == {}
    assert len(found["provenance"]["key"]) == 64


def test_a_file_that_is_no_image_is_named(phantom, tmp_path):
    path = tmp_path / "notes.nii.gz"
    path.write_text("not an image")
    with pytest.raises(CommandError, match="notes"):
        call_command("extract_radiomics", phantom[0], str(path))


def test_a_file_that_is_not_there_is_named(phantom):
    with pytest.raises(CommandError, match="nowhere"):
        call_command("extract_radiomics", phantom[0], "/nowhere.nii.gz")


@pytest.mark.parametrize(("language", "says"), [("en", "no label 9"), ("zh-hans", "没有标签 9")])
def test_a_mask_without_the_label_ends_with_the_reason(phantom, parameters, language, says):
    with translation.override(language), pytest.raises(CommandError, match=says):
        call_command("extract_radiomics", *phantom, "--parameters", parameters, "--label", "9")
