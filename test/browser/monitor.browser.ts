/**
 * The web monitor in Chromium: a live negotiation, a failure and a renewal, seen as a person would see them. `npm run browser`; with
 * MAINMODE_PICTURES=FOLDER it leaves the screenshots of the documentation there.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PSK } from "../daemon/pair.ts";
import { open, type Page } from "./browser.ts";
import { MARKUP, startWatched, type Watched } from "./hosts.ts";
import { layoutFaults, MADE_OF, sourcesOfPage, unlikePicture } from "./looks.ts";

const PICTURES = process.env["MAINMODE_PICTURES"];
const SHOWN = "docs/images";

/** A view is drawn a moment after its address is there. */
const seen = (page: Page, view: string) => page.locator("[role=tab][aria-selected=true]", { hasText: view }).waitFor();

const row = (page: Page, text: string) => page.locator("tbody tr", { hasText: text });

/** A picture of the documentation: made anew, or held against what the page looks like. */
async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES !== undefined) {
    await page.screenshot({ path: join(PICTURES, `${name}.png`) });
    if (PICTURES === SHOWN) writeFileSync(MADE_OF, `${sourcesOfPage(".")}\n`);
  } else assert.equal(await unlikePicture(page, SHOWN, name), undefined);
}

test("a negotiation, a failure and a renewal appear while they happen, and a ladder shows each message", async (t) => {
  const { a, url, initiate } = await startWatched(t);
  const { page, complaints, requests } = await open(t, url);
  assert.equal(await page.locator("#policy").textContent(), "policy Server isolation");

  assert.equal(await initiate("intranet"), 0);
  await row(page, "child.established").first().waitFor();
  await page.getByRole("tab", { name: "Main Mode SAs" }).click();
  await row(page, "127.0.0.3").filter({ hasText: "aes256" }).filter({ hasText: "ecp256" }).filter({ hasText: "established" }).waitFor();
  await page.getByRole("tab", { name: "Quick Mode SAs" }).click();
  await row(page, "intranet").filter({ hasText: "installed" }).waitFor();

  assert.equal(await initiate(MARKUP), 1);
  await page.getByRole("tab", { name: "Events" }).click();
  await row(page, "child.failed").first().waitFor();
  await row(page, "4654").first().waitFor();
  assert.equal(await page.locator("img[src=x]").count(), 0);
  assert.notEqual(await page.title(), "1");

  // A renewal: the old pair drains, the new one counts it.
  await page.getByRole("tab", { name: "Quick Mode SAs" }).click();
  for (const { sa } of [...a.kernel.states.values()]) for (const event of a.kernel.expire(sa, false)) a.kernel.inject(event);
  await row(page, "intranet").filter({ hasText: "draining" }).waitFor();
  await row(page, "intranet").filter({ hasText: "installed" }).waitFor();
  await page.getByRole("tab", { name: "Events" }).click();
  await row(page, "child.rekeyed").first().waitFor();

  await page.getByRole("tab", { name: "Negotiations" }).click();
  await row(page, "127.0.0.3").first().click();
  const ladder = page.locator("img.ladder");
  await ladder.waitFor();
  await page.waitForFunction("((image) => image.complete && image.naturalHeight > 400)(document.querySelector('img.ladder'))");
  await page.locator("summary", { hasText: "Quick Mode" }).first().click();
  await page.locator("details[open] pre", { hasText: "decrypted:" }).first().waitFor();
  await page.evaluate("scrollTo(0, 0)");
  await picture(page, "web-ladder");

  const text = await page.locator("body").innerText();
  assert.ok(!text.includes(PSK));
  // Nothing from elsewhere, nothing that the policy of the page had to stop.
  assert.deepEqual(
    requests.filter((request) => !request.startsWith(url)),
    [],
  );
  assert.deepEqual(complaints, []);
});

test("everything can be reached with the keyboard", async (t) => {
  const { url, initiate } = await startWatched(t);
  assert.equal(await initiate("intranet"), 0);
  const { page } = await open(t, url);
  await page.keyboard.press("ArrowRight");
  await page.waitForURL("**/#main-mode");
  await seen(page, "Main Mode SAs");
  await row(page, "127.0.0.3").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("no such thing");
  await page.getByText("no Main Mode SA").waitFor();
  await page.keyboard.press("Escape");
  await row(page, "127.0.0.3").waitFor();
  await row(page, "127.0.0.3").focus();
  await page.keyboard.press("Enter");
  await page.locator("img.ladder").waitFor();
  await page.keyboard.press("Escape");
  await page.waitForURL("**/#negotiations");
  for (const view of ["statistics", "policy", "events", "overview"]) {
    await page.keyboard.press("ArrowRight");
    await page.waitForURL(`**/#${view}`);
  }
});

/** Traffic that comes and goes, for the charts. */
async function useFor({ kernel }: Watched["a"], seconds: number): Promise<void> {
  for (let i = 0; i < seconds * 4; i++) {
    for (const { sa } of kernel.states.values()) kernel.pass(sa, Math.round(4000 + 3500 * Math.sin(i / 12) + 400 * Math.sin(i)));
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

test("the active policy is shown without its secrets, in the light and in the dark", async (t) => {
  const { a, url, initiate } = await startWatched(t);
  assert.equal(await initiate("intranet"), 0);
  if (PICTURES !== undefined) await useFor(a, 60);
  for (const scheme of ["light", "dark"] as const) {
    const { page, complaints } = await open(t, url, scheme);
    const ground = await page.evaluate("getComputedStyle(document.body).backgroundColor");
    assert.equal(ground, scheme === "light" ? "rgb(245, 247, 250)" : "rgb(18, 21, 27)");
    await row(page, "child.established").first().waitFor();
    await picture(page, `web-overview-${scheme}`);
    await page.getByRole("tab", { name: "Active policy" }).click();
    await row(page, "rule intranet: filters").waitFor();
    assert.ok(!(await page.locator("body").innerText()).includes(PSK));
    assert.deepEqual(complaints, []);
  }
});

test("at every width and in both colour schemes all text of every view can be read, and nothing lies on anything else", async (t) => {
  const { url, initiate } = await startWatched(t);
  assert.equal(await initiate("intranet"), 0);
  assert.equal(await initiate(MARKUP), 1);
  for (const scheme of ["light", "dark"] as const) {
    const { page } = await open(t, url, scheme);
    for (const width of [1180, 700]) {
      await page.setViewportSize({ width, height: 720 });
      for (const view of VIEWS) {
        await page.getByRole("tab", { name: view }).click();
        await seen(page, view);
        assert.deepEqual(await layoutFaults(page), [], `${view}, ${scheme}, ${width} wide`);
      }
    }
  }
});

const VIEWS = ["Overview", "Main Mode SAs", "Quick Mode SAs", "Negotiations", "Statistics", "Active policy", "Events"];

test("the page says when the daemon is gone, and goes on when it is back", async (t) => {
  const { a, url, restart } = await startWatched(t);
  const { page } = await open(t, url);
  await a.daemon.stop(1000);
  await page.getByText("no connection to the daemon").waitFor();
  await restart();
  await page.locator("#link.live").waitFor();
  await row(page, "svc.started").first().waitFor();
  assert.equal(await row(page, "svc.started").count(), 1);
});
