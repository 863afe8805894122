"""A browser without a window: a page loaded once, or driven by real key presses. Tests skip where none is installed."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
NO_BROWSER = f"no browser is installed: none of {', '.join(BROWSERS)}"
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PATIENCE = 60.0

# The browser reads commands from its file 3 and writes answers to its file 4.
LAUNCH = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " ")}


def works(path):
    """Some are only stubs that say how to install one."""
    return subprocess.run([path, "--version"], capture_output=True, check=False, timeout=60).returncode == 0


BROWSER = next((path for path in map(shutil.which, BROWSERS) if path and works(path)), None)


def browse(path, *options):
    """What the browser prints of a page."""
    command = [BROWSER, *OPTIONS, f"--user-data-dir={path.parent / 'profile'}", *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


class Driven:
    """A page that is open, and the keyboard before it."""

    def __init__(self, commands, answers):
        self.commands, self.answers = commands, answers
        self.number, self.session, self.rest = 0, None, b""

    def call(self, method, **parameters):
        """What the browser answers to a command of its DevTools protocol."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self):
        while b"\0" not in self.rest:
            assert select.select([self.answers], [], [], PATIENCE)[0], "the browser does not answer"
            part = os.read(self.answers, 65536)
            assert part, "the browser went away"
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def attach(self):
        """An empty page that believes itself in the foreground."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def open(self, address):
        """A page from its beginning, nothing focused."""
        assert "errorText" not in self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def wait_for(self, expression):
        """Until an expression holds."""
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < end, f"it never comes to {expression}"
            time.sleep(0.05)

    def value(self, expression):
        """The value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key):
        """One key, down and up."""
        code, text = KEYS.get(key, (ord(key[0].upper()), key))
        facts = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)


@contextmanager
def driven(folder):
    """A browser that stays open, with its profile in a folder."""
    (command_read, command_write), (answer_read, answer_write) = os.pipe(), os.pipe()
    options = (*OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'driven-profile'}")
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(command_read), str(answer_write), BROWSER, *options],
        pass_fds=(command_read, answer_write),
        stderr=subprocess.DEVNULL,
    )
    os.close(command_read)
    os.close(answer_write)
    try:
        page = Driven(command_write, answer_read)
        page.attach()
        yield page
    finally:
        os.close(command_write)
        os.close(answer_read)
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
