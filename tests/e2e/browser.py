# SPDX-License-Identifier: MIT
"""A page as a browser has it: Debian's Chromium, driven by Playwright from PyPI, and axe-core from npm, which knows
what keeps people from reading a page. Run as a program it is the part that Playwright's own Python runs."""

import json
import subprocess
import sys

SCHEMES = ("light", "dark", "print")


def open_page(chromium, asked, **more):
    context = chromium.new_context(color_scheme="dark" if asked["scheme"] == "dark" else "light", **more)
    page = context.new_page()
    if asked["scheme"] == "print":
        page.emulate_media(media="print")
    return page


def look_at(chromium, asked):
    """What the browser complained of, asked for and showed."""
    page = open_page(chromium, asked)
    said, loaded, widths = [], [], {}
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append("a dialog"), dialog.dismiss()))
    page.on("request", lambda request: loaded.append(request.url))
    for width in (718, 1200) if asked["scheme"] == "print" else (390, 1200):  # A4 within margins, a telephone
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(asked["url"])
        widths[width] = page.evaluate("document.documentElement.scrollWidth")
    page.screenshot(path=asked["screenshot"], full_page=True)
    found = {"said": said, "loaded": sorted(set(loaded)), "widths": widths,
             "data_shown": page.locator("details").first.is_visible()}
    page.keyboard.press("Tab")
    found["first_focus"] = page.evaluate("document.activeElement.textContent")
    page.context.close()
    return found


def check_with_axe(chromium, asked):
    """What axe-core objects to. The page's own policy would not let it in."""
    page = open_page(chromium, asked, bypass_csp=True)
    page.goto(asked["url"])
    with open(asked["axe"], encoding="utf-8") as file:
        page.evaluate(file.read())
    violations = page.evaluate("axe.run()")["violations"]
    page.context.close()
    return [f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:200]}" for v in violations]


def main():
    from playwright.sync_api import sync_playwright
    asked = json.load(sys.stdin)
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=asked["program"], args=["--no-sandbox"])
        found = look_at(chromium, asked)
        found["violations"] = check_with_axe(chromium, asked)
        chromium.close()
    print(json.dumps(found))


def python():
    """A Python that has Playwright."""
    import peers

    def make(folder):
        peers.run(sys.executable, "-m", "venv", "--without-pip", folder)
        peers.run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q",
                  "--disable-pip-version-check", "playwright==1.65.2")

    return peers.made_once("playwright", make) / "bin" / "python"


def look(path, scheme, screenshot):
    """What a browser finds of the page at `path`. Skips the test where there is none."""
    import shutil
    import peers
    import pytest

    program = shutil.which("chromium")
    if not program:
        pytest.skip("needs Debian's chromium")
    axe = peers.node_modules("axe-core@4.14.1") / "node_modules" / "axe-core" / "axe.min.js"
    asked = {"program": program, "url": path.as_uri(), "scheme": scheme, "screenshot": str(screenshot), "axe": str(axe)}
    done = subprocess.run([python(), __file__], input=json.dumps(asked), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
