"""A script that uses a pipeline ends when it should, whatever state the pipeline is in."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

PREAMBLE = """
import sys, threading, time
sys.path.insert(0, {root!r})
from streamkit import InferencePipeline
from tests.fakes import Camera, Clip, Deaf, numbers
def pipeline_of(source, **more):
    return InferencePipeline.init_with_custom_logic(source, more.pop("model", numbers), **more)
"""


def run(script: str, timeout: float = 20) -> tuple[int, str, float]:
    from pathlib import Path

    root = str(Path(__file__).resolve().parents[1])
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE.format(root=root) + script],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


def test_it_exits_after_terminate_though_a_source_sits_in_a_native_call() -> None:
    code, out, took = run(
        "p = pipeline_of(Deaf(60)); p.start(use_main_thread=False); p.terminate(); print('bye')"
    )
    assert code == 0
    assert "bye" in out
    assert took < 15


def test_it_exits_when_a_model_raises_and_join_says_so() -> None:
    code, out, _ = run(
        "def broken(frames): raise ValueError('no model')\n"
        "p = pipeline_of([Camera(), Camera()], model=broken)\n"
        "p.start(use_main_thread=False)\np.join()"
    )
    assert code == 1
    assert "ValueError: no model" in out


def test_it_lives_until_the_pipeline_has_ended_without_a_join() -> None:
    code, out, _ = run(
        "p = pipeline_of(Clip(50), on_prediction=lambda _, f: print(f.frame_id))\n"
        "p.start(use_main_thread=False)"
    )
    assert code == 0
    assert out.split() == [str(n) for n in range(1, 51)]


@pytest.mark.parametrize("main_thread", [True, False])
def test_ctrl_c_ends_it(main_thread: bool) -> None:
    code, out, took = run(
        "import os, signal\n"
        "p = pipeline_of(Camera(), on_prediction=lambda *_: time.sleep(0.2))\n"
        "threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        f"p.start(use_main_thread={main_thread})\np.join()"
    )
    assert code != 0
    assert "KeyboardInterrupt" in out
    assert took < 15


@pytest.mark.parametrize("main_thread", [True, False])
@pytest.mark.parametrize("callback", ["print", "None"])
def test_ctrl_c_that_another_thread_is_given_ends_it(callback: str, main_thread: bool) -> None:
    """As the kernel does when that thread looks for signals first; nothing wakes the main one."""
    code, out, took = run(
        "import signal\n"
        "camera = Camera()\ncamera.silent.set()\n"
        f"p = pipeline_of(camera, on_prediction={callback})\n"
        "give = lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT)\n"
        "threading.Timer(1.0, give).start()\n"
        f"p.start(use_main_thread={main_thread})\np.join()"
    )
    assert code != 0
    assert "KeyboardInterrupt" in out
    assert took < 15
