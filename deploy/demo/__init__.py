"""The synthetic cohort of `manage.py demo`: values, phantoms and DICOM, and the acts that enter them."""
