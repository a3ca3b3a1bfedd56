"""The safe opener: what goes in, what comes out, and what happens to the child."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, ImageOps

from labeling.errors import AskwiseError, Invalid
from labeling.intake.images import MAX_BYTES, ImageOpener, OpenedImage, media_type, read_capped

ROOT = Path(__file__).parents[2]
Encode = Callable[..., bytes]


def shown(opened: OpenedImage) -> Image.Image:
    image = Image.open(BytesIO(opened.data))
    assert image.size == (opened.width, opened.height)
    return image


def test_every_kind_that_is_taken_opens_as_what_a_browser_shows(opener: ImageOpener, good_files: dict[str, bytes]):
    results = opener.open_many(list(good_files.values()))
    for name, data, result in zip(good_files, good_files.values(), results, strict=True):
        assert isinstance(result, OpenedImage), (name, result)
        image = shown(result)
        assert image.mode in ("L", "RGB", "RGBA"), name
        assert image.size == Image.open(BytesIO(data)).size, name
        assert media_type(result.data) in ("image/png", "image/jpeg", "image/webp")


def test_every_bad_file_has_its_sentence(opener: ImageOpener, bad_files: dict[str, tuple[bytes, str]]):
    results = opener.open_many([data for data, _ in bad_files.values()])
    for name, (_, part), result in zip(bad_files, bad_files.values(), results, strict=True):
        assert isinstance(result, Invalid), name
        assert part in str(result), name
        assert str(result).endswith(".") and "\n" not in str(result), name


def test_a_bad_file_among_good_ones_is_the_only_one_refused(opener: ImageOpener, encode: Encode):
    good = encode(Image.new("RGB", (4, 4), "red"))
    results = opener.open_many([good, b"words", good])
    assert [type(result) for result in results] == [OpenedImage, Invalid, OpenedImage]


def test_a_lossless_image_keeps_every_pixel(opener: ImageOpener, encode: Encode):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert (np.asarray(shown(opener.open(encode(Image.fromarray(pixels))))) == pixels).all()
    gray = pixels[:8, :8, 0]
    assert (np.asarray(shown(opener.open(encode(Image.fromarray(gray), "BMP")))) == gray).all()


def test_a_large_photo_is_scaled_down_and_stays_small_on_disk(opener: ImageOpener, encode: Encode):
    opened = opener.open(encode(Image.effect_noise((5000, 2500), 20).convert("RGB"), "JPEG"))
    assert (opened.width, opened.height) == (2048, 1024)
    assert media_type(opened.data) == "image/jpeg"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_as_many_pixels_as_are_allowed_fit_into_the_child(opener: ImageOpener, encode: Encode, kind: str):
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    assert (
        opener.open(encode(Image.new("RGBA" if kind == "PNG" else "RGB", (7000, 7000), "teal"), kind, **options)).width
        == 2048
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(opener: ImageOpener, encode: Encode, orientation: int):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 10, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "TIFF"):
        data = encode(image, kind, exif=exif)
        expected = ImageOps.exif_transpose(Image.open(BytesIO(data)))
        assert (np.asarray(shown(opener.open(data))) == np.asarray(expected)).all()


def test_a_rotated_jpeg_comes_out_upright(opener: ImageOpener, encode: Encode):
    image = Image.new("RGB", (40, 20), "white")
    image.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left half comes to the top
    upright = shown(opener.open(encode(image, "JPEG", exif=exif, quality=95)))
    assert upright.size == (20, 40)
    red, green, _ = upright.convert("RGB").getpixel((10, 4))  # type: ignore[misc]
    assert red > 200 and green < 60


def test_nothing_of_the_file_but_its_pixels_comes_out(opener: ImageOpener, encode: Encode):
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    image = Image.new("RGB", (600, 600), "olive")
    for kind, more in (("JPEG", {"comment": b"a secret place"}), ("PNG", {}), ("WEBP", {"xmp": b"a secret place"})):
        data = encode(image, kind, exif=exif, **more)
        assert b"a secret place" in data
        assert b"a secret place" not in opener.open(data).data


def test_sixteen_bits_are_scaled_and_not_clipped(opener: ImageOpener, encode: Encode):
    values = np.array([[0, 257, 32_896, 65_535]], dtype=np.uint16)
    assert np.asarray(shown(opener.open(encode(Image.fromarray(values))))).tolist() == [[0, 1, 128, 255]]


def test_values_without_a_white_of_their_own_go_from_darkest_to_brightest(opener: ImageOpener, encode: Encode):
    values = np.array([[-3.0, 0.0, 3.0]], dtype=np.float32)
    assert np.asarray(shown(opener.open(encode(Image.fromarray(values), "TIFF")))).tolist() == [[0, 128, 255]]
    values[0, 0] = np.nan
    values[0, 1] = np.inf
    result = opener.open_many([encode(Image.fromarray(values), "TIFF")])[0]
    assert isinstance(result, Invalid) and "not finite" in str(result)


def test_cmyk_comes_out_in_its_colours(opener: ImageOpener, encode: Encode):
    image = shown(opener.open(encode(Image.new("RGB", (30, 30), (200, 30, 60)).convert("CMYK"), "JPEG", quality=95)))
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image, dtype=int).mean((0, 1)) - (200, 30, 60)).max() < 6


def test_the_first_frame_of_an_animation_is_taken(opener: ImageOpener, encode: Encode):
    first, second = Image.new("RGB", (5, 5), "lime"), Image.new("RGB", (5, 5), "navy")
    for kind in ("GIF", "WEBP", "PNG"):
        data = encode(
            first, kind, save_all=True, append_images=[second], **({"lossless": True} if kind == "WEBP" else {})
        )
        assert shown(opener.open(data)).convert("RGB").getpixel((2, 2)) == (0, 255, 0)


def test_transparency_is_kept_where_there_is_any(opener: ImageOpener, encode: Encode):
    image = Image.new("RGBA", (5, 5), (10, 20, 30, 255))
    assert shown(opener.open(encode(image))).mode == "RGB"
    image.putpixel((0, 0), (10, 20, 30, 0))
    for data in (encode(image), encode(image.quantize())):
        assert shown(opener.open(data)).getpixel((0, 0))[3] == 0  # type: ignore[index]
    large = image.resize((1500, 1500), Image.Resampling.NEAREST)
    assert media_type(opener.open(encode(large)).data) == "image/webp"


def test_a_broken_colour_profile_is_passed_over(opener: ImageOpener, encode: Encode):
    data = encode(Image.new("RGB", (5, 5), "lime"), icc_profile=b"no profile at all")
    assert shown(opener.open(data)).getpixel((2, 2)) == (0, 255, 0)


def test_a_file_that_is_too_large_is_refused_in_its_place(opener: ImageOpener, encode: Encode, tmp_path: Path):
    good = encode(Image.new("L", (3, 3)))
    before, refused, after = opener.open_many([good, bytes(MAX_BYTES + 1), good])
    assert isinstance(refused, Invalid) and "larger than 64 MB" in str(refused)
    assert isinstance(before, OpenedImage) and isinstance(after, OpenedImage)
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(Invalid, match="larger than 64 MB"):
        opener.open(tmp_path / "sparse.png")


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows makes links for administrators only, and has no pipes in folders"
)
def test_only_regular_files_are_read(tmp_path: Path):
    (tmp_path / "there.png").write_bytes(b"x")
    (tmp_path / "link.png").symlink_to(tmp_path / "there.png")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("link.png", "pipe.png", "missing.png"):
        with pytest.raises(Invalid):
            read_capped(tmp_path / name)
    assert read_capped(tmp_path / "there.png") == b"x"


def test_media_type_refuses_what_the_opener_does_not_write():
    for data in (b"", b"<html>", b"GIF89a", b"BM"):
        with pytest.raises(Invalid):
            media_type(data)


CHILD = """
    import os, sys, time
    sys.path.insert(0, {root!r})
    from labeling.intake.reencode import reencode, serve

    def decode(data):
        if data == b"hang":
            time.sleep(60)
        if data == b"slow":
            time.sleep(1)
            data = sys.stdin.good
        if data == b"crash":
            os._exit(9)
        if data == b"hunger":
            bytearray(4 * 1024**3)
        if data == b"print":
            print("<html>", flush=True)
            os.write(1, b"<html>")
        if data == b"lie":
            return {{"format": "PNG", "width": 1, "height": 1}}, b"<script>alert(1)</script>"
        if data == b"nonsense":
            return {{"width": "wide"}}, b"\\x89PNG\\r\\n\\x1a\\n"
        if data == b"settings":
            return {{"refused": ",".join(name for name in os.environ if name.startswith("ASKWISE_"))}}, b""
        return reencode(sys.stdin.good if data == b"print" else data)

    sys.stdin.good = {good!r}
    serve(float(sys.argv[1]), decode)
"""


@pytest.fixture
def good(encode: Encode) -> bytes:
    return encode(Image.new("L", (3, 3)))


@pytest.fixture
def hostile_child(tmp_path: Path, good: bytes) -> Path:
    """A child in which some contents do what a decoder with a hole would."""
    program = tmp_path / "child.py"
    program.write_text(textwrap.dedent(CHILD.format(root=str(ROOT), good=good)))
    return program


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"hang", "took longer than 1 seconds"),
        (b"crash", "made its decoder fail"),
        (b"lie", "made its decoder fail"),
        (b"nonsense", "made its decoder fail"),
        pytest.param(
            b"hunger",
            "made its decoder fail",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only"),
        ),
    ],
)
def test_a_file_that_takes_the_child_along_is_the_only_one_refused(
    hostile_child: Path, good: bytes, content: bytes, sentence: str
):
    with ImageOpener(seconds=1, program=hostile_child) as opener:
        results = opener.open_many([good, content, good, content, good])
        assert [type(result) for result in results] == [OpenedImage, Invalid, OpenedImage, Invalid, OpenedImage]
        assert sentence in str(results[1])
        assert isinstance(opener.open(good), OpenedImage)


def test_a_library_that_prints_does_not_print_into_an_answer(hostile_child: Path, good: bytes):
    with ImageOpener(program=hostile_child) as opener:
        assert [type(result) for result in opener.open_many([b"print", good])] == [OpenedImage, OpenedImage]


def test_the_child_does_not_know_our_settings(hostile_child: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ASKWISE_DATABASE_URL", "postgresql://user:secret@host/db")
    with ImageOpener(program=hostile_child) as opener, pytest.raises(Invalid, match=r"^$"):
        opener.open(b"settings")


def test_a_child_that_does_not_start_is_not_the_files_fault(tmp_path: Path):
    (tmp_path / "child.py").write_text("raise SystemExit(1)")
    with (
        ImageOpener(program=tmp_path / "child.py") as opener,
        pytest.raises(AskwiseError, match="does not start") as caught,
    ):
        opener.open(b"")
    assert not isinstance(caught.value, Invalid)


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if any("reencode" in part for part in child.cmdline())]


def test_closing_leaves_no_child_and_the_next_image_starts_another(good: bytes):
    before = len(children())
    opener = ImageOpener()
    opener.open(good)
    assert len(children()) == before + 1
    opener.close()
    assert len(children()) == before
    opener.open(good)
    opener.close()
    opener.close()
    assert len(children()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_is_not_for_the_child_and_a_killed_one_is_replaced(good: bytes):
    before = {child.pid for child in children()}
    with ImageOpener() as opener:
        opener.open(good)
        (child,) = [child for child in children() if child.pid not in before]
        child.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert isinstance(opener.open_many([good])[0], OpenedImage)
        assert child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        child.kill()
        # The killed child cannot be told from one that this file killed, so one file may be blamed; the next is not.
        opener.open_many([good])
        assert isinstance(opener.open(good), OpenedImage)


@pytest.mark.skipif(sys.platform == "win32", reason="waiting is interrupted on POSIX only")
def test_answers_to_an_interrupted_batch_are_not_taken_for_those_to_the_next(hostile_child: Path, encode: Encode):
    wide = encode(Image.new("L", (9, 1)))
    with ImageOpener(program=hostile_child) as opener:
        opener.open(wide)
        press_ctrl_c = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)  # a true signal: it reaches a wait that is under way
        try:
            with pytest.raises(KeyboardInterrupt):
                opener.open_many([b"slow", b"slow"])
        finally:
            signal.signal(signal.SIGALRM, press_ctrl_c)
        assert opener.open(wide).width == 9


def test_threads_share_one_opener(opener: ImageOpener, encode: Encode):
    sizes = list(range(1, 41))
    files = [encode(Image.new("L", (size, 2))) for size in sizes]
    with ThreadPoolExecutor(4) as threads:
        assert [image.width for image in threads.map(opener.open, files)] == sizes


@pytest.mark.faults
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("busy", [False, True])
def test_the_child_ends_when_its_parent_is_killed(hostile_child: Path, busy: bool):
    parent = f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {str(ROOT)!r})
        from labeling.errors import Invalid
        from labeling.intake.images import ImageOpener
        opener = ImageOpener(seconds=2, program=Path({str(hostile_child)!r}))
        opener.open_many([b"settings"])
        print(opener._child._process.pid, flush=True)
        opener.open_many([b"hang"]) if {busy} else time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(parent)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        time.sleep(0.3)
        process.kill()
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
