"""The files of an export in one folder: tables in the format asked for, dictionary, scripts, manifest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from crf.definitions.model import StudyDefinition
from crf.exports import dictionary, manifest, writers
from crf.exports import mapping as mappings
from crf.exports.layout import TableLayout
from crf.exports.rules import Wanted
from crf.selectors import export_odm, export_rows
from crf.selectors.export_rows import Scope
from crf.services.pdf_fonts import face
from registry.jobs import Progress

FORMATS = {
    "csv": "CSV",
    "xlsx": "Excel (XLSX)",
    "xpt": "SAS transport 5 (XPT)",
    "xpt8": "SAS transport 8 (XPT)",
    "sav": "SPSS (SAV)",
    "dta": "Stata (DTA)",
    "parquet": "Parquet",
    "odm": "CDISC ODM 1.3.2",
}
SCRIPTS = {"csv": ("read_records.R", "read_records.py"), "parquet": ("read_records.py",)}
SOURCES = Path(dictionary.__file__).parent


@dataclass
class Package:
    """One export under way: what is read, how it is written, where to."""

    folder: Path
    format: str
    wanted: Wanted
    scope: Scope
    definitions: Sequence[StudyDefinition]
    layouts: Sequence[TableLayout]
    origin: Mapping[str, Any]
    progress: Progress
    source: Any
    rows: dict[str, int] = field(default_factory=dict)
    lost: dict[str, dict[str, int]] = field(default_factory=dict)

    def write(self) -> dict[str, Any]:
        """Everything; returns the manifest."""
        self.progress.start(len(self.layouts) * max(1, len(list(self.scope.chunks()))))
        if self.format == "odm":
            self._write_odm()
        elif self.format == "xlsx":
            self._write_workbook()
        else:
            for layout in self.layouts:
                self.rows[layout.name] = self._write_table(layout)
        self._describe()
        return manifest.write(
            self.folder,
            origin=self.origin,
            wanted=self.wanted,
            format=self.format,
            layouts=self.layouts,
            rows=self.rows,
            lost=self.lost,
        )

    def _batches(self, layout: TableLayout) -> Iterator[pa.RecordBatch]:
        for batch in export_rows.batches(self.source, self.scope, layout):
            if batch is not None:
                yield batch
            self.progress.step(layout.name)

    def _write_table(self, layout: TableLayout) -> int:
        batches, language = self._batches(layout), self.wanted.language
        if self.format == "csv":
            return writers.write_csv(self.folder / f"{layout.name}.csv", layout, batches)
        if self.format == "parquet":
            return writers.write_parquet(self.folder / f"{layout.name}.parquet", layout, batches, language)
        from crf.exports import packages  # pandas: 40 MB that CSV and Parquet do without

        suffix = "xpt" if self.format == "xpt8" else self.format
        path = self.folder / f"{layout.name.lower() if suffix == 'xpt' else layout.name}.{suffix}"
        rows, lost = packages.write_package(path, layout, batches, format=self.format, language=language)
        self.lost |= {layout.name: lost} if lost else {}
        return rows

    def _write_workbook(self) -> None:
        book = writers.Workbook(self.folder / "records.xlsx")
        for layout in self.layouts:
            self.rows[layout.name] = book.write(layout, self._batches(layout))
        book.write_texts("dictionary", dictionary.rows(self.layouts, self.wanted.language))
        book.write_texts("codelists", dictionary.code_rows(self.layouts, self.wanted.language))
        book.close()

    def _write_odm(self) -> None:
        """One file for each build: records stay under the metadata they were made with."""
        builds = export_odm.builds(self.scope)
        for definition, build in builds:
            path = self.folder / f"records-{definition.version}.odm.xml"
            tells = {"tells_missing": build == builds[-1][1], "progress": self.progress}
            counted = export_odm.write(path, self.scope, self.layouts, definition, build, **tells)
            for form, rows in counted.items():
                self.rows[form] = self.rows.get(form, 0) + rows

    def _describe(self) -> None:
        """Dictionary and code lists, scripts that read the tables, mappings that import them."""
        language = self.wanted.language
        lines, codes = dictionary.rows(self.layouts, language), dictionary.code_rows(self.layouts, language)
        (self.folder / "dictionary.csv").write_bytes(dictionary.as_csv(lines))
        (self.folder / "codelists.csv").write_bytes(dictionary.as_csv(codes))
        title = f"{self.scope.study.code} · {manifest.FORMAT}"
        path = self.folder / "dictionary.pdf"
        dictionary.write_pdf(path, self.layouts, title=title, language=language, font=face)
        for name in SCRIPTS.get(self.format, ()):
            (self.folder / name).write_bytes((SOURCES / name).read_bytes())
        if self.format == "csv" and self.wanted.identified:
            for layout in self.layouts:
                if not layout.group:
                    text = mappings.mapping(layout, self.definitions[-1])
                    (self.folder / f"{layout.name}.mapping.yaml").write_text(text, encoding="utf-8")


def utc(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
