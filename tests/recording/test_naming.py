"""Names that are known beforehand, whatever streams are called."""

from __future__ import annotations

import os

from streamkit.recording.naming import plain


def test_a_file_whose_name_is_no_text_has_a_plain_one_of_its_own() -> None:
    names = [os.fsdecode(b"t\xfcr.mp4"), os.fsdecode(b"t\xe4r.mp4"), "t_r.mp4"]
    found = [plain(name) for name in names]
    assert all(name.startswith("t_r.mp4") for name in found)
    assert len(set(found)) == 3
