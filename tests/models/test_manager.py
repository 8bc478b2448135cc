"""Models are loaded once, shared, and let go of when there is no room."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from streamkit.errors import ConfigError, InferenceError, ModelArtefactError, ModelNotFoundError
from streamkit.models import default_manager, get_model
from streamkit.models.base import InferenceOptions
from streamkit.models.ids import ModelId, parse
from streamkit.models.manager import Lease, ModelManager
from streamkit.models.preprocess import Switches
from streamkit.models.session import Execution
from streamkit.models.shared import SharedModel
from streamkit.models.store import Store
from streamkit.models.store.local import LocalFolder
from streamkit.models.store.package import Package, read_folder
from streamkit.settings import Settings
from tests.models.graphs import write_folder
from tests.models.test_yolo import PICTURE


def loaded(manager: ModelManager) -> list[str]:
    return [shared.model.model_id for shared in manager.models()]


def test_three_leases_are_one_load(manager: ModelManager) -> None:
    told: list[str] = []

    def on_load(shared: SharedModel, seconds: float) -> None:
        assert seconds > 0
        told.append(shared.model.model_id)

    leases = [manager.lease(text, on_load=on_load) for text in ("toy/1", "toy/01", " toy/1")]
    assert manager.loads == 1
    assert told == ["toy/1"]
    assert len({id(lease.shared) for lease in leases}) == 1
    assert leases[0].shared.users == 3
    for lease in leases:
        lease.release()
    assert leases[0].shared.users == 0
    assert loaded(manager) == ["toy/1"]


def test_a_released_model_is_found_loaded(manager: ModelManager) -> None:
    with manager.lease("toy/1") as first:
        pass
    with manager.lease("toy/1") as second:
        assert second is first
    assert manager.loads == 1


def test_releasing_twice_is_releasing_once(manager: ModelManager) -> None:
    kept, given = manager.lease("toy/1"), manager.lease("toy/1")
    given.release()
    given.release()
    assert kept.shared.users == 1
    kept.release()


def test_many_who_want_a_model_at_once_load_it_once(cache: Path) -> None:
    gate = Gate(cache)
    manager = ModelManager(Store([gate]))
    leases: list[Lease] = []
    threads = [run(lambda: leases.append(manager.lease("toy/1"))) for _ in range(6)]
    assert gate.entered.wait(10)
    gate.open.set()
    for thread in threads:
        thread.join()
    assert manager.loads == 1
    assert gate.asked == ["toy/1"]
    assert len({id(lease.shared) for lease in leases}) == 1
    assert leases[0].shared.users == 6
    for lease in leases:
        lease.release()


def test_a_slow_load_holds_up_nobody_else(cache: Path) -> None:
    write_folder(cache / "other" / "1")
    gate = Gate(cache)
    manager = ModelManager(Store([gate]))
    slow = run(lambda: manager.lease("toy/1").release())
    assert gate.entered.wait(10)
    with manager.lease("other/1") as other:
        assert other.model.model_id == "other/1"
        assert loaded(manager) == ["other/1"]
    gate.open.set()
    slow.join()


def test_all_who_wait_for_a_load_meet_its_error_and_may_try_again(cache: Path) -> None:
    names = cache / "toy" / "1" / "class_names.txt"
    names.write_text("too\nfew")
    gate = Gate(cache)
    manager = ModelManager(Store([gate]))
    errors: list[ModelArtefactError] = []

    def want() -> None:
        try:
            manager.lease("toy/1")
        except ModelArtefactError as error:
            errors.append(error)

    threads = [run(want) for _ in range(3)]
    assert gate.entered.wait(10)
    gate.open.set()
    for thread in threads:
        thread.join()
    assert len(errors) == 3
    names.write_text("a\nb\nc")
    manager.lease("toy/1").release()
    assert manager.loads == 1


def test_what_on_load_raises_is_raised_and_the_model_is_not_held(manager: ModelManager) -> None:
    def on_load(_shared: SharedModel, _seconds: float) -> None:
        raise RuntimeError("told")

    with pytest.raises(RuntimeError, match="told"):
        manager.lease("toy/1", on_load=on_load)
    manager.close()
    assert loaded(manager) == []


def test_the_one_unused_for_longest_makes_room(cache: Path) -> None:
    for name in "abcd":
        write_folder(cache / name / "1")
    manager = ModelManager(Store([LocalFolder(cache)]), max_active=3)
    for name in ("a/1", "b/1", "c/1", "a/1", "d/1"):
        manager.lease(name).release()
    assert loaded(manager) == ["c/1", "a/1", "d/1"]
    manager.lease("b/1").release()
    assert manager.loads == 5


def test_a_model_in_use_is_never_let_go(cache: Path) -> None:
    for name in "abc":
        write_folder(cache / name / "1")
    manager = ModelManager(Store([LocalFolder(cache)]), max_active=1)
    first, second = manager.lease("a/1"), manager.lease("b/1")
    assert loaded(manager) == ["a/1", "b/1"]
    assert first.shared.infer([PICTURE], [InferenceOptions()])
    first.release()
    assert loaded(manager) == ["b/1"]
    second.release()
    assert loaded(manager) == ["b/1"]


def test_another_architecture_is_another_instance(manager: ModelManager) -> None:
    with manager.lease("toy/1") as plain, manager.lease("toy/1", architecture="yolov9") as said:
        assert plain is not said
    assert manager.loads == 2


def test_the_key_goes_to_the_providers(cache: Path) -> None:
    gate = Gate(cache)
    gate.open.set()
    manager = ModelManager(Store([gate]))
    manager.lease("toy/1", "secret").release()
    assert gate.keys == [SecretStr("secret")]


def test_what_can_be_no_model_is_refused(manager: ModelManager) -> None:
    with pytest.raises(ConfigError):
        manager.lease("toy//1")
    with pytest.raises(ModelNotFoundError):
        manager.lease("nothing/1")
    assert loaded(manager) == []
    assert manager.loads == 0


def test_a_manager_follows_the_settings(cache: Path) -> None:
    settings = Settings.load(
        model_cache_dir=cache,
        model_workers=3,
        onnxruntime_execution_providers=["CPUExecutionProvider"],
        disable_preproc_static_crop=True,
    )
    manager = ModelManager.of(settings)
    with manager.lease("toy/1") as shared:
        assert shared.model.provider == "CPUExecutionProvider"
        names = [
            t.name for t in threading.enumerate() if t.name.startswith("streamkit model toy/1")
        ]
        assert len(names) == 3


def test_a_required_provider_is_asked_for_before_anything_is_loaded(cache: Path) -> None:
    execution = Execution(required=("CoreMLExecutionProvider",))
    manager = ModelManager(Store([LocalFolder(cache)]), execution, off=Switches())
    with pytest.raises(ConfigError, match="CoreMLExecutionProvider"):
        manager.lease("toy/1")


# -- get_model -------------------------------------------------------------------------------


def test_a_model_can_be_called(manager: ModelManager) -> None:
    with get_model("toy/1", manager=manager) as model:
        assert model.names == ("a", "b", "c")
        assert model.model_id == "toy/1"
        [found] = model.infer(PICTURE, confidence=0.5)
        assert [row["class"] for row in found.dict()["predictions"]] == ["b", "a"]
        assert len(model.infer([PICTURE] * 3)) == 3
        assert model.infer([]) == []


def test_an_unknown_option_is_told_which_there_are(manager: ModelManager) -> None:
    with get_model("toy/1", manager=manager) as model:
        with pytest.raises(ConfigError, match=r"no such option: treshold; there are confidence, "):
            model.infer(PICTURE, treshold=0.5)
        with pytest.raises(ConfigError, match="confidence must be from 0 to 1, not 40"):
            model.infer(PICTURE, confidence=40)
        with pytest.raises(ConfigError, match="from 0 to 1"):
            model.infer(PICTURE, confidence="much")
        with pytest.raises(ConfigError, match="mask_decode_mode 'slow'"):
            model.infer(PICTURE, mask_decode_mode="slow")
        with pytest.raises(ConfigError, match="class_filter must be a list"):
            model.infer(PICTURE, class_filter="a")
        with pytest.raises(ConfigError, match="max_detections must be 1 or more"):
            model.infer(PICTURE, max_detections=0)
        assert len(model.infer(PICTURE, class_filter=["a"])) == 1


def test_what_is_no_picture_is_an_error(manager: ModelManager) -> None:
    with get_model("toy/1", manager=manager) as model, pytest.raises(InferenceError, match="str"):
        model.infer("picture.jpg")  # type: ignore[arg-type]


def test_a_called_model_stays_while_it_is_held_and_shares_its_session(cache: Path) -> None:
    write_folder(cache / "other" / "1")
    manager = ModelManager(Store([LocalFolder(cache)]), max_active=1)
    model = get_model("toy/1", manager=manager)
    manager.lease("other/1").release()
    assert loaded(manager) == ["toy/1"]
    with manager.lease("toy/1"):
        assert model.infer(PICTURE)
    assert manager.loads == 2
    model.close()
    with pytest.raises(ConfigError, match="toy/1 has been closed"):
        model.infer(PICTURE)


def test_a_model_that_is_dropped_is_let_go(manager: ModelManager) -> None:
    model = get_model("toy/1", manager=manager)
    del model
    manager.close()
    assert loaded(manager) == []


def test_a_model_may_be_dropped_by_a_thread_that_holds_the_lock(manager: ModelManager) -> None:
    model = get_model("toy/1", manager=manager)
    with manager._instances.lock:  # a garbage collection can come at any time
        del model
    manager.close()
    assert loaded(manager) == []


def test_the_process_has_one_manager() -> None:
    assert default_manager() is default_manager()


def test_importing_models_loads_neither_opencv_nor_onnxruntime() -> None:

    code = (
        "import sys, streamkit.models; print({'cv2', 'onnxruntime', 'pydantic'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Gate:
    """A provider over a folder which holds up ``toy/1`` until it is opened."""

    place = "behind a gate"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entered = threading.Event()
        self.open = threading.Event()
        self.asked: list[str] = []
        self.keys: list[SecretStr | None] = []

    def find(self, model: ModelId, api_key: SecretStr | None, /) -> Package | None:
        self.asked.append(str(model))
        self.keys.append(api_key)
        if model == parse("toy/1"):
            self.entered.set()
            assert self.open.wait(10)
        return read_folder(self.root / model.folder, str(model))


def run(work: object) -> threading.Thread:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    return thread
