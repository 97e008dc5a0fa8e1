"""The page runs its own script only, asks for nothing, and shows what strangers named as text."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.browsing import column_of, find
from support.flows import random_flow

ASKS = {
    "fetch": "fetch('ADDRESS/x').catch(() => 0)",
    "beacon": "navigator.sendBeacon('ADDRESS/x')",
    "XMLHttpRequest": "{ const r = new XMLHttpRequest(); r.open('GET', 'ADDRESS/x'); r.send(); }",
    "socket": "try { new WebSocket('ws:ADDRESS/x') } catch {}",
    "image": "document.body.append(Object.assign(new Image(), { src: 'ADDRESS/x.png' }))",
    "style sheet": "document.head.append(Object.assign(document.createElement('link'),"
    " { rel: 'stylesheet', href: 'ADDRESS/x.css' }))",
    "background": "document.body.style.backgroundImage = \"url('ADDRESS/x.png')\"",
    "font": "document.fonts.add(new FontFace('x', \"url('ADDRESS/x.woff')\")),"
    " document.fonts.load('12px x').catch(() => 0)",
    "frame": "document.body.append(Object.assign(document.createElement('iframe'), { src: 'ADDRESS/x' }))",
    "form": "{ const f = document.createElement('form'); f.action = 'ADDRESS/x';"
    " document.body.append(f); f.submit(); }",
    "script": "document.body.append(Object.assign(document.createElement('script'),"
    " { src: 'ADDRESS/x.js' }))",
}


class Asked(BaseHTTPRequestHandler):
    """Notes what is asked for; a connection that asks nothing, which chromium opens ahead, is none."""

    server: Listener

    def handle_one_request(self) -> None:
        self.server.asked += [line] if (line := self.rfile.readline()) else []
        self.close_connection = True


class Listener(ThreadingHTTPServer):
    """On a free port of this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.asked: list[bytes] = []


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listening:
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        yield listening
        listening.shutdown()


def opened(browser: Any, path: Path) -> Any:
    page = browser.new_context().new_page()
    page.goto(path.as_uri())
    page.evaluate(WATCH)
    return page


WATCH = """() => {
    document.onsecuritypolicyviolation = (e) => (window.refused ||= []).push(e.blockedURI);
}"""


def refused(page: Any) -> list[str]:
    """What the policy has refused, once there is something."""
    for _ in range(100):
        if found := page.evaluate("window.refused || []"):
            break
        page.wait_for_timeout(50)
    return list(found)


@pytest.mark.parametrize("how", ASKS)
def test_the_policy_forbids_every_request(browser: Any, listener: Listener, tmp_path: Path, how: str) -> None:
    random_flow([4, 3, 2]).report(tmp_path / "flow.html")
    address = f"//127.0.0.1:{listener.server_port}"
    page = opened(browser, tmp_path / "flow.html")
    page.evaluate(f"() => {{ {ASKS[how]} }}".replace("ADDRESS", f"http:{address}").replace("ws:http:", "ws:"))
    assert any(address in one for one in refused(page))
    page.context.close()
    assert listener.asked == []


def test_without_the_policy_the_listener_is_reached(browser: Any, listener: Listener, tmp_path: Path) -> None:
    """So that the test above can fail."""
    random_flow([4, 3, 2]).report(tmp_path / "flow.html")
    text = (tmp_path / "flow.html").read_text("utf-8")
    (tmp_path / "flow.html").write_text(text.replace("Content-Security-Policy", "none"), "utf-8")
    page = opened(browser, tmp_path / "flow.html")
    page.evaluate(
        f"() => {{ {ASKS['image']} }}".replace("ADDRESS", f"http://127.0.0.1:{listener.server_port}")
    )
    page.wait_for_timeout(500)
    page.context.close()
    assert listener.asked != []


@pytest.mark.parametrize(
    "script",
    ["<script>window.ran = true</script>", "<img src=data:, onerror='window.ran = true'>"],
    ids=["script", "handler"],
)
def test_the_policy_runs_no_other_script(browser: Any, tmp_path: Path, script: str) -> None:
    random_flow([4, 3, 2]).report(tmp_path / "flow.html")
    page = opened(browser, tmp_path / "flow.html")
    page.evaluate(
        "(text) => { document.body.append(document.createRange().createContextualFragment(text)); }", script
    )
    assert refused(page)
    assert page.evaluate("window.ran") is None
    page.context.close()


NAMES = ("\x1b[31mred", "\u202egnp.exe", "=1+1", "-1")


def test_marks_that_act_are_shown_and_copied_names_are_no_formulas(show: Any) -> None:
    flow = random_flow([len(NAMES), 3, 2], seed=3)
    page = show(replace(flow, layers=(replace(flow.layers[0], units=NAMES), *flow.layers[1:])))
    page.click("#tab-neurons")
    texts = column_of(page, "neurons", 2)
    assert {"\\u{1b}[31mred", "\\u{202e}gnp.exe", "=1+1", "-1"} <= set(texts)
    page.evaluate(
        "navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }"
    )
    page.click("#neurons .copy")
    rows = list(csv.reader(io.StringIO(page.evaluate("window.copied"))))
    assert {"'=1+1", "'-1"} <= {row[1] for row in rows}
    page.click("#tab-network")
    find(page, "gnp")
    assert page.inner_text("#detail h2") == "\\u{202e}gnp.exe"
