"""Folders and archives of images: what becomes a record, what is passed over, and what is refused at sight."""

import os
import stat
import struct
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from labeling.errors import Invalid
from labeling.intake import archives
from labeling.intake.images import MAX_BYTES
from labeling.intake.records import Record, Refused
from labeling.intake.sources import open_source


def zipped(path: Path, files: dict[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def read(record: Record) -> bytes:
    assert record.read is not None
    return record.read()


def listed(path: Path) -> tuple[list[tuple[str, str | None, bytes]], dict[str, str]]:
    with open_source(path) as source:
        found = list(source.records)
        assert source.total == len(found)
        records = [(r.external_id, r.label, read(r)) for r in found if isinstance(r, Record)]
        return records, {r.name: r.why for r in found if isinstance(r, Refused)}


FILES = {"cats/b.png": b"1", "cats/a.png": b"2", "dogs/a.png": b"3", "loose.png": b"4", "more/dogs/c.png": b"5"}
ENTRIES = [
    ("cats/a.png", "cats", b"2"),
    ("cats/b.png", "cats", b"1"),
    ("dogs/a.png", "dogs", b"3"),
    ("loose.png", None, b"4"),
    ("more/dogs/c.png", "dogs", b"5"),
]
CLUTTER = [".DS_Store", "cats/Thumbs.db", "__MACOSX/cats/._a.png", ".git/config", "dogs/.hidden.png", "desktop.ini"]


def as_folder(tmp_path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = tmp_path / "pool" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "pool"


def as_zip(tmp_path: Path, files: dict[str, bytes]) -> Path:
    return zipped(tmp_path / "pool.zip", dict(files))


def tarred(path: Path, files: dict[str | tarfile.TarInfo, bytes], compression: str = "") -> Path:
    with tarfile.open(path, f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    return path


def as_tar(tmp_path: Path, files: dict[str, bytes]) -> Path:
    return tarred(tmp_path / "pool.tar", dict(files))


def as_tar_gz(tmp_path: Path, files: dict[str, bytes]) -> Path:
    return tarred(tmp_path / "pool.tar.gz", dict(files), "gz")


def as_tar_bz2(tmp_path: Path, files: dict[str, bytes]) -> Path:
    return tarred(tmp_path / "pool.tar.bz2", dict(files), "bz2")


def as_tar_xz(tmp_path: Path, files: dict[str, bytes]) -> Path:
    return tarred(tmp_path / "pool.txz", dict(files), "xz")


def as_nameless_upload(tmp_path: Path, files: dict[str, bytes]) -> Path:
    return tarred(tmp_path / "upload", dict(files), "gz")


every_place = pytest.mark.parametrize(
    "make", [as_folder, as_zip, as_tar, as_tar_gz, as_tar_bz2, as_tar_xz, as_nameless_upload]
)


@every_place
def test_images_come_in_order_with_their_folder_as_class_and_without_clutter(tmp_path: Path, make):
    assert listed(make(tmp_path, FILES | dict.fromkeys(CLUTTER, b"?"))) == (ENTRIES, {})


@every_place
def test_a_single_folder_tells_nothing_apart(tmp_path: Path, make):
    entries, _ = listed(make(tmp_path, {"images/a.png": b"1", "images/b.png": b"2", "table.csv": b"3"}))
    assert [name for name, class_name, _ in entries if class_name is not None] == []


@every_place
def test_names_are_unicode_in_one_form(tmp_path: Path, make):
    entries, refused = listed(make(tmp_path, {"cafe\u0301/\U0001f63a.png": b"1", "日本/a b.png": b"2"}))
    assert [entry[:2] for entry in entries] == [("café/😺.png", "café"), ("日本/a b.png", "日本")]
    assert refused == {}


def test_a_folder_that_is_missing_or_empty_or_no_archive_has_its_sentence(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and then nothing")
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8b and then nothing")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    (tmp_path / "words").write_bytes(b"just words")
    zipped(tmp_path / "empty.zip", {})
    tarred(tmp_path / "empty.tar", {})
    whole = tarred(tmp_path / "whole.tar.gz", {"a.png": os.urandom(5000)}, "gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    for name, sentence in {
        "missing": "no file or folder at",
        "empty": "no files in empty",
        "empty.zip": "no files in empty.zip",
        "empty.tar": "no files in empty.tar",
        "broken.zip": "not a zip or tar archive that can be read",
        "broken.tar.gz": "not a zip or tar archive that can be read",
        "half.tar.gz": "not a zip or tar archive that can be read",
        "image.png": "is a single image; give the folder",
        "words": "cannot be told by its name",
    }.items():
        with pytest.raises(Invalid, match=sentence), open_source(tmp_path / name):
            pass


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows makes links for administrators only, and has no pipes in folders"
)
def test_links_and_pipes_in_a_folder_are_refused_and_not_followed(tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.png").write_bytes(b"secret")
    pool = as_folder(tmp_path, {"a.png": b"1"})
    (pool / "file.png").symlink_to(tmp_path / "outside/secret.png")
    (pool / "folder").symlink_to(tmp_path / "outside")
    (pool / "loop").symlink_to(pool)
    (pool / "gone.png").symlink_to("nowhere")
    os.mkfifo(pool / "pipe.png")
    entries, refused = listed(pool)
    assert entries == [("a.png", None, b"1")]
    assert set(refused) == {"file.png", "folder", "loop", "gone.png", "pipe.png"}
    assert all("link" in refused[name] for name in refused if name != "pipe.png")
    assert "not a regular file" in refused["pipe.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="a file that was listed is swapped for a link")
def test_a_file_swapped_for_a_link_after_listing_is_not_followed(tmp_path: Path):
    (tmp_path / "secret").write_bytes(b"secret")
    pool = as_folder(tmp_path, {"a.png": b"1"})
    with open_source(pool) as source:
        (record,) = source.records
        assert isinstance(record, Record)
        (pool / "a.png").unlink()
        (pool / "a.png").symlink_to(tmp_path / "secret")
        with pytest.raises(Invalid, match="cannot be read"):
            read(record)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_name_that_is_not_unicode_is_refused_and_can_be_shown(tmp_path: Path):
    pool = as_folder(tmp_path, {"a.png": b"1"})
    (pool / os.fsdecode(b"\xff\xfe.png")).write_bytes(b"2")
    entries, refused = listed(pool)
    assert [entry[0] for entry in entries] == ["a.png"]
    assert refused == {"\\udcff\\udcfe.png": "Its name is not valid Unicode; rename it."}


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path):
    pool = as_folder(tmp_path, {"a.png": b"1", "closed/b.png": b"2"})
    (pool / "closed").chmod(0)
    try:
        entries, refused = listed(pool)
    finally:
        (pool / "closed").chmod(0o700)
    assert [entry[0] for entry in entries] == ["a.png"]
    assert "cannot be read" in refused["closed"]


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "a/../../b.png",
        "/etc/passwd",
        "\\\\host\\share\\a.png",
        "C:\\windows\\a.png",
        "..\\a.png",
        "c:a.png",
    ],
)
def test_a_name_that_points_outside_the_archive_is_refused(tmp_path: Path, name: str):
    entries, refused = listed(zipped(tmp_path / "pool.zip", {name: b"1", "good.png": b"2"}))
    assert entries == [("good.png", None, b"2")]
    assert list(refused) == [name.replace("\\", "/")]
    assert "points outside the archive" in "".join(refused.values())


def test_a_link_in_an_archive_is_refused(tmp_path: Path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    entries, refused = listed(zipped(tmp_path / "pool.zip", {link: b"/etc/passwd", "good.png": b"2"}))
    assert entries == [("good.png", None, b"2")]
    assert "is a link" in refused["link.png"]


def patched(path: Path, name: bytes, offset_in_local: int, offset_in_central: int, value: bytes) -> Path:
    """Overwrite a field of one member in both of its headers."""
    data = bytearray(path.read_bytes())
    for signature, fixed, offset in ((b"PK\3\4", 30, offset_in_local), (b"PK\1\2", 46, offset_in_central)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            if data[start + fixed : start + fixed + len(name)] == name:
                data[start + offset : start + offset + len(value)] = value
    path.write_bytes(data)
    return path


def test_an_encrypted_member_is_refused(tmp_path: Path):
    path = zipped(tmp_path / "pool.zip", {"locked.png": b"1", "good.png": b"2"})
    entries, refused = listed(patched(path, b"locked.png", 6, 8, struct.pack("<H", 1)))
    assert entries == [("good.png", None, b"2")]
    assert "is encrypted" in refused["locked.png"]


@pytest.mark.parametrize(
    ("local", "central", "value", "sentence"),
    [
        (8, 10, struct.pack("<H", 98), "compressed in a way that cannot be read"),  # a method that Python lacks
        (14, 16, b"\0\0\0\0", "damaged in the archive"),  # a wrong checksum
        (22, 24, struct.pack("<I", 5), "damaged in the archive"),  # declares fewer bytes than there are
    ],
)
def test_a_damaged_member_is_refused_when_it_is_read(
    tmp_path: Path, local: int, central: int, value: bytes, sentence: str
):
    path = patched(
        zipped(tmp_path / "pool.zip", {"odd.png": b"1" * 100, "good.png": b"2"}), b"odd.png", local, central, value
    )
    with open_source(path) as source:
        good, odd = source.records
        assert isinstance(good, Record) and isinstance(odd, Record)
        assert read(good) == b"2"
        with pytest.raises(Invalid, match=sentence):
            read(odd)


def test_a_member_that_declares_too_much_is_refused_at_sight(tmp_path: Path):
    path = zipped(tmp_path / "pool.zip", {"big.png": b"1", "good.png": b"2"})
    patched(path, b"big.png", 22, 24, struct.pack("<I", MAX_BYTES + 1))
    entries, refused = listed(path)
    assert entries == [("good.png", None, b"2")]
    assert "larger than 64 MB" in refused["big.png"]


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused_whole(tmp_path: Path):
    path = zipped(tmp_path / "bomb.zip", {f"{i}.png": b"" for i in range(20)})
    for i in range(20):
        patched(path, f"{i}.png".encode(), 22, 24, struct.pack("<I", MAX_BYTES))
    with pytest.raises(Invalid, match=r"unpack to 1\.2 GB"), open_source(path):
        pass


def test_a_drawing_that_compresses_well_is_no_bomb(tmp_path: Path):
    entries, refused = listed(zipped(tmp_path / "pool.zip", {"white.bmp": bytes(3_000_000)}))
    assert len(entries[0][2]) == 3_000_000 and refused == {}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_second_of_two_files_of_one_name_is_refused(tmp_path: Path):
    path = tmp_path / "pool.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"1")
        archive.writestr("a.png", b"2")
        archive.writestr("./a.png", b"3")
    with open_source(path) as source:
        *refused, record = source.records
        assert isinstance(record, Record) and (record.external_id, read(record)) == ("a.png", b"1")
        assert [r.name for r in refused if isinstance(r, Refused)] == ["a.png", "a.png"]


def test_names_that_are_too_long_are_refused(tmp_path: Path):
    long_path = "/".join(["x" * 100] * 11) + ".png"
    long_folder = f"{'y' * 201}/a.png"
    _, refused = listed(zipped(tmp_path / "pool.zip", {long_path: b"1", long_folder: b"2", "a.png": b"3"}))
    assert "longer than 1000 characters" in refused[long_path]
    assert "class name" in refused[long_folder]


def test_names_in_utf8_that_do_not_say_so_are_read_as_meant(tmp_path: Path):
    path = zipped(tmp_path / "pool.zip", {"caf\u00e9.png": b"1"})
    patched(path, "café.png".encode(), 6, 8, b"\0\0")  # the flag that says UTF-8
    assert [entry[0] for entry in listed(path)[0]] == ["café.png"]


def test_nothing_is_unpacked_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = as_zip(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    listed(path)
    assert sorted(tmp_path.rglob("*")) == before


OUTSIDE = ["../a.png", "a/../../b.png", "/etc/passwd", "C:\\windows\\a.png", "..\\a.png"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_points_outside_a_tar_is_refused(tmp_path: Path, name: str):
    records, refused = listed(tarred(tmp_path / "pool.tar", {name: b"1", "good.png": b"2"}))
    assert records == [("good.png", None, b"2")]
    assert list(refused) == [name.replace("\\", "/")]
    assert "points outside the archive" in "".join(refused.values())


def tar_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.CHRTYPE, "is a device or a pipe"),
        (tarfile.BLKTYPE, "is a device or a pipe"),
        (tarfile.FIFOTYPE, "is a device or a pipe"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes, sentence: str):
    odd = tar_member("odd.png", kind, "/etc/passwd")
    records, refused = listed(tarred(tmp_path / "pool.tar", {odd: b"", "good.png": b"2"}))
    assert records == [("good.png", None, b"2")]
    assert sentence in refused["odd.png"]


def test_a_sparse_file_in_a_tar_is_refused(tmp_path: Path):
    sparse = tar_member("holes.png", tarfile.REGTYPE)
    sparse.pax_headers = {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**50)
    }  # fmt: skip
    records, refused = listed(tarred(tmp_path / "pool.tar", {sparse: b"1", "good.png": b"2"}))
    assert records == [("good.png", None, b"2")]
    assert "sparse" in refused["holes.png"]


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_a_tar_that_unpacks_to_far_more_than_its_size_is_refused_whole(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archives, "MAX_UNPACKED", 1_000_000)
    path = tarred(tmp_path / f"bomb.tar.{compression}", {"a.bmp": bytes(9_000_000)}, compression)
    with pytest.raises(Invalid, match="would unpack to"), open_source(path):
        pass


def test_a_tar_whose_header_claims_to_be_endless_is_refused_and_not_held_in_memory(tmp_path: Path):
    name = tar_member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    name.size = 2**40
    (tmp_path / "pool.tar").write_bytes(name.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(Invalid, match="not a zip or tar archive"), open_source(tmp_path / "pool.tar"):
        pass


def test_an_archive_in_an_archive_is_not_opened(tmp_path: Path):
    inner = zipped(tmp_path / "inner.zip", {"a.png": b"1"}).read_bytes()
    records, _ = listed(zipped(tmp_path / "pool.zip", {"inner.zip": inner, "good.png": b"2"}))
    assert [name for name, _, _ in records] == ["good.png", "inner.zip"]  # the opener of images says what it is
