"""Signatures: made here, checked by receivers, with the specification's own example."""

from __future__ import annotations

import pytest

from streamkit.errors import ConfigError, SignatureError
from streamkit.outbox import new_secret, verify
from streamkit.outbox.signing import key_of, sign

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'


def headers(*secrets: str, at: int = AT, body: bytes = BODY) -> dict[str, str]:
    signature = sign([key_of(secret) for secret in secrets], ID, at, body)
    return {"webhook-id": ID, "webhook-timestamp": str(at), "webhook-signature": signature}


def test_it_is_hmac_sha256_over_id_timestamp_and_body() -> None:
    import base64
    import hashlib
    import hmac

    mark = headers(SECRET)["webhook-signature"]
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    wanted = hmac.new(key, f"{ID}.{AT}.".encode() + BODY, hashlib.sha256).digest()
    assert mark == "v1," + base64.b64encode(wanted).decode()


def test_what_was_signed_is_accepted_and_gives_its_id() -> None:
    assert verify(BODY, headers(SECRET), SECRET, now=AT + 10) == ID
    shouted = {name.upper(): value for name, value in headers(SECRET).items()}
    assert verify(BODY, shouted, [SECRET], now=AT - 10) == ID


def test_either_of_two_keys_will_do_on_either_side() -> None:
    old, new = new_secret(), new_secret()
    for theirs in ([old], [new], [new, old]):
        assert verify(BODY, headers(old, new), theirs, now=AT) == ID
        assert verify(BODY, headers(theirs[0]), [old, new], now=AT) == ID


def test_signatures_of_other_versions_are_passed_over() -> None:
    given = headers(SECRET)
    given["webhook-signature"] = f"v1a,abc {given['webhook-signature']} v2,def"
    assert verify(BODY, given, SECRET, now=AT) == ID
    given["webhook-signature"] = "v1a,abc"
    with pytest.raises(SignatureError):
        verify(BODY, given, SECRET, now=AT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"webhook-id": "msg_other"}, "fits none"),
        ({"webhook-timestamp": str(AT + 1)}, "fits none"),
        ({"webhook-timestamp": "soon"}, "not a number"),
        ({"webhook-timestamp": "٣"}, "not a number"),
        ({"webhook-timestamp": "9" * 400}, "not a number"),
        ({"webhook-signature": "v1,é"}, "fits none"),
        ({"webhook-signature": ""}, "webhook-signature is missing"),
    ],
)
def test_what_was_changed_is_refused(change: dict[str, str], said: str) -> None:
    with pytest.raises(SignatureError, match=said) as caught:
        verify(BODY, headers(SECRET) | change, SECRET, now=AT)
    assert SECRET not in str(caught.value)


def test_another_body_or_secret_is_refused() -> None:
    with pytest.raises(SignatureError):
        verify(BODY + b" ", headers(SECRET), SECRET, now=AT)
    with pytest.raises(SignatureError):
        verify(BODY, headers(SECRET), new_secret(), now=AT)
    with pytest.raises(SignatureError):
        verify(BODY, headers(SECRET), [], now=AT)


@pytest.mark.parametrize("late", [301, -301])
def test_what_was_recorded_and_sent_again_is_too_old(late: int) -> None:
    with pytest.raises(SignatureError, match="too"):
        verify(BODY, headers(SECRET), SECRET, now=AT + late)
    assert verify(BODY, headers(SECRET), SECRET, now=AT + late, tolerance=302) == ID


WRONG = [
    "", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "A" * 100, "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsec_ä" + "A" * 31,
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_secret_that_is_none_is_an_error_that_does_not_show_it(wrong: str) -> None:
    with pytest.raises(ConfigError, match="new_secret") as caught:
        key_of(wrong)
    assert not wrong or wrong == "whsec_" or wrong not in str(caught.value)
    assert caught.value.__cause__ is None
