"""Name the sequence or phase of a volume from tags and times, and say why; the description counts last.

Kinds: T1 (also before contrast) T2 DWI ADC AP PVP DP HBP for MR, NC (non-contrast) AP PVP DP for CT, the codes of the
studies' definitions; MR or CT where the tags do not say.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

KINDS = ("T1", "T2", "DWI", "ADC", "NC", "AP", "PVP", "DP", "HBP", "CT", "MR", "OTHER")
BEFORE = {"MR": "T1", "CT": "NC"}  # what the phase before contrast is called
PHASE_CODES = frozenset({"PRE", "AP", "PVP", "DP", "HBP"})
# Seconds after the start of injection (LI-RADS v2018; hepatobiliary phase with gadoxetate after 10 min and more).
PHASES = ((0, 14, "PRE"), (14, 46, "AP"), (46, 111, "PVP"), (111, 600, "DP"), (600, 7200, "HBP"))
HEPATOBILIARY = ("primovist", "eovist", "gadoxet", "eob", "multihance")
# In a dynamic series without an injection time: the first volume is before contrast, the rest by seconds after it.
BY_ORDER = {2: ("PRE", "PVP"), 3: ("PRE", "AP", "PVP"), 4: ("PRE", "AP", "PVP", "DP")}
WORDS = (
    ("ADC", r"\b(e?adc|apparent)\b"),
    ("DWI", r"\b(dwi|swi|diffusion|b\d{2,4}|弥散|扩散)\b|弥散|扩散"),
    ("HBP", r"\b(hbp|hepatobiliary)\b|肝胆期"),
    ("AP", r"\b(ap|art|arterial|ha|hap)\b|动脉"),
    ("PVP", r"\b(pvp|pv|portal|venous|vein)\b|门脉|门静脉|静脉期"),
    ("DP", r"\b(dp|delayed?|equilibrium|late)\b|延迟|平衡"),
    ("PRE", r"\b(pre|plain|unenhanced|noncontrast|nc)\b|平扫"),
    ("T2", r"\bt2w?\b|\b(haste|ssfse)\b"),
    ("T1", r"\bt1w?\b|\b(vibe|lava|thrive|inphase|outphase|opposed|dixon|mdixon)\b"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """What a volume is, how sure (0-1) and why, in both languages."""

    code: str
    confidence: float
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Series:
    """What is known of one volume; `keys` are those of its first frame, `split` what sets it apart in its series."""

    modality: str
    acquisition: dict[str, Any]
    description: str
    keys: dict[str, Any]
    split: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, ...] = ()

    @property
    def time(self) -> float | None:
        """When the volume was acquired, seconds since midnight; content time where several phases share one series."""
        names = ("trigger", "content", "acquired") if self.split else ("acquired", "content")
        return next((self.keys[name] for name in names if self.keys.get(name) is not None), None)


@dataclass(frozen=True, slots=True)
class Run:
    """Volumes of one protocol acquired one after the other: their times in seconds, and which of them this one is."""

    times: tuple[float, ...] = ()
    turn: int = 0


def classify_study(volumes: Sequence[Series]) -> list[Kind]:
    """Kinds of all volumes of one examination, in the order given: phases need their neighbours."""
    runs: dict[tuple[Any, ...], list[tuple[float, int]]] = defaultdict(list)
    for index, volume in enumerate(volumes):
        if volume.time is not None and not set(volume.split) & {"b", "gradient", "te", "type"}:
            runs[_protocol(volume)].append((volume.time, index))
    of_volume: dict[int, Run] = {}
    for members in runs.values():
        ordered = sorted(members)
        times = tuple(time for time, _ in ordered)
        if len(set(times)) == len(times) > 1:
            of_volume |= {index: Run(times, turn) for turn, (_, index) in enumerate(ordered)}
    return [classify(volume, of_volume.get(index, Run())) for index, volume in enumerate(volumes)]


def _protocol(volume: Series) -> tuple[Any, ...]:
    acquisition = volume.acquisition
    return (volume.modality, volume.size, *(acquisition.get(name) for name in ("te", "tr", "ti", "flip", "thickness")))


def classify(series: Series, run: Run | None = None) -> Kind:
    """The kind of a volume: tags, then times, then the description, then the order in its run."""
    if series.modality not in ("MR", "CT"):
        return Kind("OTHER", 1.0, f"模态为 {series.modality}", f"the modality is {series.modality}")
    kind = _kind(series, run or Run())
    return replace(kind, code=BEFORE[series.modality]) if kind.code == "PRE" else kind


def _kind(series: Series, run: Run) -> Kind:
    found = (
        ((_derived(series) or _diffusion(series)) if series.modality == "MR" else None)
        or _phase_by_time(series)
        or _phase_by_order(series, run)
    )
    if found:
        return found
    found = _weighting(series) if series.modality == "MR" else _without_contrast(series)
    return (
        found
        or _words(series)
        or Kind(series.modality, 0.2, "标签不足以判断序列或期相", "the tags do not tell the sequence or phase")
    )


def _derived(series: Series) -> Kind | None:
    kinds = f"{series.keys.get('type', '')}\\{series.acquisition.get('image_type', '')}".upper()
    if re.search(r"\bE?ADC\b|APPARENT", kinds):
        return Kind("ADC", 0.95, "ImageType 含 ADC", "ImageType names ADC")
    return None


def _diffusion(series: Series) -> Kind | None:
    b = series.keys.get("b")
    kinds = f"{series.keys.get('type', '')}\\{series.acquisition.get('image_type', '')}".upper()
    # Some vendors write b = 0 into every MR image.
    weighted = "EP" in str(series.acquisition.get("sequence", "")) or "b" in series.split or "gradient" in series.split
    if b is not None and (b > 0 or weighted):
        return Kind("DWI", 0.95, f"b 值 {b:g} s/mm²", f"b-value {b:g} s/mm²")
    if "DIFFUSION" in kinds:
        return Kind("DWI", 0.9, "ImageType 含 DIFFUSION", "ImageType names DIFFUSION")
    return None


def _phase_by_time(series: Series) -> Kind | None:
    start, time = series.acquisition.get("contrast_start"), series.time
    if start is None or time is None or not _may_be_enhanced(series):
        return None
    delay = time - start
    if not -3600 < delay < 7200:
        return None  # the times are of different days or devices
    return _by_delay(series, delay, 0.9, ("注射开始后", "after the injection began"))


def _phase_by_order(series: Series, run: Run) -> Kind | None:
    """Dynamic runs without an injection time; a description that names the phase is believed before the order."""
    if len(run.times) < 2 or not _may_be_enhanced(series):
        return None
    if series.modality == "CT" and not series.acquisition.get("agent"):
        return None
    said = _words(series)
    if said and said.code in PHASE_CODES:
        return said
    count, turn = len(run.times), run.turn
    if turn and count not in BY_ORDER:
        return _by_delay(series, run.times[turn] - run.times[0], 0.5, ("首个时相之后", "after the first volume"))
    code = BY_ORDER[count][turn] if turn else "PRE"
    return Kind(
        code, 0.6, f"{count} 个相继采集的时相中的第 {turn + 1} 个", f"number {turn + 1} of {count} in a dynamic run"
    )


def _may_be_enhanced(series: Series) -> bool:
    return series.modality == "CT" or _is_t1(series)


def _without_contrast(series: Series) -> Kind | None:
    if series.acquisition.get("agent"):
        return None
    return _words(series) or Kind("PRE", 0.4, "未记录对比剂", "no contrast agent is recorded")


def _by_delay(series: Series, delay: float, confidence: float, since: tuple[str, str]) -> Kind:
    code = next((code for low, high, code in PHASES if low <= delay < high), "PRE" if delay < 0 else "DP")
    agent = str(series.acquisition.get("agent", "")).lower()
    if code == "HBP" and not any(name in agent for name in HEPATOBILIARY):
        code = "DP"
    return Kind(code, confidence, f"{since[0]} {delay:.0f} 秒", f"{delay:.0f} s {since[1]}")


def _weighting(series: Series) -> Kind | None:
    te, tr = series.acquisition.get("te"), series.acquisition.get("tr")
    if te is not None and te >= 60 and (tr is None or tr >= 1000):
        return Kind("T2", 0.85, f"TE {te:g} ms，TR {tr or 0:g} ms", f"TE {te:g} ms, TR {tr or 0:g} ms")
    if not _is_t1(series):
        return None
    said = _words(series)
    if said and said.code in PHASE_CODES:
        return said
    return Kind("T1", 0.75, f"TE {te:g} ms，TR {tr:g} ms", f"TE {te:g} ms, TR {tr:g} ms")


def _is_t1(series: Series) -> bool:
    """Short TE and short TR: gradient echo below 10/400 ms, spin echo below 30/1000 ms; inversion keeps it T1."""
    te, tr = series.acquisition.get("te"), series.acquisition.get("tr")
    if te is None or tr is None or (series.keys.get("b") or 0) > 0:
        return False
    gradient = "GR" in str(series.acquisition.get("sequence", "")) or tr < 20
    return bool(te < 10 and tr < 400) if gradient else bool(te < 30 and tr < 1000)


def _words(series: Series) -> Kind | None:
    text = series.description.lower()
    for code, pattern in WORDS:
        if series.modality == "CT" and code in ("ADC", "DWI", "T1", "T2", "HBP"):
            continue
        if found := re.search(pattern, text):
            return Kind(code, 0.5, f"序列描述含“{found[0]}”", f"the description says {found[0]!r}")
    return None
