"""Secrets are kept elsewhere, looked up when needed, and told to nobody."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.credentials import is_reference, masked, redacted, resolved
from streamkit.errors import ConfigError, SourceError, StreamErrorCode
from streamkit.options import SourceReference, StreamPlan, plan
from streamkit.sources import check_source, open_source
from streamkit.sources.reference import Locator, parse, printable
from streamkit.spec import PipelineSpec
from streamkit.streams.options import StreamOptions
from tests.sources.servers import unused_port, web

SECRET = "SECRETIVE"


def chain(error: BaseException) -> str:
    """All that printing an error could show, causes and contexts included."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)


def test_a_variable_a_file_and_a_literal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CAM_PASSWORD", " p%40ss ")
    kept = tmp_path / "secret"
    kept.write_bytes(b"two\nlines \r\n")
    kept.chmod(0o600)
    assert resolved("env:CAM_PASSWORD") == " p%40ss "
    assert resolved(f"file:{kept}") == "two\nlines "
    assert resolved("literal:env:CAM_PASSWORD") == "env:CAM_PASSWORD"
    assert resolved("literal:literal:x") == "literal:x"
    assert resolved("a:b") == "a:b"
    assert [is_reference(t) for t in ("env:A", "file:x", "literal:env:A", "env")] == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("env:NOT_THERE", "NOT_THERE is not set"),
        ("env:", "name of a variable"),
        ("env:A B", "name of a variable"),
        ("file:/not/there", "/not/there of a secret cannot be read"),
        ("file:/", "cannot be read"),
        ("file:a\0b", "no proper path"),
        ("file:/dev/zero", "too long"),
        ("keyring:service", "a service and a user"),
    ],
)
def test_what_is_missing_is_named(reference: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        resolved(reference)


def test_what_is_no_text_is_refused_without_being_shown(tmp_path: Path) -> None:
    kept = tmp_path / "secret"
    kept.write_bytes(b"SECRETIVE\xff")
    with pytest.raises(ConfigError, match="not text") as caught:
        resolved(f"file:{kept}")
    assert SECRET not in chain(caught.value)


def test_a_file_that_others_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "secret"
    kept.write_text(SECRET)
    kept.chmod(0o600)
    resolved(f"file:{kept}")
    assert not caplog.records
    kept.chmod(0o644)
    resolved(f"file:{kept}")
    assert "chmod 600" in caplog.text
    assert SECRET not in caplog.text


class Safe:
    """A keyring of one entry."""

    priority = 1

    def get_password(self, service: str, user: str) -> str | None:
        return SECRET if (service, user) == ("cameras/front", "door") else None


def test_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    monkeypatch.setattr(keyring.core, "_keyring_backend", Safe())
    assert resolved("keyring:cameras/front/door") == SECRET
    with pytest.raises(ConfigError, match="nothing for cameras/back"):
        resolved("keyring:cameras/back")
    from keyring.backends.fail import Keyring

    monkeypatch.setattr(keyring.core, "_keyring_backend", Keyring())  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigError, match="cannot be asked"):
        resolved("keyring:cameras/back")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"streamkit\[keyring\]"):
        resolved("keyring:cameras/door")


def test_an_address_takes_variables_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAM_USER", "me@home")
    monkeypatch.setenv("CAM_PASSWORD", "50%25/?#@: ${x}")
    monkeypatch.setenv("CAM_HOST", "cam.example:8554")
    kept = tmp_path / "token"
    kept.write_text("a/b c\n")
    kept.chmod(0o600)
    locator = Locator(
        f"rtsp://${{CAM_USER}}:${{CAM_PASSWORD}}@${{CAM_HOST}}/live?t=${{file:{kept}}}&x=1"
    )
    address = locator.resolved()
    assert (address.username, address.password) == ("me@home", "50%25/?#@: ${x}")
    assert (address.host, address.port) == ("cam.example", 8554)
    assert address.rest == "/live?t=a%2Fb%20c&x=1"
    assert locator.printable == address.printable == "rtsp://***@cam.example:8554/live"
    for shown in (repr(locator), repr(address), str(address)):
        assert "50%25" not in shown


def test_a_secret_in_a_path_is_shown_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL", SECRET)
    locator = Locator("rtsp://cam/x${CHANNEL}y/1")
    assert locator.resolved().rest == f"/x{SECRET}y/1"
    assert locator.printable == "rtsp://cam/x${CHANNEL}y/1"


def test_a_whole_address_may_be_kept_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM_URL", f"rtsp://me:{SECRET}@127.0.0.1:8554/live")
    for reference in ("env:CAM_URL", "${CAM_URL}"):
        source = open_source(reference)
        assert source.reference == "rtsp://***@127.0.0.1:8554/live"
        check_source(reference)
    with pytest.raises(ConfigError, match="NO_URL is not set"):
        open_source("env:NO_URL")


def test_a_missing_variable_is_told_before_anything_starts() -> None:
    document = {"sources": ["rtsp://${NOBODY}:x@cam/"], "model": "a/1"}
    reference = PipelineSpec.of(document).placed(Path("/somewhere")).sources[0].reference
    for options in ({}, {"isolated": True}):
        with pytest.raises(ConfigError, match="NOBODY is not set"):
            plan(SourceReference(reference, options), None, StreamOptions())
    with pytest.raises(ConfigError, match="NOBODY is not set"):
        check_source("rtsp://cam/x", password="env:NOBODY")


def test_a_reference_in_a_document_is_no_path() -> None:
    references = ["${CAM_URL}", "env:CAM_URL", "keyring:a/b", "${file:/run/secrets/cam}"]
    spec = PipelineSpec.of({"sources": references, "model": "a/1"}).placed(Path("/somewhere"))
    assert [source.reference for source in spec.sources] == references


def test_a_dollar_can_be_written_otherwise() -> None:
    assert parse("rtsp://me:%24%7Bx%7D@cam/").password == "${x}"
    assert Locator("rtsp://me:%24%7Bx%7D@cam/").resolved().password == "${x}"
    assert Locator("rtsp://me:a$b{c}$@cam/").resolved().password == "a$b{c}$"


def test_a_changed_secret_counts_from_the_next_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def answer(request: Any) -> None:
        asked.append(request.headers.get("Authorization"))
        wanted = {"WWW-Authenticate": 'Basic realm="x"'}
        request.reply(b"", status=401, **wanted)

    monkeypatch.setenv("CAM_PASSWORD", "old")
    with web(answer) as address:
        source = open_source(
            f"{address}/x.mp4", live=True, username="u", password="env:CAM_PASSWORD"
        )
        for password in ("old", "new"):
            monkeypatch.setenv("CAM_PASSWORD", password)
            with pytest.raises(SourceError):
                list(source.read())
        monkeypatch.delenv("CAM_PASSWORD")
        with pytest.raises(SourceError, match="CAM_PASSWORD is not set") as caught:
            list(source.read())
    assert caught.value.code is StreamErrorCode.AUTH_FAILED
    assert len({told for told in asked if told}) == 2


def test_what_stands_for_a_source_shows_no_secret() -> None:
    address = f"rtsp://me:{SECRET}@cam/live"
    options = {"password": SECRET, "transport": "udp"}
    spec = PipelineSpec.of({"sources": [{"reference": address, **options}], "model": "a/1"})
    made: StreamPlan = plan(SourceReference(address, options), None, StreamOptions())
    shown = [
        repr(spec), str(spec), repr(spec.sources[0]), repr(SourceReference(address, options)),
        repr(made), repr(open_source(address)), repr(open_source(address, isolated=True)),
        repr(vars(open_source("rtsp://cam/x", password=SECRET))), printable(address),
        repr(made.open()),
    ]  # fmt: skip
    assert all(SECRET not in text for text in shown)
    assert "rtsp://***@cam/live" in repr(spec)


@pytest.mark.parametrize(
    "text",
    [
        f'sources: [{{reference: "rtsp://me:{SECRET}@cam/"\nmodel: a/1\n',
        f"sources: [{{reference: rtsp://cam/, password: '{SECRET}]\nmodel: a/1\n",
        f"sources: {SECRET}\nmodel: a/1\n",
        f"sources: [[{SECRET}]]\nmodel: a/1\n",
        f"password: {SECRET}\nsources: [a.mp4]\nmodel: a/1\n",
        f"sources: [{{password: {SECRET}}}]\nmodel: a/1\n",
        f"sources: ['rtsp://me:{SECRET}@cam/']\nmodel: {{id: a/1, confidence: 7}}\n",
    ],
)
def test_wrong_documents_are_explained_without_their_secrets(tmp_path: Path, text: str) -> None:
    document = tmp_path / "a.yaml"
    document.write_text(text)
    with pytest.raises(ConfigError) as caught:
        PipelineSpec.load(document)
    assert SECRET not in chain(caught.value)


def test_wrong_options_are_explained_without_their_values() -> None:
    for options in ({"password": [SECRET]}, {"password": 4711_4711}, {"open_timeout": SECRET}):
        with pytest.raises(ConfigError) as caught:
            open_source("rtsp://cam/", **options)
        assert SECRET not in chain(caught.value)
        assert "47114711" not in chain(caught.value)


def test_log_lines_of_ffmpeg_lose_their_addresses(caplog: pytest.LogCaptureFixture) -> None:
    port = unused_port()
    with libav_tells_all(), caplog.at_level(1):
        for scheme in ("rtsp", "rtmp", "tcp", "udp"):
            source = open_source(
                f"{scheme}://me:{SECRET}@127.0.0.1:{port}/x", open_timeout=0.3, read_timeout=0.3
            )
            with pytest.raises(SourceError) as caught:
                next(source.read())
            assert SECRET not in chain(caught.value)
    assert SECRET not in caplog.text


@contextmanager
def libav_tells_all() -> Iterator[None]:
    before = av.logging.get_level()
    av.logging.set_level(av.logging.TRACE)
    try:
        yield
    finally:
        av.logging.set_level(before)


def test_the_filter_for_foreign_loggers_masks_what_they_tell(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import streamkit.sources.decoding

    assert streamkit.sources.decoding
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("libav.rtsp").error("at %s", f"rtsp://me:{SECRET}@cam/")
        logging.getLogger("libav.rtsp").error("Authorization: Basic %s\r\nx: y", SECRET)
    assert SECRET not in caplog.text
    assert "rtsp://***@cam/" in caplog.text


@given(st.text(min_size=4))
def test_a_secret_is_found_however_it_is_written(secret: str) -> None:
    from urllib.parse import quote

    encodable = secret.encode(errors="replace").decode()
    for form in (secret, repr(secret), quote(encodable, safe="")):
        if len(form.strip("'\"")) >= 4 and secret.strip("*"):
            assert secret not in redacted(f"<{form}>", [secret])


def test_what_looks_like_credentials_is_masked() -> None:
    assert masked("open rtsp://me:p@ss@cam/x failed") == "open rtsp://***@cam/x failed"
    assert masked("rtsp://cam/x and rtsp://a@b/c") == "rtsp://cam/x and rtsp://***@b/c"
    assert masked("Authorization: Digest x\r\nCSeq: 1") == "Authorization: ***\r\nCSeq: 1"
