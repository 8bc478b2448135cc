"""The command line as a stranger meets it: it runs, it ends, every mistake is one clear line."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import typer
from typer.testing import CliRunner

from streamkit.cli import app
from tests.cameras import camera
from tests.clips import clip, cut, sound_only
from tests.fakes import until
from tests.processes import process

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "samples" / "street.mp4"
MODEL = ROOT / "samples" / "models" / "street" / "1"
STREAMKIT = [sys.executable, "-W", "error", "-m", "streamkit"]


def streamkit(*arguments: object, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [*STREAMKIT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    return clip(tmp_path / "short.mp4", frames=20, size=(640, 360))


def test_a_run_writes_what_it_was_asked_for_and_ends_with_the_account(
    short: Path, tmp_path: Path
) -> None:
    video, lines = tmp_path / "new folder" / "out.mp4", tmp_path / "out.jsonl"
    done = streamkit("run", "--source", short, "--model", MODEL, "--save", video, "--jsonl", lines)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"short\.mp4\s+│\s+20 │\s+20 │ 0", done.stdout)
    assert "ms per frame: prepare" in done.stdout
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record["frame_id"] for record in records] == list(range(1, 21))
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert sum(1 for _ in container.decode(stream)) == 20


def test_a_document_runs_and_options_add_to_it(short: Path) -> None:
    document = short.with_name("door.yaml")
    document.write_text(
        f"sources: [short.mp4]\nmodel: {MODEL}\nsinks: [{{jsonl: {{path: a.jsonl}}}}]"
    )
    more = short.with_name("b.jsonl")
    done = streamkit("run", document, "--jsonl", more, "--confidence", "0.9", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(short.with_name("a.jsonl").read_text().splitlines()) == 20
    assert len(more.read_text().splitlines()) == 20


def test_a_document_finds_modules_beside_it(short: Path) -> None:
    short.with_name("beside.py").write_text(
        "class Nothing:\n    def __call__(self, result):\n        return result\n"
    )
    document = short.with_name("door.yaml")
    document.write_text(f"sources: [short.mp4]\nmodel: {MODEL}\nstages: ['beside:Nothing']")
    done = streamkit("run", document, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


def test_records_of_an_earlier_run_are_replaced(short: Path) -> None:
    lines = short.with_name("out.jsonl")
    for _ in range(2):
        streamkit("run", "--source", short, "--model", MODEL, "--jsonl", lines, "--quiet")
    assert len(lines.read_text().splitlines()) == 20


def test_the_settings_are_shown_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOFLOW_API_KEY", "sesame-open")
    monkeypatch.setenv("CONFIDENCE", "0.7")
    done = streamkit("settings")
    assert done.returncode == 0
    assert "MODEL_CACHE_DIR" in done.stdout
    assert "0.7" in done.stdout
    assert "sesame-open" not in done.stdout


# -- mistakes ------------------------------------------------------------------------------------


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert done.returncode == code, f"{done.returncode}: {done.stdout}\n{done.stderr}"
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    for text in said:
        assert text in errors[0], errors[0]


def test_no_such_file(tmp_path: Path) -> None:
    missing = tmp_path / "none.mp4"
    assert_one_line(streamkit("run", "--source", missing, "--model", MODEL), 3, "none.mp4")


def test_not_a_video(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no pictures in here\n" * 50)
    assert_one_line(streamkit("run", "--source", text, "--model", MODEL), 3, "notes.txt")


def test_a_recording_without_a_picture(tmp_path: Path) -> None:
    sound = sound_only(tmp_path / "sound.mp4")
    assert_one_line(streamkit("run", "--source", sound, "--model", MODEL), 3, "sound.mp4", "video")


def test_a_truncated_file_gives_what_is_there_and_an_error(tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mp4", frames=50, options={"movflags": "faststart"})
    lines = tmp_path / "out.jsonl"
    done = streamkit(
        "run", "--source", cut(whole, 0.6), "--model", MODEL, "--jsonl", lines, "--quiet"
    )
    assert_one_line(done, 3, "whole_cut.mp4")
    ids = [json.loads(line)["frame_id"] for line in lines.read_text().splitlines()]
    assert ids == list(range(1, len(ids) + 1))
    assert 5 < len(ids) < 50


def test_an_unknown_model(short: Path) -> None:
    done = streamkit("run", "--source", short, "--model", "nobody-has-this/7")
    assert_one_line(done, 4, "nobody-has-this/7")


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(MODEL, copy)
    return copy


def test_corrupt_weights(short: Path, model_copy: Path) -> None:
    weights = model_copy / "weights.onnx"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert_one_line(streamkit("run", "--source", short, "--model", model_copy), 4, "weights.onnx")


def test_class_names_that_do_not_fit_the_head(short: Path, model_copy: Path) -> None:
    (model_copy / "class_names.txt").write_text("cat\ndog")
    done = streamkit("run", "--source", short, "--model", model_copy)
    assert_one_line(done, 4, "2", "6", "class")


def test_unknown_options(short: Path, tmp_path: Path) -> None:
    done = streamkit("run", "--source", short, "--model", MODEL, "--sink", "x")
    assert_one_line(done, 2, "--sink")
    assert_one_line(streamkit("run"), 2, "--source and --model")
    assert_one_line(streamkit("run", "--source", short), 2, "--model")
    assert_one_line(streamkit("run", tmp_path / "none.yaml"), 2, "none.yaml", "No such file")
    bad = tmp_path / "bad.yaml"
    bad.write_text(f"sources: [short.mp4]\nmodel: {MODEL}\nsinks: [{{jsonl: {{pth: a}}}}]")
    assert_one_line(streamkit("run", bad), 2, "pth", "path")


def test_values_out_of_range_are_named(short: Path) -> None:
    run = ("run", "--source", short, "--model", MODEL)
    assert_one_line(streamkit(*run, "--max-fps", "0"), 2, "max_fps=0.0", "greater than 0")
    assert_one_line(streamkit(*run, "--confidence", "7"), 2, "confidence=7.0", "equal to 1")
    assert_one_line(streamkit("run", "--source", "", "--model", MODEL), 2, "empty")


def test_a_value_that_an_output_cannot_use(short: Path) -> None:
    document = short.with_name("wrong.yaml")
    for options, said in (("crf: high", "crf='high': Input should be"), ("crf: 99", "crf=99")):
        video = f"{{video: {{path: a.mp4, {options}}}}}"
        document.write_text(f"sources: [short.mp4]\nmodel: {MODEL}\nsinks: [{video}]")
        assert_one_line(streamkit("run", document), 2, said)


def test_a_source_is_never_overwritten(short: Path) -> None:
    before = short.read_bytes()
    done = streamkit("run", "--source", short, "--model", MODEL, "--save", short)
    assert_one_line(done, 2, "short.mp4", "read by a source")
    assert short.read_bytes() == before


def test_without_a_command_there_is_help_and_nothing_else() -> None:
    done = streamkit()
    assert (done.returncode, done.stderr) == (2, "")
    assert "Usage" in done.stdout


def commands(group: typer.core.TyperGroup, *above: str) -> Iterator[tuple[str, ...]]:
    """Every command there is, as one types it."""
    yield above
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, *above, name)
        else:
            yield (*above, name)


def test_every_command_explains_itself_whole() -> None:
    whole = typer.main.get_command(app)
    assert isinstance(whole, typer.core.TyperGroup)
    every = list(commands(whole))
    assert len(every) > 20
    for words in every:
        told = CliRunner().invoke(app, [*words, "--help"])
        assert told.exit_code == 0, (words, told.exception)
        assert "Usage" in told.output
    chaos = re.sub(r"[\s│]", "", CliRunner().invoke(app, ["chaos", "--help"]).output)
    assert "[camera|all]clear" in chaos
    assert "[@at][/every][+for]" in chaos


def test_a_plan_needs_no_more_than_cameras_and_a_model() -> None:
    assert_one_line(streamkit("plan", "--cameras", "1", "--model", "nobody-has-this/7"), 4, "7")
    wrong = streamkit("plan", "--cameras", "1", "--model", MODEL, "--max-age", "soon")
    assert_one_line(wrong, 2, "soon", "300ms")


@pytest.mark.parametrize("module", ["streamkit.cli", "typer"])
def test_ctrl_c_while_it_loads_is_no_traceback(module: str) -> None:
    """A library that the command imports raises the signal itself, at its very beginning."""
    package, _, name = module.partition(".")
    hook = (
        "import builtins, os, signal\n"
        "before = builtins.__import__\n"
        "def hit(name, *more):\n"
        f"    if name == {module!r} or name == {package!r} and {name!r} in (more[2] or ()):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return before(name, *more)\n"
        "builtins.__import__ = hit\n"
    )
    start = f"{hook}from streamkit.__main__ import main\nmain()\n"
    command = [sys.executable, "-c", start, "version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_full_disk_behind_the_table_is_one_line(short: Path) -> None:
    command = [*STREAMKIT, "run", "--source", str(short), "--model", str(MODEL)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: [Errno 28] No space left on device"]


def test_an_output_that_cannot_be_written(short: Path) -> None:
    done = streamkit("run", "--source", short, "--model", MODEL, "--jsonl", "/proc/none/a.jsonl")
    assert_one_line(done, 5, "/proc/none")


@pytest.mark.rtsp
def test_cameras_that_say_no(short: Path) -> None:
    with camera(clip(short.with_name("cam.mp4")), auth="digest", password="right") as cam:
        wrong = f"rtsp://user:secret-word@127.0.0.1:{cam.port}{cam.path}"
        done = streamkit("run", "--source", wrong, "--model", MODEL, "--quiet")
        assert_one_line(done, 3, "127.0.0.1")
        assert "secret-word" not in done.stdout + done.stderr
        lost = cam.url.replace(cam.path, "/nowhere")
        assert_one_line(streamkit("run", "--source", lost, "--model", MODEL, "--quiet"), 3, "404")


def test_cameras_that_are_not_there(short: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        slow = f"rtsp://127.0.0.1:{port}/live"
        document = short.with_name("slow.yaml")
        document.write_text(
            f"sources: [{{reference: '{slow}', open_timeout: 1}}]\nmodel: {MODEL}\n"
        )
        assert_one_line(streamkit("run", document, "--quiet"), 3, "127.0.0.1")
    gone = streamkit("run", "--source", f"rtsp://127.0.0.1:{port}/live", "--model", MODEL, "-q")
    assert_one_line(gone, 3, "refused")


# -- stopping ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly_with_the_account(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    lines = tmp_path / "out.jsonl"
    command = [*STREAMKIT, "run", "--source", "synthetic:", "--model", str(MODEL)]
    command += ["--jsonl", str(lines)]
    with process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        until(lambda: lines.exists() and lines.read_text().count("\n") > 5)
        running.send_signal(number)
        out, err = running.communicate(timeout=10)
    assert running.returncode == code
    assert err == ""
    written = len(lines.read_text().splitlines())
    assert re.search(rf"│\s+{written} │", out), out
