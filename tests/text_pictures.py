"""For tests of recognising text in pictures: pictures of text, and an engine that only pretends to read them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hipcli.documents.readers.pictures import ocr

LINES = ("Invoice 2042 of 17 March", "Please pay 1,234.56 euros", "within thirty days.")


def page(lines: tuple[str, ...] = LINES, size: tuple[int, int] = (800, 400)) -> Image.Image:
    """Black text on white."""
    image = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(40)
    for row, line in enumerate(lines):
        draw.text((60, 60 + 70 * row), line, font=font, fill="black")
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


class Engine:
    """Stands in for recognition: says `text` about every picture, and remembers them."""

    def __init__(self, text: str = "recognised", certainty: float = 0.99, unread: int = 0) -> None:
        self.result = ocr.Recognised(text, certainty, unread)
        self.pictures: list[NDArray[np.uint8]] = []

    def __call__(self, image: NDArray[np.uint8]) -> ocr.Recognised:
        self.pictures.append(image)
        return self.result
