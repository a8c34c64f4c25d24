"""Other systems' formats as study definitions and back, with no Django: `loss.py` says what could not come along."""
