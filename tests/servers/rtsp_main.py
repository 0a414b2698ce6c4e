"""An RTSP server of many cameras, for the distribution's Python: rtsp_main.py PORT COUNT FPS CLIP [CLIP ...].

Each mount /camera_1 to /camera_COUNT plays one of the clips (H.264, as a byte stream) again and again, unencoded anew.
"""

import sys

import gi  # type: ignore[import-untyped,import-not-found,unused-ignore]  # of the distribution

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: E402

PIPELINE = (
    '( multifilesrc location="{clip}" loop=true '
    'caps="video/x-h264,stream-format=byte-stream,alignment=au,framerate={fps}/1" '
    "! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )"
)


class Clip(GstRtspServer.RTSPMediaFactory):  # type: ignore[misc,no-any-unimported,unused-ignore]
    """Makes a stream for each client."""

    def __init__(self, description: str) -> None:
        super().__init__()
        self._description = description
        self.set_shared(False)

    def do_create_element(self, _url: object) -> object:
        """What the library calls for each client."""
        return Gst.parse_launch(self._description)


def main() -> None:
    port, count, fps, *clips = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    mounts = server.get_mount_points()
    for number in range(1, int(count) + 1):
        mounts.add_factory(f"/camera_{number}", Clip(PIPELINE.format(clip=clips[number % len(clips)], fps=fps)))
    server.attach(None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
