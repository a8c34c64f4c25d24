"""What `endpoints.yaml` may say: an endpoint is a versioned rule, a value that names its items and its windows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Scalar = str | int | float | bool


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(Rule):
    zh: str
    en: str


def _test(value: Any) -> Any:
    """A bare value means "equals", a list "is one of", a mapping says the comparison."""
    if isinstance(value, dict):
        return value
    return {"in": value} if isinstance(value, list) else {"eq": value}


class Test(Rule):
    """Comparisons of one item; all given parts must hold. A missing value passes nothing but `given: false`."""

    __test__ = False  # not a pytest class

    eq: Scalar | None = None
    ne: Scalar | None = None
    lt: float | None = None
    le: float | None = None
    gt: float | None = None
    ge: float | None = None
    is_in: tuple[Scalar, ...] | None = Field(default=None, alias="in")
    given: bool | None = None


Where = dict[str, Annotated[Test, BeforeValidator(_test)]]


class Condition(Rule):
    """Records of one form (in the named events, or in any) whose items pass `where`."""

    form: str
    events: tuple[str, ...] = ()
    where: Where = {}


def _source(value: Any) -> Any:
    """`FORM.item` is the short way to write {form: FORM, item: item}."""
    if isinstance(value, str):
        form, _, item = value.partition(".")
        return {"form": form, "item": item}
    return value


class Source(Condition):
    """An item of the records that pass the condition."""

    item: str = Field(min_length=1)


def _sources(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Sources = Annotated[tuple[Annotated[Source, BeforeValidator(_source)], ...], BeforeValidator(_sources)]


class EventRule(Rule):
    """A dated event: the earliest date of its sources."""

    code: str
    name: Text | None = None
    date: Sources = Field(min_length=1)


class Completion(Rule):
    """How partial dates are completed; the result says where this was used.

    A missing day becomes `day`; a missing month and day become `month`-`month_day`. The completed date is then
    moved up to `not_before` (time zero) when the known part allows it: an event in the month of T0 is not before T0.
    """

    day: int = Field(default=15, ge=1, le=28)
    month: int = Field(default=7, ge=1, le=12)
    month_day: int = Field(default=1, ge=1, le=28)
    not_before_start: bool = True


class Endpoint(Rule):
    code: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    version: str
    name: Text
    sentence: Text
    origin: Literal["protocol", "standard", "assumed"]
    note: Text | None = None
    completion: Completion = Completion()


class TimeToEvent(Endpoint):
    """Start to the first event; censored at the last adequate assessment. Months are days / 30.4375."""

    kind: Literal["time_to_event"]
    start: Sources = Field(min_length=1)
    events: tuple[EventRule, ...] = Field(min_length=1)
    competing: tuple[EventRule, ...] = ()
    censor: Sources = Field(min_length=1)
    censor_at: tuple[EventRule, ...] = ()  # follow-up ends here for the endpoint, e.g. new anticancer therapy
    landmark_day: int = 0  # subjects whose time ends before this day are not evaluable
    criterion: str = ""


class DurationEvent(Rule):
    code: str
    where: Where = Field(min_length=1)


class Duration(Endpoint):
    """A follow-up time as it was recorded, where the data hold durations and no dates."""

    kind: Literal["duration"]
    time: Annotated[Source, BeforeValidator(_source)]
    unit: Literal["days", "months"] = "days"
    events: tuple[DurationEvent, ...] = Field(min_length=1)
    competing: tuple[DurationEvent, ...] = ()


class Binary(Endpoint):
    """1, 0 or not evaluable, among the subjects of `population`."""

    kind: Literal["binary"]
    start: Sources = ()  # time zero, for the leak check
    population: tuple[Condition, ...] = ()
    positive: tuple[Condition, ...] = Field(min_length=1)
    negative: tuple[Condition, ...] = ()
    otherwise: Literal["negative", "not_evaluable"] = "not_evaluable"
    denominator: Text | None = None


class Assessments(Rule):
    """Where one response assessment is read. Sums in mm; `response` (as recorded) is used when a sum is missing."""

    form: str
    events: tuple[str, ...] = ()
    where: Where = {}
    date: str
    target_sum: str | None = None
    non_target: str | None = None
    new_lesion: str | None = None
    response: str | None = None

    @model_validator(mode="after")
    def _reads_something(self) -> Assessments:
        if not (self.target_sum or self.response):
            raise ValueError("assessments: name target_sum or response")
        return self


class Codes(Rule):
    """The code-list values that mean each thing."""

    non_target_complete: tuple[Scalar, ...] = ("CR", "NONE", "NA")
    non_target_progression: tuple[Scalar, ...] = ("PD",)
    new_lesion: tuple[Scalar, ...] = ("Y",)


class BestResponse(Endpoint):
    """Best overall response by target sums (mRECIST: viable diameters), until progression or `until`."""

    kind: Literal["best_response"]
    criterion: Literal["mRECIST", "RECIST 1.1"] = "mRECIST"
    start: Sources = Field(min_length=1)
    baseline_sum: Sources | None = None
    assessments: Assessments
    codes: Codes = Codes()
    progression_minimum_mm: float = Field(default=0, ge=0)  # RECIST 1.1's absolute rise; 0 = none
    window: tuple[int, int] | None = None  # days after start: response at a fixed visit instead of the best
    until: Sources = ()
    responders: tuple[Literal["CR", "PR", "SD", "PD"], ...] = ("CR", "PR")
    unassessed: Literal["not_evaluable", "non_responder"] = "not_evaluable"


class Measure(Rule):
    """A dated measurement of one or several forms, with what is abnormal. `date` defaults to the visit's own date."""

    item: str
    forms: tuple[str, ...] = Field(min_length=1)
    date: str | None = None
    where: Where = {}
    below: float | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _has_a_cut_off(self) -> Measure:
        if (self.below is None) == (self.above is None):
            raise ValueError(f"measure {self.item}: give below or above")
        return self


class Criterion(Rule):
    """Any of the measures abnormal, on `count` dates at least `apart_days` from each other, inside the window."""

    code: str
    name: Text | None = None
    any: tuple[Measure, ...] = Field(min_length=1)
    count: int = Field(default=1, ge=1)
    apart_days: int = Field(default=0, ge=0)


class Landmark(Endpoint):
    """A state in a window after the start: all criteria hold; earlier events decide first."""

    kind: Literal["landmark"]
    start: Sources = Field(min_length=1)
    window: tuple[int, int]
    criteria: tuple[Criterion, ...] = Field(min_length=1)
    events: tuple[EventRule, ...] = ()  # an intervention for the condition counts as the endpoint
    competing: tuple[EventRule, ...] = ()  # coded apart, never 0
    excluded: tuple[Condition, ...] = ()  # other causes of the same numbers

    @model_validator(mode="after")
    def _window_is_ordered(self) -> Landmark:
        if self.window[0] > self.window[1]:
            raise ValueError("window: first day is after the last")
        return self


class Change(Endpoint):
    """A measurement in a window after the start against its baseline."""

    kind: Literal["change"]
    start: Sources = Field(min_length=1)
    window: tuple[int, int]
    target_day: int
    baseline: Sources = Field(min_length=1)
    measure: Annotated[Source, BeforeValidator(_source)]
    date: str | None = None
    unit: str = ""


AnyEndpoint = Annotated[TimeToEvent | Duration | Binary | BestResponse | Landmark | Change, Field(discriminator="kind")]


class EndpointSet(Rule):
    """The endpoints of one study; codes are unique."""

    endpoints: tuple[AnyEndpoint, ...]

    @model_validator(mode="after")
    def _codes_are_unique(self) -> EndpointSet:
        codes = [endpoint.code for endpoint in self.endpoints]
        for code in codes:
            if codes.count(code) > 1:
                raise ValueError(f"endpoint {code} is defined twice")
        return self

    def __getitem__(self, code: str) -> AnyEndpoint:
        for endpoint in self.endpoints:
            if endpoint.code == code:
                return endpoint
        raise KeyError(code)
