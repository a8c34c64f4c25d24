"""Every reason why a file or a mask is not taken, in both languages, with the remedy."""

from dataclasses import dataclass
from typing import Any

REASONS: dict[str, tuple[str, str]] = {
    # refused: the file is not stored
    "too_large": (
        "文件 {size} 字节，超过上限 {limit} 字节；请分开导出后再上传。",
        "The file has {size} bytes, more than the limit of {limit}; export it in parts.",
    ),
    "empty": ("文件为空；请重新导出。", "The file is empty; export it again."),
    "not_dicom": (
        "不是 DICOM 文件：128 字节前导后没有 DICM 标记；请从 PACS 导出 DICOM 格式。",
        "Not a DICOM file: no DICM after the 128-byte preamble; export DICOM from the PACS.",
    ),
    "truncated": (
        "文件不完整：第 {offset} 字节处的元素 {tag} 超出文件末尾；请重新导出。",
        "The file is cut short: element {tag} at byte {offset} runs past the end; export it again.",
    ),
    "too_deep": (
        "序列嵌套超过 {limit} 层；此文件可能已损坏。",
        "Sequences are nested more than {limit} deep; the file is probably damaged.",
    ),
    "too_many_elements": (
        "数据元素超过 {limit} 个；此文件可能已损坏。",
        "More than {limit} data elements; the file is probably damaged.",
    ),
    "inflates_too_large": (
        "压缩内容解开后超过 {limit} 字节；已拒收。",
        "The compressed content inflates to more than {limit} bytes.",
    ),
    "unreadable": (
        "无法解析此 DICOM 文件（{error}）；请重新导出。",
        "This DICOM file cannot be parsed ({error}); export it again.",
    ),
    "missing_attribute": (
        "缺少必需的属性 {keyword}；请重新导出。",
        "The required attribute {keyword} is missing; export it again.",
    ),
    "invalid_uid": (
        "{keyword} 不是有效的 UID；此文件可能被改动过。",
        "{keyword} is not a valid UID; the file may have been altered.",
    ),
    "unknown_transfer_syntax": (
        "传输语法 {uid} 未知；请以标准格式重新导出。",
        "Transfer syntax {uid} is unknown; export in a standard one.",
    ),
    "pixel_length": (
        "像素数据 {found} 字节，与图像尺寸所需的 {expected} 字节不符；请重新导出。",
        "The pixel data have {found} bytes, but the image's dimensions need {expected}; export it again.",
    ),
    "not_encapsulated": (
        "传输语法 {uid} 为压缩格式，但像素数据未封装；请重新导出。",
        "Transfer syntax {uid} is compressed, but the pixel data are not encapsulated; export it again.",
    ),
    "unwritable": (
        "去标识化后的文件无法写出（{error}）；请重新导出。",
        "The de-identified file cannot be written ({error}); export it again.",
    ),
    "directory": (
        "DICOMDIR 目录文件不含图像；其余文件照常接收。",
        "A DICOMDIR holds no image; the other files are taken as usual.",
    ),
    "archive_path": (
        "压缩包内的路径不安全；请重新打包。",
        "The path inside the archive is unsafe; pack it again.",
    ),
    "archive_bomb": (
        "压缩包解开后过大或压缩比异常（上限 {limit} 字节）；请分批上传。",
        "The archive inflates too far (limit {limit} bytes); upload in parts.",
    ),
    "archive_unreadable": (
        "压缩包无法读取（{error}）；请重新打包，且不要加密。",
        "The archive cannot be read ({error}); pack it again, without a password.",
    ),
    # quarantined: kept encrypted, never shown
    "burned_in": (
        "图像可能带有烧录的患者信息（{why}）；已隔离，等待人工检查。",
        "The image may show identifying text ({why}); held for a person to check.",
    ),
    "recognisable_face": (
        "图像标明可辨认面部；已隔离，等待人工检查。",
        "The image is marked as showing recognisable features; held for a person to check.",
    ),
    "document": (
        "{name} 是报告或文档，不是图像；已隔离。",
        "{name} is a report or document, not an image; held.",
    ),
    "no_image": (
        "{name} 不含图像；已隔离。",
        "{name} holds no image; held.",
    ),
    "identifier_remains": (
        "去标识化后仍可见已知的标识信息（{keywords}）；已隔离。",
        "A known identifier is still visible after de-identification ({keywords}); held.",
    ),
    "uid_conflict": (
        "同一 SOPInstanceUID 已有内容不同的文件；已隔离，原文件保持不变。",
        "Another file with this SOPInstanceUID and other content is already stored; held, the first one stays.",
    ),
    "other_subject": (
        "该检查或其 PatientID 属于受试者 {number}，不是所选受试者；未接收。",
        "The examination or its PatientID belongs to subject {number}, not to the one chosen; not taken.",
    ),
    "other_site": (
        "该检查已由另一中心上传；已隔离，等待人工核对。",
        "This examination was already received from another site; held for a person to check.",
    ),
    # masks
    "mask_format": (
        "无法识别的分割文件（{error}）；请上传 NIfTI（.nii、.nii.gz）、NRRD 或 DICOM SEG。",
        "The mask file is not understood ({error}); upload NIfTI (.nii, .nii.gz), NRRD or DICOM SEG.",
    ),
    "mask_empty": (
        "分割为空：没有任何体素；请检查导出的标签。",
        "The mask is empty: no voxel is set; check which label was exported.",
    ),
    "mask_labels": (
        "分割含有多个标签（{labels}）；请只导出一个感兴趣区，或指明标签。",
        "The mask holds several labels ({labels}); export one region only, or name the label.",
    ),
    "mask_label_absent": (
        "分割中没有标签 {label}；现有标签：{labels}。",
        "The mask has no label {label}; it has {labels}.",
    ),
    "mask_spacing": (
        "分割的体素间距 {found} mm 与序列的 {expected} mm 不符；请在该序列上重新勾画或导出。",
        "The mask's voxel spacing {found} mm differs from the series' {expected} mm; draw or export it on this series.",
    ),
    "mask_rotated": (
        "分割的方向与序列不一致（翻转或旋转后无法对齐）；请检查导出时的方向信息。",
        "The mask is oriented differently from the series and off its grid; check the exported orientation.",
    ),
    "mask_matrix": (
        "分割的矩阵 {found} 与序列的 {expected} 不符；请在该序列上导出。",
        "The mask's matrix {found} differs from the series' {expected}; export it on this series.",
    ),
    "mask_shifted": (
        "分割相对序列偏移 {shift} mm，不落在体素网格上；请检查原点信息。",
        "The mask is shifted by {shift} mm against the series and off its voxel grid; check the exported origin.",
    ),
    "mask_outside": (
        "分割有 {voxels} 个体素位于序列之外（翻转、移位或选错序列）；请核对所选序列。",
        "{voxels} voxels of the mask lie outside the series (flipped, shifted or another series); check the series.",
    ),
    "mask_other_series": (
        "该 DICOM SEG 引用的是另一序列；请在对应序列的页面上传。",
        "This DICOM SEG refers to another series; upload it on that series' page.",
    ),
    # volumes
    "no_position": (
        "{count} 帧缺少 ImagePositionPatient，无法确定层面位置；请导出原始图像。",
        "{count} frames lack ImagePositionPatient, so their place is unknown; export the original images.",
    ),
    "bad_orientation": (
        "{count} 帧的 ImageOrientationPatient 无效（两向量须正交且为单位长度）。",
        "{count} frames have an invalid ImageOrientationPatient (two orthogonal unit vectors are needed).",
    ),
    "zero_spacing": (
        "{count} 帧的 PixelSpacing 缺失或不大于零；无法计算体积。",
        "{count} frames have no PixelSpacing above zero; volumes cannot be computed.",
    ),
    "colour": ("{count} 帧为彩色图像，不能组成体数据。", "{count} frames are in colour and form no volume."),
    "missing_slices": (
        "层间距不等：缺少约 {count} 层（间距 {gap} mm）；请补传缺失的层面。",
        "Slices are missing: about {count} at a spacing of {gap} mm; upload the missing ones.",
    ),
    "sparse": (
        "层间距 {gap} mm 远大于层厚 {thickness} mm；请补传缺失的层面。",
        "Slices lie {gap} mm apart but are {thickness} mm thick; upload the missing ones.",
    ),
    "unequal_gaps": (
        "层间距不等（{low}–{high} mm）。",
        "The gaps between slices are unequal ({low}-{high} mm).",
    ),
    "sheared": (
        "层面沿床方向倾斜（机架倾角），体数据非直角；请使用未倾斜的重建。",
        "The stack is sheared (gantry tilt), so it is no rectangular volume; use an untilted reconstruction.",
    ),
    "duplicate_positions": (
        "{count} 个层面位置重复，且没有可区分的属性；按采集顺序分组。",
        "{count} slice positions are repeated with nothing to tell them apart; split by order.",
    ),
    "single_slice": (
        "只有一层；层厚取自 SliceThickness。",
        "There is one slice only; its thickness is SliceThickness.",
    ),
    "unreadable_pixels": (
        "像素无法解码（{error}）；请以未压缩格式导出。",
        "The pixels cannot be decoded ({error}); export them uncompressed.",
    ),
    "not_a_volume": ("此序列不是体数据。", "This series is no volume."),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a stable code and the sentence in both languages."""

    code: str
    zh: str
    en: str

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "zh": self.zh, "en": self.en}


def reason(code: str, **values: Any) -> Reason:
    zh, en = REASONS[code]
    return Reason(code, zh.format(**values), en.format(**values))


class Refused(Exception):
    """A file, mask or volume that cannot be taken; `.reason` says why and what to do."""

    def __init__(self, code: str, **values: Any) -> None:
        self.reason = reason(code, **values)
        super().__init__(f"{self.reason.zh} {self.reason.en}")

    @classmethod
    def because(cls, why: Reason) -> "Refused":
        """The exception for a reason that was found earlier."""
        refused = cls("not_a_volume")
        refused.reason = why
        refused.args = (f"{why.zh} {why.en}",)
        return refused

    @property
    def code(self) -> str:
        return self.reason.code

    @property
    def zh(self) -> str:
        return self.reason.zh

    @property
    def en(self) -> str:
        return self.reason.en
