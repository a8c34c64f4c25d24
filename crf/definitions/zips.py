"""What Python's zipfile raises for an archive that is damaged, encrypted or made to mislead."""

import struct
import zipfile
import zlib

BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OverflowError,
    RuntimeError,  # encrypted; NotImplementedError: a version or method that zipfile doesn't know
    ValueError,  # an offset before the file
    OSError,
)
