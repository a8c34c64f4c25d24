"""DICOM without Django: guard, de-identify, sort into volumes, classify, read segmentations."""
