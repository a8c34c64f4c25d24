"""Clean Descriptors Option: a description keeps only words that an imaging vocabulary knows.

An allow-list, because names cannot be recognised, only known words can.
"""

import re

WORDS = frozenset(
    """
    abd abdomen abdominal liver hepatic biliary spleen splenic kidney renal pancreas pelvis pelvic chest thorax lung head
    brain breast heart cardiac neck spine spinal body whole upper lower left right both bilateral
    mr mri ct cta ctv mra mrv mrcp pet dce dwi dti adc edwi swi flair stir tse fse ssfse haste rare se ge gre fgre spgr
    fspgr fl2d fl3d flash vibe lava thrive fame tfe ffe bffe true truefisp fisp fiesta ssfp epi ep2d space cube vista
    mprage bravo propeller blade dixon mdixon ideal idealiq idea quant inphase outphase opposed in out phase opp ip op inopp
    t1 t1w t2 t2w t2star pd pdw wi weighted map fs fatsat sat spair spir wats nofs fat water sup suppressed ir ti te tr
    ax axial tra trans transverse transversal sag sagittal cor coronal obl oblique loc localizer localiser scout survey
    3pl plane topogram smart prep monitoring bolus test track care
    pre post plain nc unenhanced noncontrast non contrast enhanced enhancement ce cect cemr dyn dynamic multi multiphase
    multiphasic art arterial ap ha hap early late portal pv pvp venous vein ven delayed delay dp equilibrium eq hbp
    hepatobiliary transitional tp gd gadolinium primovist eovist gadoxetate eob multihance omni c+ c- with without
    bh breathhold breath hold free resp respiratory triggered trig rt rtr nav navigator gated mbh fb
    b0 b50 b100 b150 b200 b300 b400 b500 b600 b700 b750 b800 b900 b1000 b1200 b1500 b2000 tracew trace calc exp
    recon reformat mpr mip minip thick thin slice slices std standard soft bone kernel stnd sub subtraction color
    min sec mm 2d 3d 4d fast turbo high hi res resolution small large fov asset sense grappa caipi iso volume vol
    acc accelerated prot protocol study series scan image images acquisition first second third wip dis2d dis3d nd
    平扫 增强 动脉期 动脉早期 动脉晚期 门脉期 门静脉期 静脉期 延迟期 延迟 平衡期 肝胆期 移行期 轴位 横断 矢状 冠状 上腹部 腹部
    肝脏 脾脏 肝 脾 定位像 弥散 扩散
    """.split()
)
TOKEN = re.compile(r"[A-Za-z]+\d*[A-Za-z]?|\d+(?:\.\d+)?|[\u4e00-\u9fff]+|[+\-]")
NUMBER = re.compile(r"\d{1,3}(\.\d+)?\Z")
LONGEST_CHINESE = 4


def clean_text(text: str) -> str:
    """The known words of `text`, in order, and numbers that stand beside one (b-values, delays, slice thickness)."""
    kept: list[str] = []
    for token in TOKEN.findall(text):
        if "\u4e00" <= token[0] <= "\u9fff":
            kept.extend(_chinese_words(token))
        elif token.lower() in WORDS or (kept and NUMBER.match(token)):
            kept.append(token)
    return " ".join(kept)[:64]


def _chinese_words(run: str) -> list[str]:
    """Known words in a run of Chinese characters, the longest first."""
    found, start = [], 0
    while start < len(run):
        for length in range(LONGEST_CHINESE, 0, -1):
            if run[start : start + length] in WORDS:
                found.append(run[start : start + length])
                start += length - 1
                break
        start += 1
    return found
