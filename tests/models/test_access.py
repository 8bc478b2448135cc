"""Keys: where they come from, what they open, for how long that is remembered, and for whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from streamkit.errors import (
    ConfigError,
    ModelAccessError,
    ModelErrorCode,
    ModelNotFoundError,
    ModelUnavailableError,
)
from streamkit.models import get_model
from streamkit.models.access import AccessControl
from streamkit.models.ids import ModelId, parse
from streamkit.models.manager import ModelManager
from streamkit.settings import Settings
from tests.fakes import until
from tests.models.servers import KEY, OTHER, FakeApi, status

MODEL, SECOND = parse("street/3"), parse("street/4")
GOOD, BAD = SecretStr("good-key"), SecretStr("bad-key")


class Authority:
    """Lets ``GOOD`` in, unless it is told to fail."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.failure: Exception | None = None

    def __call__(self, model: ModelId, api_key: SecretStr | None) -> None:
        self.asked.append((str(model), api_key.get_secret_value() if api_key else ""))
        if self.failure is not None:
            raise self.failure
        if api_key != GOOD:
            raise ModelAccessError("no", ModelErrorCode.FORBIDDEN)


class Time:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def access(authority: Authority, clock: Time) -> AccessControl:
    return AccessControl(authority, clock=clock)


def test_a_grant_is_remembered_for_a_quarter_of_an_hour(
    access: AccessControl, authority: Authority, clock: Time
) -> None:
    for _ in range(3):
        access.require(MODEL, GOOD)
    clock.now += 899
    access.require(MODEL, GOOD)
    assert len(authority.asked) == 1
    clock.now += 2
    access.require(MODEL, GOOD)
    assert len(authority.asked) == 2


def test_a_refusal_is_remembered_for_half_a_minute(
    access: AccessControl, authority: Authority, clock: Time
) -> None:
    for _ in range(3):
        with pytest.raises(ModelAccessError) as caught:
            access.require(MODEL, BAD)
        assert caught.value.code == ModelErrorCode.FORBIDDEN
    assert len(authority.asked) == 1
    clock.now += 31
    with pytest.raises(ModelAccessError):
        access.require(MODEL, BAD)
    assert len(authority.asked) == 2


def test_one_key_says_nothing_of_another_nor_of_another_model(
    access: AccessControl, authority: Authority
) -> None:
    access.require(MODEL, GOOD)
    for key in (BAD, None):
        with pytest.raises(ModelAccessError):
            access.require(MODEL, key)
    access.require(SECOND, GOOD)
    assert len(authority.asked) == 4


def test_no_answer_opens_nothing_and_is_not_remembered(
    access: AccessControl, authority: Authority
) -> None:
    authority.failure = ModelUnavailableError("down")
    with pytest.raises(ModelUnavailableError):
        access.require(MODEL, GOOD)
    authority.failure = None
    access.require(MODEL, GOOD)


def test_a_model_that_does_not_exist_stays_so_for_a_moment(
    access: AccessControl, authority: Authority
) -> None:
    authority.failure = ModelNotFoundError("nothing")
    for _ in range(2):
        with pytest.raises(ModelNotFoundError, match="nothing"):
            access.require(MODEL, GOOD)
    assert len(authority.asked) == 1


def test_what_is_remembered_is_bounded_and_shows_no_key(authority: Authority) -> None:
    access = AccessControl(authority, entries=3)
    for number in range(10):
        access.require(ModelId("street", str(number)), GOOD)
        with pytest.raises(ModelAccessError):
            access.require(ModelId("street", str(number)), BAD)
    assert len(access._granted) == len(access._denied) == 3
    assert "-key" not in repr(access._granted) + repr(access._denied) + repr(vars(access))


# -- on a manager ----------------------------------------------------------------------------


@pytest.fixture
def guarded(api: FakeApi, tmp_path: Path) -> Iterator[ModelManager]:
    settings = Settings.load(
        model_cache_dir=tmp_path / "cache",
        api_base_url=api.url,
        models_cache_auth_enabled=True,
        api_key=KEY,
    )
    manager = ModelManager.of(settings)
    yield manager
    manager.close()


def test_a_loaded_model_answers_only_who_may_use_it(guarded: ModelManager, api: FakeApi) -> None:
    with guarded.lease("street/3", KEY):
        before = len(api.requests)
        for key in (OTHER, "nonsense", "", None):
            for obtain in (guarded.lease, guarded.pin):
                with pytest.raises(ModelAccessError):
                    obtain("street/3", key)
        assert len(api.requests) == before + 3  # the refusals are remembered too
        guarded.lease("street/3", KEY).release()
        assert len(api.requests) == before + 3
    assert guarded.loads == 1


def test_a_model_in_the_cache_is_not_loaded_for_who_may_not_use_it(
    guarded: ModelManager, api: FakeApi
) -> None:
    guarded.lease("street/3", KEY).release()
    guarded.close()
    with pytest.raises(ModelAccessError):
        guarded.lease("street/3", OTHER)
    with pytest.raises(ModelAccessError):
        guarded._store.find(MODEL, SecretStr(OTHER))
    assert guarded.loads == 1
    assert api.paths().count("/files/street/3/weights") == 1


def test_nobody_is_let_in_while_nobody_can_be_asked(guarded: ModelManager, api: FakeApi) -> None:
    api.faults["/ort/street/3"] += [status(403)] * 3
    with pytest.raises(ModelAccessError):
        guarded.lease("street/3", KEY)
    assert guarded.models() == []


def test_without_control_a_loaded_model_answers_all(api: FakeApi, tmp_path: Path) -> None:
    settings = Settings.load(model_cache_dir=tmp_path / "cache", api_base_url=api.url)
    manager = ModelManager.of(settings)
    manager.lease("street/3", KEY).release()
    manager.lease("street/3").release()
    assert manager.loads == 1
    manager.close()


def test_a_good_key_is_not_refused_because_a_bad_one_came_first(
    api: FakeApi, tmp_path: Path
) -> None:
    settings = Settings.load(model_cache_dir=tmp_path / "cache", api_base_url=api.url)
    manager = ModelManager.of(settings)
    with pytest.raises(ModelAccessError):
        manager.lease("street/3", "nonsense")
    manager.lease("street/3", KEY).release()
    manager.close()


def test_who_waits_for_a_load_is_not_refused_for_the_key_of_another(
    api: FakeApi, tmp_path: Path
) -> None:
    gate = threading.Event()

    def late_refusal(handler: Any) -> None:
        assert gate.wait(10)
        handler.answer(401, b"{}", {})

    api.faults["/ort/street/3"].append(late_refusal)
    manager = ModelManager.of(
        Settings.load(model_cache_dir=tmp_path / "cache", api_base_url=api.url)
    )
    outcomes: dict[str, bool] = {}

    def want(key: str) -> None:
        try:
            manager.lease("street/3", key).release()
            outcomes[key] = True
        except ModelAccessError:
            outcomes[key] = False

    bad = threading.Thread(target=want, args=("nonsense",))
    bad.start()
    api.wait_for("/ort/street/3")
    good = [threading.Thread(target=want, args=(KEY,)) for _ in range(3)]
    for thread in good:
        thread.start()
    until(lambda: [i.users for i in manager._instances._table.values()] == [4])
    gate.set()
    for thread in (bad, *good):
        thread.join()
    assert outcomes == {"nonsense": False, KEY: True}
    assert manager.loads == 1
    manager.close()


def test_control_cannot_be_had_offline() -> None:
    with pytest.raises(ConfigError, match="OFFLINE_MODE"):
        ModelManager.of(Settings.load(models_cache_auth_enabled=True, offline_mode=True))


# -- where a key comes from ------------------------------------------------------------------


def test_the_key_of_the_settings_serves_scripts_that_give_none(
    api: FakeApi, tmp_path: Path
) -> None:
    for auth in (False, True):
        settings = Settings.load(
            model_cache_dir=tmp_path / str(auth),
            api_base_url=api.url,
            api_key=KEY,
            models_cache_auth_enabled=auth,
        )
        manager = ModelManager.of(settings)
        get_model("street/3", manager=manager).close()
        manager.close()


def test_the_key_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("\ufeffin-a-file\r\n", encoding="utf-8")
    monkeypatch.setenv("STREAMKIT_API_KEY_FILE", str(file))
    assert Settings.load().api_key == SecretStr("in-a-file")
    assert "in-a-file" not in repr(Settings.load())
    monkeypatch.setenv("API_KEY", "in-the-environment")
    assert Settings.load().api_key == SecretStr("in-the-environment")
    monkeypatch.delenv("API_KEY")
    file.write_text(" \n")
    with pytest.raises(ConfigError, match=f"{file}: it is empty"):
        Settings.load()
    file.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        Settings.load()
