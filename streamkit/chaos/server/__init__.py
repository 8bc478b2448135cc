"""The cameras' own process: GStreamer's RTSP server, told what to do by JSON lines.

It is run by whatever Python has GStreamer's bindings, which is seldom the one streamkit runs on.
So nothing in here imports streamkit or a package from PyPI, and imports are relative.
"""
