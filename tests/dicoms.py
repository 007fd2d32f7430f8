"""DICOM files, as small as they may be."""

from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest


def dicom(path: Path, pixels: npt.NDArray[Any], photometric: str = "MONOCHROME2", **fields: Any) -> Path:
    """A DICOM file of pixels (height, width), with further fields by their names."""
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.SOPInstanceUID = "1.2.3"
    dataset.set_pixel_data(pixels, photometric, bits_stored=pixels.itemsize * 8)
    for name, value in fields.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path
