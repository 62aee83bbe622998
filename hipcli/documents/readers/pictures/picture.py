"""Pictures of text (PNG, JPEG, TIFF, WebP, BMP), such as scans and photographs of pages, to that text."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hipcli.documents.document import Content, Page
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pictures import ocr
from hipcli.documents.readers.text.text import NotTextError
from hipcli.errors import HipError, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_MOST_PIXELS = 150_000_000  # of a picture before it is made smaller


class UnreadPictureError(NotTextError):
    """A picture from which no text was read."""

    alike = True


def read(data: bytes, where: str, options: ReadOptions) -> Content:
    """The text in the picture, a page for each page of a TIFF file.

    Raises UnreadPictureError where nothing is read, by whatever reason that a directory of pictures may well give: the
    extra is missing, `options.ocr` is off, there is no text; HipError where the picture is damaged or too large.
    """
    if options.ocr == "off":
        raise UnreadPictureError(f"{where}: is a picture, and --ocr is off", "leave out --ocr off")
    if not ocr.available():
        raise UnreadPictureError(f"{where}: is a picture, whose text only the extra hipcli[ocr] can read", ocr.INSTALL)
    pages: dict[int, ocr.Recognised] = {}
    faults = []
    number = 0
    for number, frame in enumerate(_frames(data, where), 1):
        if isinstance(frame, str):
            faults.append(f"page {number} is damaged and was not read ({frame}).")
        else:
            pages[number] = ocr.recognise(frame)
    warnings = (*faults, *ocr.said(pages))
    if not any(page.text for page in pages.values()):
        if faults:
            raise HipError(f"{where}: damaged picture", "open it in another program and save it again")
        if any(page.unread for page in pages.values()):
            hint = f"only {ocr.SCRIPTS} writing is known; a sharper picture may help"
            raise UnreadPictureError(f"{where}: has what may be writing, and none that could be recognised", hint)
        what = "is a picture without text that could be recognised"
        raise UnreadPictureError(f"{where}: {what}", "try a sharper picture")
    return Content(
        kind="picture",
        reader="rapidocr",
        pages=tuple(Page(number, page.text, recognised=True) for number, page in pages.items()),
        unit="page" if number > 1 else None,
        warnings=warnings,
    )


def _frames(data: bytes, where: str) -> Iterator["NDArray[np.uint8] | str"]:
    """The pages as `ocr.recognise` takes them, or why one cannot be read."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # which it would print a warning about; see below
    try:
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Exception as error:  # on damaged files Pillow raises anything, from SyntaxError to struct.error
        raise HipError(f"{where}: damaged picture", "open it in another program and save it again") from error
    with picture:
        # Frames of other formats are those of a moving picture.
        count = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
        for index in range(count):
            try:
                picture.seek(index)
                _check_size(picture, where)
                frame = _pixels(picture)
            except HipError:
                raise
            except Exception as error:
                yield first_line(error)
            else:
                yield frame


def _check_size(picture: "Image.Image", where: str) -> None:
    if picture.width * picture.height > _MOST_PIXELS:
        raise HipError(
            f"{where}: has {picture.width:,} x {picture.height:,} pixels, which is too large",
            f"make it smaller: up to {_MOST_PIXELS // 1_000_000} million pixels can be read, and a page needs 15",
        )


def _pixels(picture: "Image.Image") -> "NDArray[np.uint8]":
    import numpy as np
    from PIL import Image, ImageOps

    # JPEG can be made smaller while it is read.
    picture.draft("RGB", _bounded(picture.size))
    image: Image.Image = picture
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image, dtype=np.float32)
        image = Image.fromarray((levels * (255 / max(float(levels.max()), 1.0))).clip(0, 255).astype(np.uint8))
    image.thumbnail(_bounded(image.size))
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _bounded(size: tuple[int, int]) -> tuple[int, int]:
    """The size, or one of the same shape that has `ocr.MOST_PIXELS`."""
    width, height = size
    scale = min(1.0, (ocr.MOST_PIXELS / (width * height)) ** 0.5)
    return max(1, int(width * scale)), max(1, int(height * scale))
