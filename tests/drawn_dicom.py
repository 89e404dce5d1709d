"""Small drawn slides as DICOM whole-slide images: a series with a file for each level, as scanners write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage, generate_uid

_TILE = 256


def write_series(
    folder: Path,
    pixels: NDArray[np.uint8],
    *,
    series: str,
    downsamples: tuple[int, ...] = (1, 4),
    patient: str = "Roe^Jane",
) -> list[Path]:
    """Write a slide at 0.25 micrometres a pixel, one file a level, TILED_FULL, JPEG baseline.

    Args:
        folder: gets `<series>-<number>.dcm`.
        pixels: level 0, height x width x 3, RGB.
        series: what the series' UID is made from.
        downsamples: of the levels.
        patient: name and number, as a hospital writes them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, downsample in enumerate(downsamples):
        level = np.asarray(Image.fromarray(pixels).reduce(downsample)) if downsample > 1 else pixels
        paths.append(folder / f"{series}-{number}.dcm")
        _level(level, number, downsample, series, patient).save_as(paths[-1], enforce_file_format=True)
    return paths


def _level(pixels: NDArray[np.uint8], number: int, downsample: int, series: str, patient: str) -> Dataset:
    height, width = pixels.shape[:2]
    frames = [
        _jpeg(pixels[y : y + _TILE, x : x + _TILE]) for y in range(0, height, _TILE) for x in range(0, width, _TILE)
    ]
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(number)])
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = generate_uid(entropy_srcs=[series, "study"])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=[series])
    image.PatientName, image.PatientID, image.AccessionNumber = patient, f"MRN-{patient}", f"ACC-{patient}"
    image.ImageType = (
        ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"] if number == 0 else ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    )
    image.Modality, image.DimensionOrganizationType = "SM", "TILED_FULL"
    image.Rows = image.Columns = _TILE
    image.TotalPixelMatrixRows, image.TotalPixelMatrixColumns, image.TotalPixelMatrixFocalPlanes = height, width, 1
    image.NumberOfFrames, image.NumberOfOpticalPaths = len(frames), 1
    image.SamplesPerPixel, image.PlanarConfiguration, image.PixelRepresentation = 3, 0, 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.PhotometricInterpretation = "YBR_FULL_422"
    image.SharedFunctionalGroupsSequence = [_shared(0.00025 * downsample)]
    image.OpticalPathSequence = [_optical_path()]
    image.PixelData = encapsulate(frames)
    image["PixelData"].is_undefined_length = True
    return image


def _jpeg(tile: NDArray[np.uint8]) -> bytes:
    whole = np.pad(tile, ((0, _TILE - tile.shape[0]), (0, _TILE - tile.shape[1]), (0, 0)), mode="edge")
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(whole), quality=90, colorsubsampling="422"))


def _shared(millimetres: float) -> Dataset:
    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing = [millimetres, millimetres]
    groups.PixelMeasuresSequence = [measures]
    return groups


def _optical_path() -> Dataset:
    path = Dataset()
    path.OpticalPathIdentifier, path.ObjectiveLensPower = "1", 40
    return path
