# SPDX-License-Identifier: MIT
"""A person at the live page, in Debian's Chromium; run by the Python that has Playwright. Reads what to do as JSON, and says
what it saw as JSON."""

import json
import re
import sys

from playwright.sync_api import expect, sync_playwright


class Walk:
    def __init__(self, page, asked):
        self.page, self.asked, self.seen = page, asked, {"said": []}
        page.on("console", lambda message: self.seen["said"].append(message.text))
        page.on("pageerror", lambda error: self.seen["said"].append(str(error)))

    def picture(self, name):
        self.page.screenshot(path=f"{self.asked['pictures']}/{name}.png", full_page=True)

    def check(self, name):
        """What axe-core objects to."""
        self.page.evaluate(self.asked["axe"])
        violations = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        self.seen.setdefault("violations", []).extend(
            f"{name}: {v['id']} ({v['impact']}): {v['nodes'][0]['html'][:200]}" for v in violations)
        self.picture(name)

    def line(self, title):
        """The curve of a chart, as it is now."""
        return self.page.locator(f"figure:has(strong:text-is('{title}')) path.line").first.get_attribute("d") or ""

    def go(self, route):
        self.page.goto(f"{self.asked['base']}/#/{route}")
        self.page.reload()  # or what was there before would be looked at
        self.page.wait_for_selector("main h1, main .complaint")

    # ---- what is done

    def start_and_abort(self):
        page = self.page
        page.goto(self.asked["url"])
        page.wait_for_selector("#document")
        self.seen["address"] = page.url
        page.select_option("#document", self.asked["document"])
        page.click("text=Start")
        page.wait_for_selector(".steps-of-run li.now:has-text('observing')")
        page.locator("figure path.line").nth(3).wait_for(state="attached")
        before = self.line("Latency")
        expect(page.locator("figure path.line").first).not_to_have_attribute("d", before)
        self.seen["moved"] = self.line("Latency") != before
        page.wait_for_selector("rect.window")
        self.seen["spoken"] = page.text_content("#spoken")
        page.locator("figure details").first.locator("summary").click()
        page.wait_for_selector("figure details table tbody tr")
        self.seen["numbers"] = page.locator("figure details table tbody tr").count()
        self.check("live")
        self.seen["kept_open"] = page.locator("figure details[open]").count()
        page.click("text=End it")
        page.wait_for_selector("text=exit code 130")
        self.seen["ended_as"] = page.locator(".suite .badge").first.text_content()

    def filter_history(self):
        page = self.page
        self.go("history")
        self.seen["all"] = page.locator("tbody th").all_text_contents()
        page.fill("#filter-name", "<script>*")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("name="))
        expect(page.locator("tbody tr")).to_have_count(2)
        self.seen["filtered"] = page.locator("tbody th").all_text_contents()
        self.check("history")
        self.go("history?min_score=high")
        self.seen["refused"] = page.text_content(".complaint")

    def look_at_run(self):
        page = self.page
        self.go("history?name=" + "%3Cscript%3E*")
        page.click("tbody th a")
        page.wait_for_selector("iframe.report")
        page.frame_locator("iframe.report").locator("article h2").first.wait_for()
        self.seen["run_title"] = page.text_content("h1")
        self.seen["report_title"] = page.frame_locator("iframe.report").locator("article h2").first.text_content()
        self.check("run")

    def compare_two(self):
        page = self.page
        self.go("history")
        boxes = page.locator("tbody input[type=checkbox]")
        boxes.nth(1).check()
        self.seen["needs_two"] = page.locator("button:has-text('Compare two')").is_disabled()
        boxes.nth(2).check()
        page.click("text=Compare two")
        page.wait_for_selector("figure path.line.other")
        self.seen["compared"] = page.locator(".side h2 a").all_text_contents()
        self.seen["measured"] = page.locator("tbody tr:has(td)").count()
        self.seen["curves"] = page.locator("figure").count()
        self.check("compare")

    def see_trend(self):
        self.go("trends?name=plain")
        self.page.wait_for_selector("figure circle.dot")
        self.seen["trend"] = self.page.locator(".stats dd").all_text_contents()
        self.check("trends")

    def use_a_wrong_token(self):
        page = self.page
        page.evaluate("sessionStorage.setItem('chaoseater-token', '0'.repeat(64))")
        self.go("live")
        page.wait_for_selector("#token")
        self.seen["may_start"] = page.locator("#document").count()
        page.fill("#token", "1" * 64)
        page.click("text=Use it")
        page.wait_for_selector(".token .complaint:not(:empty)")
        self.seen["wrong_token"] = page.text_content(".token .complaint")
        page.fill("#token", f"{self.asked['base']}/#token={self.asked['token']}")
        page.click("text=Use it")
        page.wait_for_selector("#document")

    def pull_the_lever(self):
        page = self.page
        page.click("button:text-is('Stop everything')")
        page.click("dialog button:text-is('Cancel')")
        expect(page.locator("dialog")).to_have_count(0)
        self.seen["cancelled"] = page.locator("text=Stopped.").count() == 0
        page.click("button:text-is('Stop everything')")
        self.check("question")
        page.click("dialog button:text-is('Stop everything')")
        page.wait_for_selector("text=Stopped.")
        self.seen["lever"] = True
        page.click("button:text-is('Release')")
        page.wait_for_selector("button:text-is('Stop everything')")

    def use_the_keyboard(self):
        page = self.page
        page.goto(self.asked["url"])
        page.reload()
        page.wait_for_selector("#document")
        order = []
        for _ in range(9):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        self.seen["order"] = order

    def lose_the_server(self):
        page = self.page
        print(json.dumps(self.seen), flush=True)  # whoever reads this ends the server
        sys.stdin.readline()
        page.wait_for_selector(".connection.bad")
        self.seen = {"said": [], "connection": page.text_content("#connection")}


def main():
    expect.set_options(timeout=60000)
    asked = json.loads(sys.stdin.readline())
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=asked["program"], args=["--no-sandbox", "--disable-background-networking"])
        # The page's own policy would not let axe-core in.
        context = chromium.new_context(viewport={"width": 1200, "height": 900}, bypass_csp=bool(asked["axe"]),
                                       color_scheme=asked["scheme"])
        context.set_default_timeout(60000)
        walk = Walk(context.new_page(), asked)
        if not asked["axe"]:
            walk.check = walk.picture
        for name in asked["steps"]:
            getattr(walk, name)()
        print(json.dumps(walk.seen), flush=True)
        chromium.close()


if __name__ == "__main__":
    main()
