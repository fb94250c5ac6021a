"""A headless Chromium, spoken to through the pipe of its DevTools protocol: nothing to install beside it."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 30.0
# Chromium listens on descriptor 3 and answers on 4. Both ends are first moved out of each other's way.
_LAUNCH = """import fcntl, os, sys
listening, answering = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(listening, 3), os.dup2(answering, 4), os.close(listening), os.close(answering)
os.execv(sys.argv[3], sys.argv[3:])"""
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe")
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowRight": 39}
_TEXTS = {"Enter": "\r", " ": " "}


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """Starts a browser with one empty page, and ends it.

    Args:
        profile: A folder for what the browser keeps.
    """
    to_browser, from_browser = os.pipe(), os.pipe()
    given = to_browser[0], from_browser[1]
    command = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        [sys.executable, "-c", _LAUNCH, *map(str, given), *command],
        pass_fds=given,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for descriptor in given:
        os.close(descriptor)
    try:
        page = Page(to_browser[1], from_browser[0])
        yield page
        page.call("Browser.close")
        process.wait(PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(to_browser[1])
        os.close(from_browser[0])


class Page:
    """One tab.

    Args:
        to_browser: Descriptor that the browser is told by.
        from_browser: Descriptor that it answers by.

    Attributes:
        problems: What the console, the security policy or an exception complained of.
        requests: Addresses that were asked for; ``data:`` asks nobody.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._to_browser = to_browser
        self._from_browser = from_browser
        self._buffer = b""
        self._calls = 0
        self._loaded = False
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": arguments}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while (answer := self._next(method)).get("id") != self._calls:
            self._note(answer)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, file: Path) -> None:
        """Opens a file and waits until it is loaded."""
        self.problems.clear()
        self.requests.clear()
        self._loaded = False
        self.call("Page.navigate", url=file.as_uri())
        while not self._loaded:
            self._note(self._next("Page.navigate"))

    def show_as(self, *, width: int = 1280, dark: bool = False, script: bool = True) -> None:
        """Sets the window's width, the colour scheme, and whether scripts of pages opened later run."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        # Nothing moves by itself, so that what is clicked stays where it is.
        media = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Emulation.setScriptExecutionDisabled", value=not script)

    def value(self, expression: str) -> Any:
        """Returns what a JavaScript expression gives."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Presses and releases a key, called as in KeyboardEvent.key."""
        down = {"type": "keyDown", "text": _TEXTS[key]} if key in _TEXTS else {"type": "rawKeyDown"}
        for step in (down, {"type": "keyUp"}):
            self.call("Input.dispatchKeyEvent", key=key, code=key, windowsVirtualKeyCode=_KEYS[key], **step)
        self._settle()

    def type(self, text: str) -> None:
        """Types into what has the focus."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Clicks the middle of the first element that matches, with the mouse."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        self._settle()
        place = self.value(
            f"(() => {{ const element = {element};"
            "const {left, top, width, height} = element.getBoundingClientRect();"
            "return {x: left + width / 2, y: top + height / 2}; })()"
        )
        for step in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=step, button="left", clickCount=1, **place)
        self._settle()

    def screenshot(self, *, whole: bool = False) -> bytes:
        """Returns a PNG of the window, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def _settle(self) -> None:
        """Waits until the page has drawn itself, and so handled what it was sent."""
        self.value("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")

    def _note(self, event: dict[str, Any]) -> None:
        name, facts = event.get("method"), event.get("params", {})
        if name == "Page.loadEventFired":
            self._loaded = True
        elif name == "Runtime.exceptionThrown":
            self.problems.append(str(facts["exceptionDetails"]))
        elif name == "Runtime.consoleAPICalled" and facts["type"] in {"error", "warning", "assert"}:
            self.problems.append(str(facts["args"]))
        elif name == "Log.entryAdded" and facts["entry"]["level"] in {"error", "warning"}:
            self.problems.append(facts["entry"]["text"])
        elif name == "Network.requestWillBeSent" and not facts["request"]["url"].startswith("data:"):
            self.requests.append(facts["request"]["url"])

    def _next(self, waited_for: str) -> dict[str, Any]:
        until = monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from_browser], [], [], max(until - monotonic(), 0))
            chunk = os.read(self._from_browser, 1 << 20) if ready else b""
            if not chunk:
                raise AssertionError(f"Chromium does not answer {waited_for}")
            self._buffer += chunk
        first, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(first)
        return message
