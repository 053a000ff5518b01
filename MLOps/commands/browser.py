"""Pages opened in the user's browser."""

import os
import sys
import webbrowser

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")  # one is set where a page can be shown on Linux


def open_page(url: str, wanted: bool | None) -> None:
    """Open `url` if `wanted`; None opens it where there is a screen and a terminal."""
    if wanted is None:
        has_screen = sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in SCREENS)
        wanted = has_screen and sys.stdout.isatty()
    if wanted:
        webbrowser.open(url)
