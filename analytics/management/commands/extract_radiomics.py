"""Radiomics of one image and mask from files; no database."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from analytics.radiomics import BadParameters, Extraction, NotExtractable, Parameters, describe, extract


class Command(BaseCommand):
    help = "Measure the region of MASK in IMAGE (NIfTI, NRRD or any format of ITK) and print its features."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("image", type=Path)
        parser.add_argument("mask", type=Path)
        parser.add_argument("--parameters", type=Path, help="YAML file; without it the default of --modality")
        parser.add_argument("--modality", choices=["MR", "CT"], default="CT", help="default parameters of (CT)")
        parser.add_argument("--label", type=int, default=1, help="value of the region in the mask (1)")
        parser.add_argument("--json", action="store_true", help="values, failures and provenance as JSON")

    def handle(self, **options: Any) -> None:
        image, mask = volume(options["image"]), volume(options["mask"])
        try:
            chosen = options["parameters"]
            parameters = Parameters.load(chosen) if chosen else Parameters.default(options["modality"])
            found = extract(image, mask, parameters, options["label"])
        except NotExtractable as reason:
            text = reason.zh if (get_language() or "en").startswith("zh") else reason.en
            raise CommandError(f"{options['mask']}: {text}") from reason
        except (BadParameters, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(as_json(found) if options["json"] else as_lines(found))


def volume(path: Path) -> sitk.Image:
    """Read an image file; raises CommandError that names it."""
    if not path.is_file():
        raise CommandError(_("%(path)s: no such file") % {"path": path})
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise CommandError(_("%(path)s: not an image that can be read (NIfTI, NRRD)") % {"path": path}) from error


def as_json(found: Extraction) -> str:
    content = {"values": found.values, "failures": found.failures, "provenance": found.provenance}
    return json.dumps(content, indent=2, allow_nan=False)


def as_lines(found: Extraction) -> str:
    language = get_language() or "en"
    lines = [f"{name}\t{value!r}" for name, value in found.values.items()]
    return "\n".join(lines + [f"{name}\t({describe(code, language)})" for name, code in found.failures.items()])
