"""A headless Chromium, driven through the pipe of its developer tools: what a reader's browser does with a page."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time

SHELL = shutil.which("bash")  # others know file descriptors of one digit only
PATH = SHELL and (shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"))
PATIENCE = 120  # seconds for an answer: machines that test are busy


class Chromium:
    """A browser, for the body of a ``with`` statement."""

    def __init__(self, profile):
        self._profile = profile
        self._number, self._buffer, self.events = 0, b"", []

    def __enter__(self):
        pipes = [*os.pipe(), *os.pipe()]
        # The browser has them as 3 and 4, which must not be among those that it gets them from.
        commands, self._write, self._read, answers = (fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 10) for pipe in pipes)
        for pipe in pipes:
            os.close(pipe)
        options = "--headless --no-sandbox --disable-gpu --remote-debugging-pipe about:blank"
        line = f'exec "$0" {options} --user-data-dir="$1" 3<&{commands} 4>&{answers}'  # as the browser expects them
        self._process = subprocess.Popen(
            [SHELL, "-c", line, PATH, str(self._profile)],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def _message(self):
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            content = os.read(self._read, 2**20)
            assert content, "the browser has ended"
            self._buffer += content
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        """Call a method and return its result; events that come before are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, url, *, width, scheme):
        """Open a page in a window of its own, wait until it is loaded, and return its session."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", session)
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", session, **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", session, media="", features=features)
        self.events.clear()
        self.call("Page.navigate", session, url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())
        return session

    def value(self, session, expression):
        """Return the value of an expression in the page; None if it has none."""
        return self.call("Runtime.evaluate", session, expression=expression, returnByValue=True)["result"].get("value")

    def of(self, *methods):
        """Return the parameters of the events of some kinds since the page was opened."""
        return [event["params"] for event in self.events if event["method"] in methods]
