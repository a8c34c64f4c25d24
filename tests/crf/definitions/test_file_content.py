"""What an uploaded file is: its bytes decide, and what a browser or reader would run is refused."""

import io
import zlib

import pytest
from PIL import Image

from crf.definitions.file_content import checked_type
from crf.definitions.model import FileRule
from crf.definitions.values import BadValue

RULE = FileRule(types=("pdf", "png", "jpg", "csv", "txt", "dcm", "docx", "zip"), max_mb=1)
PDF = b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n%%EOF"


def picture(kind):
    held = io.BytesIO()
    Image.new("RGB", (4, 4)).save(held, kind)
    return held.getvalue()


def check(name, content, rule=RULE):
    return checked_type(name, len(content), io.BytesIO(content), rule)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("scan.pdf", PDF, "application/pdf"),
        ("Scan.PNG", picture("PNG"), "image/png"),
        ("scan.jpg", picture("JPEG"), "image/jpeg"),
        ("结果.csv", "项目,结果\n白蛋白,35".encode("gb18030"), "text/csv"),
        ("note.txt", "正常".encode(), "text/plain"),
        ("image.dcm", bytes(128) + b"DICM" + bytes(10), "application/dicom"),
        ("bundle.zip", b"PK\x03\x04" + bytes(40), "application/zip"),
    ],
)
def test_a_file_that_is_what_its_name_says_is_taken(name, content, kind):
    assert check(name, content) == kind


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scan.pdf", picture("PNG")),
        ("scan.png", picture("JPEG")),
        ("scan.exe", b"MZ"),
        ("scan", PDF),
        ("picture.svg", b"<svg onload='x()'/>"),
        ("page.html", b"<html></html>"),
        ("note.txt", b"<html><script>x()</script></html>"),
        ("note.csv", b"a,b\n<SCRIPT src=x></SCRIPT>"),
        ("note.txt", b"\x00\x01binary"),
        ("scan.pdf", b"GIF89a" + PDF),
        ("image.dcm", picture("PNG")[:100].ljust(128, b"\0") + b"DICM"),
        ("scan.png", picture("PNG") + b"PK\x03\x04hidden"),
        ("scan.jpg", picture("JPEG") + b"<script>x()</script>"),
        ("scan.jpg", picture("JPEG")[:-40]),
        ("scan.pdf", PDF.replace(b"/Catalog", b"/Catalog /OpenAction << /S /JavaScript /JS (app.alert(1)) >>")),
        ("scan.pdf", PDF.replace(b"/Catalog", b"/Catalog /AA << /S /#4aavaScript >>")),
        ("scan.pdf", PDF.replace(b"/Catalog", b"/Catalog /Launch")),
        ("scan.pdf", PDF + b"\n2 0 obj << >> stream\n" + zlib.compress(b"<< /S /JavaScript >>") + b"\nendstream"),
        ("empty.pdf", b""),
    ],
)
def test_a_file_that_is_something_else_or_would_run_is_refused(name, content):
    with pytest.raises(BadValue) as refusal:
        check(name, content)
    assert refusal.value.zh and refusal.value.en


def test_a_file_larger_than_its_item_allows_is_refused_with_both_sizes():
    with pytest.raises(BadValue, match="at most 1 MB"):
        check("scan.pdf", PDF + bytes(2**20))


def test_a_bomb_inside_a_pdf_is_not_blown_up():
    bomb = b"\n2 0 obj << >> stream\n" + zlib.compress(bytes(200 * 2**20), 9) + b"\nendstream"
    assert check("scan.pdf", PDF + bomb) == "application/pdf"


def test_an_archive_is_never_unpacked(monkeypatch):
    import zipfile

    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert check("bundle.zip", b"PK\x03\x04" + bytes(40)) == "application/zip"
