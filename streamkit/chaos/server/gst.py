"""GStreamer's bindings, asked for by version once."""

from __future__ import annotations

import gi

for _name in ("Gst", "GstApp", "GstRtsp", "GstRtspServer", "GstVideo"):
    gi.require_version(_name, "1.0")

from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer, GstVideo  # noqa: E402

Gst.init(None)

__all__ = ["GLib", "Gio", "Gst", "GstApp", "GstRtsp", "GstRtspServer", "GstVideo"]
