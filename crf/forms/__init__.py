"""The entry form of a record: what a definition shows, and what a person typed into it.

Fields are named `value-<item>`, `unit-<item>`, `missing-<item>`, `missing-reason-<item>` and `comment-<item>`; in the
rows of a group `<item>` is its address, `meds[3].dose`, and `row-<group>` tells the rows that are there. What is typed
goes back into the page as it was typed, whatever the server thinks of it. Of a long form one page is shown and sent at
once (`section`); the rest stays as it is.
"""

from .answers import Reason, as_typed, comments, page_asked, reason, revision_of, typed, with_blank_rows
from .findings import Evaluation, Remark, Result, evaluation, label_of, page_links, position_of
from .lines import ItemView, Option, blank, fields_of, sections

__all__ = [
    "Evaluation",
    "ItemView",
    "Option",
    "Reason",
    "Remark",
    "Result",
    "as_typed",
    "blank",
    "comments",
    "evaluation",
    "fields_of",
    "label_of",
    "page_asked",
    "page_links",
    "position_of",
    "reason",
    "revision_of",
    "sections",
    "typed",
    "with_blank_rows",
]
