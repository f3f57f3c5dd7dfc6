// Opens the admin page in a headless Chromium and looks at what a person would see. Says "ready" once the page is
// live, then waits for a line on standard input (the test has made live traffic by then), then looks again.
//
// node page.mjs CHROMIUM ADDRESS TOKEN DIRECTORY-FOR-SCREENSHOTS

import assert from "node:assert/strict";
import { once } from "node:events";
import { chromium } from "playwright-core";

const [program, address, token, shots] = process.argv.slice(2);
const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
const browser = await chromium.launch({ executablePath: program, args });
const page = await (await browser.newContext({ viewport: { width: 1600, height: 1000 } })).newPage();

const wrong = [];
page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
page.on("pageerror", (error) => wrong.push(String(error)));
page.on("dialog", (dialog) => { wrong.push("dialog: " + dialog.message()); dialog.dismiss(); });
page.on("request", (request) => request.url().startsWith(address) || wrong.push("asked " + request.url()));

const text = (id) => page.locator("#" + id).innerText();
const shows = (id, what) => page.locator("#" + id).filter({ hasText: what }).waitFor({ timeout: 10_000 });
const rows = (id) => page.locator("#" + id + " tbody tr").count();
const live = () => page.locator('#state[data-live="true"]').waitFor({ timeout: 10_000 });

async function aWrongTokenIsSaidAndDoesNotStay() {
  await page.goto(address + "/?token=0123456789abcdef");
  await page.getByText("That is not the token").waitFor({ timeout: 10_000 });
  assert.equal(page.url(), address + "/", "a wrong token leaves the address line too");
  wrong.splice(0, wrong.length, ...wrong.filter((line) => !line.includes("401")));
}

async function opened() {
  await page.goto(address + "/?token=" + token);
  await live();
  assert.equal(page.url(), address + "/", "the token leaves the address line");
}

async function whatThereWasIsShown() {
  await shows("events", "evil.test/");
  await shows("calls", "claude");
  await shows("denials", "network.block evil.test");
  await shows("by-model", "claude");
  await shows("by-host", "api.anthropic.com");
  await shows("policy", "enforce");
  assert.ok(await page.locator("#charts rect.bar-input").count() > 0, "tokens are drawn");
  assert.ok(await page.locator("#charts rect.bar-cost").count() > 0, "cost is drawn");
  assert.match(await text("totals"), /Cost\s+\$/);
}

async function whatGuestsAndOriginsSayIsText() {
  await shows("errors", "<img src=x onerror=owned()>");
  await shows("calls", "<b>model</b>");
  await shows("calls", "\\u{202e}gpj.exe\\u{1b}"); // what would reorder or hide text is shown as an escape
  assert.equal(await page.locator("img, b, iframe, object").count(), 0, "nothing became markup");
  // The page may not even run what stands in an attribute: the policy forbids it.
  const blocked = await page.evaluate(() => new Promise((done) => {
    document.addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective), { once: true });
    document.body.insertAdjacentHTML("beforeend", "<i id=probe onclick='window.owned = 1'></i>");
    document.getElementById("probe").click();
  }));
  assert.match(blocked, /^script-src/);
  assert.equal(await page.evaluate(() => window.owned), undefined);
  await page.evaluate(() => document.getElementById("probe").remove());
  wrong.splice(0, wrong.length, ...wrong.filter((line) => !line.includes("Content Security Policy")));
}

async function liveTrafficAppears() {
  console.log("ready");
  await once(process.stdin, "data");
  await shows("events", "evil.test/while-you-watch");
  await shows("denials", "evil.test/while-you-watch");
}

async function searchAndFilterChoose() {
  const all = await rows("events");
  await page.keyboard.press("/");
  await page.keyboard.type("while-you-watch");
  await page.waitForFunction(() => document.querySelectorAll("#events tbody tr").length === 1);
  assert.match(await text("events"), /while-you-watch/);
  assert.match(await text("calls"), /no match/);
  await page.keyboard.press("Escape");
  await page.waitForFunction((all) => document.querySelectorAll("#events tbody tr").length === all, all);
  await page.selectOption("#decision", "allowed");
  await page.waitForFunction((all) => document.querySelectorAll("#events tbody tr").length < all, all);
  assert.doesNotMatch(await text("events"), /evil\.test/);
  await page.selectOption("#decision", "");
}

async function theKeyboardReachesEverything() {
  await page.locator("#search").focus();
  const seen = [];
  for (let step = 0; step < 12; step += 1) {
    await page.keyboard.press("Tab");
    seen.push(await page.evaluate(() => document.activeElement.id || document.activeElement.ariaLabel));
  }
  for (const wanted of ["decision", "period", "reload", "Requests", "Model calls", "Denials", "Upstream errors"]) {
    assert.ok(seen.includes(wanted), wanted + " is reached by Tab, not only " + seen);
  }
  await page.locator("#reload").focus();
  await page.keyboard.press("Enter");
  await shows("said", "is in force");
}

async function troubleIsSaidUntilItIsOver() {
  await page.route("**/v1/calls?*", (request) => request.abort());
  await shows("said", "fetch");
  await page.unroute("**/v1/calls?*");
  await page.waitForFunction(() => document.getElementById("said").textContent === "", null, { timeout: 10_000 });
  wrong.splice(0, wrong.length, ...wrong.filter((line) => !line.includes("ERR_FAILED")));
}

async function noHeadingIsCut() {
  const cut = await page.evaluate(() => [...document.querySelectorAll("th")]
    .filter((title) => title.scrollWidth > title.clientWidth).map((title) => title.textContent));
  assert.deepEqual(cut, []);
}

async function itFits() {
  for (const width of [400, 1600]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height: 1000 });
      await page.emulateMedia({ colorScheme });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      await noHeadingIsCut();
      assert.ok(over <= 0, "at " + width + " the page is " + over + " too wide");
      await page.screenshot({ path: `${shots}/${width}-${colorScheme}.png`, fullPage: true });
    }
  }
  const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(back, "rgb(16, 20, 24)", "dark is dark");
}

async function aReloadKeepsTheToken() {
  await page.reload();
  await live();
  wrong.splice(0, wrong.length, ...wrong.filter((line) => !line.includes("401"))); // the page that asks for the token
}

try {
  await aWrongTokenIsSaidAndDoesNotStay();
  await opened();
  await whatThereWasIsShown();
  await liveTrafficAppears();
  await whatGuestsAndOriginsSayIsText();
  await searchAndFilterChoose();
  await theKeyboardReachesEverything();
  await troubleIsSaidUntilItIsOver();
  await itFits();
  await aReloadKeepsTheToken();
  assert.deepEqual(wrong, []);
} finally {
  await browser.close();
}
process.exit(0);
