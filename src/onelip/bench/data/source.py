"""What is known of a data set by its name, before any of its images is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from onelip.bench.data.base import ImageData
from onelip.bench.data.pictures import Track


class Loader(Protocol):
    """Reads a data set."""

    def __call__(self, data_dir: Path | None, *, side: int | None, track: Track) -> ImageData:
        """The images.

        Args:
            data_dir: The folder that the user named.
            side: Of the square images; None: the data set's own.
            track: Shows how far the reading is.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a whole data set holds.

    Attributes:
        image: Channels, height and width.
        classes: Their number.
        train: Training images.
        test: Images for evaluation.
    """

    image: tuple[int, int, int]
    classes: int
    train: int
    test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A data set as it is distributed.

    Attributes:
        url: Of one file, .tgz, .tar.gz or .zip.
        md5: The published digest. It tells a cut or foreign file.
        bytes: How large it is, about.
        unpacked: How large its files are, about.
        folder: The folder in it.
    """

    url: str
    md5: str
    bytes: int
    unpacked: int
    folder: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data set that is known by name.

    Attributes:
        name: Its name on the command line and in records.
        title: Its name in tables.
        loader: Reads it.
        needs_folder: Whether the images lie in a folder that the user provides.
        homepage: Where the images come from.
        content: What it holds, all of it and not resized.
        resizable: Whether its pictures can be scaled to another side.
        archive: What to download; None: it comes with onelip.
        folders: The folders in which it is distributed, the best first.
    """

    name: str
    title: str
    loader: Loader
    needs_folder: bool
    homepage: str
    content: Content
    resizable: bool = False
    archive: Archive | None = None
    folders: tuple[str, ...] = ()

    def find(self, folder: Path) -> Path | None:
        """Where in a folder of data sets this one lies; also the folder itself, if it is the one. Not looked into."""
        candidates = [folder / name for name in self.folders]
        if folder.resolve().name in self.folders:
            candidates.insert(0, folder)
        return next((one for one in candidates if one.is_dir() and any(one.iterdir())), None)


def part_of(title: str, train: int, test: int, whole: Content) -> str:
    """The title of a data set of which so many training and test images are there: a part is called one.

    >>> part_of("Tiny ImageNet", 20_000, 10_000, Content(image=(3, 64, 64), classes=200, train=100_000, test=10_000))
    'Tiny ImageNet (20,000 of 100,000 and 10,000 of 10,000 images)'
    """
    if (train, test) == (whole.train, whole.test):
        return title
    return f"{title} ({train:,} of {whole.train:,} and {test:,} of {whole.test:,} images)"
