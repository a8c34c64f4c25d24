"""A synthetic study in ODM, as large as one likes: labelled as such in its title, and like nobody's."""

from __future__ import annotations


def odm_of(items: int, *, per_form: int = 100, per_group: int = 20) -> bytes:
    """ODM 1.3.2 with `items` items of every kind, code lists, limits, skip logic and calculations. Synthetic."""
    forms = -(-items // per_form)
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" ODMVersion="1.3.2" FileType="Snapshot" FileOID="SYNTHETIC"'
        ' CreationDateTime="2026-01-01T00:00:00+00:00">',
        '<Study OID="SYNTHETIC"><GlobalVariables><StudyName>Synthetic study</StudyName>'
        "<StudyDescription>Made by a program for a test.</StudyDescription><ProtocolName>SYN</ProtocolName>"
        '</GlobalVariables><MetaDataVersion OID="MDV.1" Name="1"><Protocol>'
        '<StudyEventRef StudyEventOID="SE.D0" OrderNumber="1" Mandatory="Yes"/></Protocol>',
        '<StudyEventDef OID="SE.D0" Name="Day 0" Repeating="No" Type="Scheduled">',
    ]
    out += [f'<FormRef FormOID="F.{form}" OrderNumber="{form + 1}" Mandatory="Yes"/>' for form in range(forms)]
    out.append("</StudyEventDef>")
    groups = per_form // per_group
    for form in range(forms):
        refs = "".join(f'<ItemGroupRef ItemGroupOID="IG.{form}.{group}" Mandatory="Yes"/>' for group in range(groups))
        out.append(f'<FormDef OID="F.{form}" Name="Form {form}" Repeating="No">{refs}</FormDef>')
    numbers = [(form, group, place) for form in range(forms) for group in range(groups) for place in range(per_group)]
    rows: dict[tuple[int, int], list[str]] = {}
    for form, group, place in numbers[:items]:
        oid = f"I.{form}.{group}.{place}"
        condition = f' CollectionExceptionConditionOID="C.{form}.{group}"' if place > 15 else ""
        method = f' MethodOID="M.{form}.{group}"' if place == 3 else ""
        rows.setdefault((form, group), []).append(f'<ItemRef ItemOID="{oid}" Mandatory="No"{condition}{method}/>')
    for (form, group), refs in rows.items():
        repeating = "Yes" if group == groups - 1 else "No"
        out.append(f'<ItemGroupDef OID="IG.{form}.{group}" Name="Group {group}" Repeating="{repeating}">')
        out += [*refs, "</ItemGroupDef>"]
    out += [_item(form, group, place) for form, group, place in numbers[:items]]
    codes = "".join(
        f'<CodeListItem CodedValue="{code}"><Decode><TranslatedText xml:lang="en">Choice {code}</TranslatedText>'
        "</Decode></CodeListItem>"
        for code in range(8)
    )
    out.append(f'<CodeList OID="CL.8" Name="Eight" DataType="integer">{codes}</CodeList>')
    for form, group in rows:
        said = '<Description><TranslatedText xml:lang="en">x</TranslatedText></Description>'
        out.append(
            f'<ConditionDef OID="C.{form}.{group}" Name="c">{said}<FormalExpression Context="XPath">'
            f"../ItemData[@ItemOID='I.{form}.{group}.0'][@Value='0']</FormalExpression></ConditionDef>"
        )
    for form, group in rows:
        said = '<Description><TranslatedText xml:lang="en">x</TranslatedText></Description>'
        out.append(
            f'<MethodDef OID="M.{form}.{group}" Name="m" Type="Computation">{said}<FormalExpression Context="OpenEDC">'
            f"I.{form}.{group}.1 + I.{form}.{group}.2</FormalExpression></MethodDef>"
        )
    out.append("</MetaDataVersion></Study></ODM>")
    return "\n".join(out).encode()


def _item(form: int, group: int, place: int) -> str:
    kind = ("integer", "float", "float", "float", "text", "date", "time", "boolean")[place % 8]
    inner = f'<Question><TranslatedText xml:lang="en">Question {form}.{group}.{place}</TranslatedText></Question>'
    if place == 0:
        inner += '<CodeListRef CodeListOID="CL.8"/>'
    elif kind == "float":
        inner += '<RangeCheck Comparator="GE" SoftHard="Hard"><CheckValue>0</CheckValue></RangeCheck>'
        inner += '<RangeCheck Comparator="LT" SoftHard="Soft"><CheckValue>500</CheckValue></RangeCheck>'
    return (
        f'<ItemDef OID="I.{form}.{group}.{place}" Name="i_{form}_{group}_{place}" DataType="{kind}">{inner}</ItemDef>'
    )
