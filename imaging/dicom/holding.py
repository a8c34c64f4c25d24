"""Which objects wait for a person: those that may show text in their pixels, and those that are no image at all."""

from pydicom import Dataset
from pydicom.uid import UID

from imaging.dicom.reasons import Reason, reason

# Modalities whose machines write text into the picture (PS3.15 E.3.1 Clean Pixel Data).
DRAWN_ON = frozenset({"US", "IVUS", "ES", "XC", "SC", "OT", "XA", "RF", "DG", "GM", "SM", "ECG", "EPS", "HC", "AU"})
DRAWN_ON_CLASSES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.77")
DOCUMENT_CLASSES = ("1.2.840.10008.5.1.4.1.1.104", "1.2.840.10008.5.1.4.1.1.88")
SCREENSHOT = ("SCREEN", "CAPTURE", "REPORT", "SNAPSHOT")


def reason_to_hold(dataset: Dataset) -> Reason | None:
    """Why `dataset` must not enter the study unseen, or None. The reason is stored: it quotes only words known here."""
    uid = UID(dataset.SOPClassUID)
    if _is_in(uid, DOCUMENT_CLASSES) or "EncapsulatedDocument" in dataset:
        return reason("document", name=_name(uid))
    if "PixelData" not in dataset:
        return reason("no_image", name=_name(uid))
    if str(dataset.get("RecognizableVisualFeatures") or "").upper() == "YES":
        return reason("recognisable_face")
    why = _burned_in(dataset, uid)
    return reason("burned_in", why=why) if why else None


def _burned_in(dataset: Dataset, uid: UID) -> str:
    said = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if said and said != "NO":
        return "BurnedInAnnotation"
    kinds = " ".join(str(part).upper() for part in _many(dataset.get("ImageType")))
    if found := next((word for word in SCREENSHOT if word in kinds), ""):
        return f"ImageType={found}"
    if said == "NO":
        return ""
    if _is_in(uid, DRAWN_ON_CLASSES):
        return _name(uid)
    return f"Modality={dataset.get('Modality')}" if dataset.get("Modality") in DRAWN_ON else ""


def _name(uid: UID) -> str:
    """The standard's name of the class; an unknown UID is its own name, and may hold a number of somebody."""
    return uid.name if uid.name != uid else "SOP class"


def _is_in(uid: str, roots: tuple[str, ...]) -> bool:
    return any(uid == root or uid.startswith(f"{root}.") for root in roots)


def _many(value: object) -> list[object]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
