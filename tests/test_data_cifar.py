import hashlib
import os
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onelip.bench.data import CropAndFlip, ImageData
from onelip.bench.data.cifar import HUNDRED, TEN
from onelip.bench.data.unpickle import read_pickle
from onelip.errors import DataError

BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
CLASSES = [f"class {number}" for number in range(10)]


FOLDER = TEN.archive.folder


def load_cifar10(folder: Path | None, md5: Mapping[str, str] = TEN.md5) -> ImageData:
    return replace(TEN, md5=md5).load(folder)


class Python2Pickle:
    """Writes what Python 2's cPickle wrote: protocol 2, with byte strings where Python 3 has text."""

    def dump(self, value: object) -> bytes:
        return b"\x80\x02" + self.encode(value) + b"."

    def encode(self, value: object) -> bytes:
        if isinstance(value, dict):
            items = [self.encode(part) for pair in value.items() for part in pair]
            return b"}(" + b"".join(items) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.encode, value)) + b"e"
        if isinstance(value, str):
            return b"U" + struct.pack("<B", len(value)) + value.encode()
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        return self.encode_array(value)

    def encode_array(self, array: np.ndarray) -> bytes:
        shape = b"(" + b"".join(map(self.encode, array.shape)) + b"t"
        dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        content = array.tobytes()
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        return empty + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", len(content)) + content + b"tb"


def python2(value: dict) -> bytes:
    return Python2Pickle().dump(value)


def python3(protocol: int) -> Callable[[dict], bytes]:
    return lambda value: pickle.dumps(value, protocol=protocol)


def before_numpy_2(value: dict) -> bytes:
    return pickle.dumps(value, protocol=2).replace(b"numpy._core.", b"numpy.core.")


def rows(number: int, images: int = 3) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (images, 3072), dtype=np.uint8)


def batch(number: int) -> dict:
    return {"batch_label": "a label", "labels": [number, 9, 0], "data": rows(number), "filenames": ["x.png"] * 3}


def write(folder: Path, dump: Callable[[dict], bytes] = python2, **replaced: bytes) -> dict[str, str]:
    """Write the seven files, some `replaced`, and return their digests."""
    contents = {name: dump(batch(number)) for number, name in enumerate(BATCHES)}
    contents["batches.meta"] = dump({"num_cases_per_batch": 3, "label_names": CLASSES, "num_vis": 3072})
    contents.update({name.replace("batches_meta", "batches.meta"): content for name, content in replaced.items()})
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}


def assert_advises(message: str) -> None:
    for needed in ("https://www.cs.toronto.edu/~kriz/cifar.html", "--data-dir", "ONELIP_DATA"):
        assert needed in message


@pytest.mark.parametrize("dump", [python2, before_numpy_2, python3(2), python3(4)])
def test_reads_what_was_written(tmp_path: Path, dump: Callable[[dict], bytes]) -> None:
    data = load_cifar10(tmp_path, md5=write(tmp_path, dump))
    expected = torch.tensor(np.concatenate([rows(number) for number in range(5)])).view(15, 3, 32, 32)
    assert torch.equal(data.train_images, expected)
    assert torch.equal(data.test_images, torch.tensor(rows(5)).view(3, 3, 32, 32))
    assert data.train_labels.tolist() == [label for number in range(5) for label in (number, 9, 0)]
    assert data.test_labels.tolist() == [5, 9, 0]
    assert data.class_names == tuple(CLASSES)
    assert (data.name, data.pixel_max, data.augmentation) == (
        "cifar10",
        255,
        CropAndFlip(4, flip=True, fill=(125, 123, 114)),
    )


def test_finds_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    md5 = write(tmp_path / FOLDER)
    expected = load_cifar10(tmp_path / FOLDER, md5=md5).digest
    assert load_cifar10(tmp_path, md5=md5).digest == expected
    monkeypatch.setenv("ONELIP_DATA", str(tmp_path))
    assert load_cifar10(None, md5=md5).digest == expected
    monkeypatch.setenv("ONELIP_DATA", "elsewhere")
    assert load_cifar10(tmp_path, md5=md5).digest == expected, "the option comes before the environment"


@pytest.mark.parametrize("variable", [None, ""])
def test_folder_not_named(monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    monkeypatch.delenv("ONELIP_DATA", raising=False)
    if variable is not None:
        monkeypatch.setenv("ONELIP_DATA", variable)
    with pytest.raises(DataError, match="cifar-10-batches-py: the folder of this data set was not named") as error:
        load_cifar10(None)
    assert_advises(str(error.value))


def test_folder_absent(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder; expected cifar-10-batches-py") as error:
        load_cifar10(tmp_path / "nowhere")
    assert_advises(str(error.value))


@pytest.mark.parametrize("name", [*BATCHES, "batches.meta"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    md5 = write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: cannot be read \(No such file.*expected .* {md5[name]}") as error:
        load_cifar10(tmp_path, md5=md5)
    assert_advises(str(error.value))


@pytest.mark.parametrize("name", [*BATCHES, "batches.meta"])
def test_cut_file(tmp_path: Path, name: str) -> None:
    md5 = write(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1])
    with pytest.raises(DataError, match=rf"{name}: cut or foreign; .*md5 {md5[name]}, found .* bytes") as error:
        load_cifar10(tmp_path, md5=md5)
    assert_advises(str(error.value))


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(DataError, match=r"batches\.meta: cut or foreign; .*5ff9c542aee3614f3951f8cda6e48888"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [1, 2]}, "expected a list of 3 labels under 'labels'"),
        ({"labels": None}, "expected a list of 3 labels"),
        ({"labels": [0, 1, 10]}, "expected labels between 0 and 9"),
        ({"labels": [0, 1, -1]}, "expected labels between 0 and 9"),
        ({"labels": [0, 1, "2"]}, "expected labels between 0 and 9"),
        ({"data": rows(0)[:, 1:]}, "expected rows of 3072 pixels under 'data'"),
        ({"data": rows(0)[0]}, "expected rows of 3072 pixels"),
        ({"data": [0] * 3072}, "expected rows of 3072 pixels"),
        ({"data": rows(0).astype(np.int64)}, "only u1"),
        ({"data": np.asfortranarray(rows(0))}, "not stored row by row"),
        ({"data": np.array([os.sep], dtype=object)}, "only u1"),
    ],
)
def test_malformed_batch(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    content = pickle.dumps({**batch(0), **changes}, protocol=2)
    with pytest.raises(DataError, match=f"data_batch_3: .*{message}"):
        load_cifar10(tmp_path, md5=write(tmp_path, data_batch_3=content))


@pytest.mark.parametrize("names", [None, [], [1, 2], "airplane"])
def test_malformed_class_names(tmp_path: Path, names: object) -> None:
    content = pickle.dumps({"label_names": names}, protocol=2)
    with pytest.raises(DataError, match=r"batches\.meta: expected a list of class names"):
        load_cifar10(tmp_path, md5=write(tmp_path, batches_meta=content))


class Call:
    """Pickled, an instruction to call `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("verified", [True, False])
def test_a_malicious_file_runs_nothing(tmp_path: Path, protocol: int, verified: bool) -> None:
    marker = tmp_path / "it ran"
    content = pickle.dumps({"data": Call(os.system, f"touch '{marker}'"), "labels": []}, protocol=protocol)
    pickle.loads(content)
    assert marker.exists(), "the attack would not work at all"
    marker.unlink()
    md5 = write(tmp_path, data_batch_1=content)
    if not verified:
        md5["data_batch_1"] = "0" * 32
    message = rf"data_batch_1: .*{os.system.__module__}\.system" if verified else "data_batch_1: cut or foreign"
    with pytest.raises(DataError, match=message):
        load_cifar10(tmp_path, md5=md5)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("builtins.eval", "builtins.getattr", "builtins.exec", "__builtin__.eval", "os.system", "subprocess.Popen"),
        *("numpy.load", "numpy.fromfile", "numpy.core.multiarray.fromfile", "numpy._core.multiarray.scalar"),
        *("_codecs.decode", "_codecs.lookup", "codecs.encode", "copyreg._reconstructor", "torch.load"),
    ],
)
def test_every_other_name_is_refused(name: str) -> None:
    module, _, function = name.rpartition(".")
    content = f"c{module}\n{function}\n(I0\ntR.".encode()
    with pytest.raises(DataError, match=f"file: .*it names {name}, which is not part of an array"):
        read_pickle(content, Path("file"))


def test_names_with_dots_reach_nothing() -> None:
    content = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    with pytest.raises(DataError, match=r"it names numpy\.ndarray\.tofile"):
        read_pickle(content, Path("file"))


@pytest.mark.parametrize(
    "stand_in", ["numpy\nndarray", "numpy\ndtype", "numpy.core.multiarray\n_reconstruct", "_codecs\nencode"]
)
@pytest.mark.parametrize("state", [{"harmless": 1}, (None, {"__doc__": "changed"})])
def test_the_stand_ins_cannot_be_changed(stand_in: str, state: object) -> None:
    """A pickle may set attributes on what it names; that must not reach objects that outlive the file."""
    encoded = pickle.dumps(state, protocol=2)[2:-1]
    with pytest.raises(DataError, match="file: not a pickled dictionary"):
        read_pickle(b"\x80\x02c" + stand_in.encode() + b"\n" + encoded + b"b0}.", Path("file"))


def test_a_pickle_cut_anywhere_is_refused() -> None:
    content = python2({"data": rows(0, images=1)[:, :64], "labels": [1]})
    read = read_pickle(content, Path("file"))
    assert read["labels"] == [1]
    assert np.array_equal(read["data"], rows(0, images=1)[:, :64])
    for length in range(len(content)):
        with pytest.raises(DataError, match="file: not a pickled dictionary of uint8 arrays"):
            read_pickle(content[:length], Path("file"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html>",
        b"Ione\n.",
        b"\x80\x02c_codecs\nencode\nU\x01aU\x01b\x86R.",
        b"\x80\x02c_codecs\nencode\nX\1\0\0\0aX\1\0\0\0b\x86R.",
        b"\x80\x04\x8e" + b"\xff" * 8,
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62),
        python2({"data": rows(0)}).replace(b"J\0\x0c\0\0", b"J\1\x0c\0\0"),
    ],
    ids=["empty", "page", "number", "bytes encoded", "encoding", "endless", "huge", "short array"],
)
def test_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="file: not a pickled dictionary of uint8 arrays"):
        read_pickle(content, Path("file"))


def test_another_type_is_refused() -> None:
    with pytest.raises(DataError, match=r"file: .*it holds a list, not a dictionary"):
        read_pickle(pickle.dumps([1]), Path("file"))


def test_the_published_data_set() -> None:
    named = Path(os.environ.get("ONELIP_DATA", "nowhere"))
    if not any((folder / "test_batch").is_file() for folder in (named, named / FOLDER)):
        pytest.skip(f"CIFAR-10 is not there: ONELIP_DATA names neither {FOLDER} nor a folder that contains it")
    data = load_cifar10(None)
    assert (data.image, len(data.train_labels), len(data.test_labels)) == ((3, 32, 32), 50_000, 10_000)
    assert data.train_labels.bincount().tolist() == [5000] * 10
    assert data.test_labels.bincount().tolist() == [1000] * 10
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
    assert data.validation_split().test_labels.bincount().tolist() == [500] * 10
    assert data.digest == "635df9807696dd2e754a021f99fefc3b4312b99301586f01f1f6684486ba6954"


@pytest.mark.parametrize("cifar", [TEN, HUNDRED])
def test_a_digest_is_published_for_every_file(cifar) -> None:
    assert sorted(cifar.md5) == sorted([*cifar.train, cifar.test, cifar.meta])
    assert all(len(digest) == 32 for digest in cifar.md5.values())


def write_cifar100(folder: Path, **replaced: dict) -> dict[str, str]:
    """The three files of CIFAR-100, some keys replaced, and their digests."""
    contents = {
        "meta": {"fine_label_names": [f"fine {n}" for n in range(100)], "coarse_label_names": ["coarse"] * 20},
        "train": {"data": rows(0, 4), "fine_labels": [0, 99, 7, 7], "coarse_labels": [0, 19, 1, 1]},
        "test": {"data": rows(1, 2), "fine_labels": [98, 3], "coarse_labels": [19, 0]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(python2({**content, **replaced.get(name, {})}))
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in contents}


def test_cifar100_has_its_fine_labels(tmp_path: Path) -> None:
    data = replace(HUNDRED, md5=write_cifar100(tmp_path / HUNDRED.archive.folder)).load(tmp_path)
    assert torch.equal(data.train_images, torch.tensor(rows(0, 4)).view(4, 3, 32, 32))
    assert torch.equal(data.test_images, torch.tensor(rows(1, 2)).view(2, 3, 32, 32))
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([0, 99, 7, 7], [98, 3])
    assert (data.name, data.title, data.classes, data.class_names[99]) == ("cifar100", "CIFAR-100", 100, "fine 99")
    assert data.augmentation == CropAndFlip(4, flip=True, fill=(129, 124, 112))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"fine_labels": [0, 1, 2, 100]}}, "train: expected labels between 0 and 99 under 'fine_labels'"),
        ({"test": {"fine_labels": [1]}}, "test: expected a list of 2 labels under 'fine_labels'"),
        ({"meta": {"fine_label_names": []}}, "meta: expected a list of class names under 'fine_label_names'"),
    ],
)
def test_a_malformed_cifar100(tmp_path: Path, changes: dict, message: str) -> None:
    cifar100 = replace(HUNDRED, md5=write_cifar100(tmp_path, **changes))
    with pytest.raises(DataError, match=message):
        cifar100.load(tmp_path)


def test_cifar100_of_another_origin_is_refused(tmp_path: Path) -> None:
    write_cifar100(tmp_path)
    with pytest.raises(
        DataError, match=r"meta: cut or foreign; .*7973b15100ade9c7d40fb424638fde48.*CIFAR-100 from https"
    ):
        HUNDRED.load(tmp_path)
