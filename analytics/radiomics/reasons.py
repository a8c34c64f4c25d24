"""Why a region, or one of its features, has no value; each reason says what to do about it."""

REASONS: dict[str, dict[str, str]] = {
    "not_three_dimensional": {
        "zh": "图像必须是三维单通道体数据，实际为 {found}；请先拆分时相或通道",
        "en": "the image must be one 3-D volume of single values, not {found}; split phases or channels first",
    },
    "mask_not_three_dimensional": {
        "zh": "掩膜必须是三维单通道体数据，实际为 {found}；请导出单个标签图",
        "en": "the mask must be one three-dimensional label map, not {found}; export a single label map",
    },
    "size_differs": {
        "zh": "掩膜大小 {mask} 与图像大小 {image} 不一致；请在该序列上重新勾画或重采样掩膜",
        "en": "the mask is {mask} voxels, the image {image}; segment on this series or resample the mask to it",
    },
    "geometry_differs": {
        "zh": "掩膜与图像的空间位置最多相差 {distance} mm（允许 {allowed} mm）；请在该序列上重新勾画或重采样掩膜",
        "en": "mask and image lie up to {distance} mm apart ({allowed} mm allowed); segment on this series or resample",
    },
    "empty_mask": {
        "zh": "掩膜为空，没有勾画任何体素；请检查导出的文件",
        "en": "nothing is segmented in the mask; check the exported file",
    },
    "label_missing": {
        "zh": "掩膜中没有标签 {label}，现有标签：{found}",
        "en": "the mask has no label {label}; it has {found}",
    },
    "too_few_voxels": {
        "zh": "感兴趣区只有 {voxels} 个体素，至少需要 {least} 个",
        "en": "the region has {voxels} voxel(s); at least {least} are needed",
    },
    "too_flat": {
        "zh": "感兴趣区只在 {extent} 个方向上多于一层体素，至少需要 {least} 个方向",
        "en": "the region is thicker than one voxel in {extent} direction(s); at least {least} are needed",
    },
    "not_finite": {
        "zh": "图像含有 {count} 个非有限值（NaN 或无穷大）体素；请修复后重新上传",
        "en": "the image has {count} voxel(s) that are NaN or infinite; repair it and upload it again",
    },
    "constant_image": {
        "zh": "整幅图像只有一个灰度值 {value}，不含可测量的信息；请检查导出",
        "en": "every voxel of the image is {value}: there is nothing to measure; check the export",
    },
    "resegmented_away": {
        "zh": "按灰度范围重新分割后只剩 {voxels} 个体素，至少需要 {least} 个；请检查参数 resegment",
        "en": "only {voxels} voxel(s) remain in the intensity range, {least} are needed; check the parameter resegment",
    },
    # Reasons of single features
    "one_grey_level": {
        "zh": "感兴趣区内灰度恒定，强度与纹理特征无定义",
        "en": "the intensity is constant within the region: intensity and texture features are undefined",
    },
    "too_many_grey_levels": {
        "zh": "离散化后灰度级过多；请增大 bin_width 或改用 bin_count",
        "en": "too many grey levels after discretisation; raise bin_width or use bin_count",
    },
    "image_too_small_for_filter": {
        "zh": "图像太小，无法应用该滤波器",
        "en": "the image is too small for this filter",
    },
    "not_computable": {
        "zh": "PyRadiomics 对该感兴趣区未给出有限值",
        "en": "PyRadiomics gives no finite value for this region",
    },
}


def describe(code: str, language: str = "en", **facts: object) -> str:
    """The sentence for a reason's code, in "zh" or "en"."""
    return REASONS[code]["zh" if language.startswith("zh") else "en"].format(**facts)


class NotExtractable(ValueError):
    """This image and mask give no features; `zh` and `en` say why and what to do."""

    def __init__(self, code: str, **facts: object):
        self.code, self.facts = code, facts
        self.zh, self.en = describe(code, "zh", **facts), describe(code, "en", **facts)
        super().__init__(self.en)
