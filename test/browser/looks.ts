/** How the page looks: against the pictures of the documentation, and by facts that hold at every width and in both colour schemes. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "./browser.ts";

/** Where the sources stand that the pictures of the documentation were made of. */
export const MADE_OF = "test/browser/pictures.sha256";

/** A digest of everything that decides how the page looks. */
export function sourcesOfPage(root: string): string {
  const page = readdirSync(join(root, "web")).filter((name) => /\.(ts|css|html|svg)$/.test(name));
  const hash = createHash("sha256");
  for (const name of [...page.sort().map((name) => `web/${name}`), "isakmp/ladder-svg.ts", "isakmp/ladder-rungs.ts"])
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(root, name)))
      .update("\0");
  return hash.digest("hex");
}

/** Blocks across and down, each compared by its average colour: times, ports, fonts and curves differ, the look as a whole does not. */
const [ACROSS, DOWN] = [40, 24];
/** Of 255, for a channel of a block; and the share of blocks that may differ by more. */
const [NEAR, MOST_UNLIKE] = [36, 0.06];

/** What is wrong with a picture of the documentation, given what the page looks like now; undefined where nothing is. */
export async function unlikePicture(page: Page, folder: string, name: string): Promise<string | undefined> {
  const now = Buffer.from(await page.screenshot({})).toString("base64");
  const shown = readFileSync(join(folder, `${name}.png`)).toString("base64");
  const unlike = Number(await page.evaluate(`(${DIFFERENCE})(${JSON.stringify([now, shown, ACROSS, DOWN, NEAR])})`));
  return unlike <= MOST_UNLIKE
    ? undefined
    : `docs/images/${name}.png is not what the page looks like (${(unlike * 100).toFixed(0)} % of it); look at both, then: MAINMODE_PICTURES=docs/images npm run browser`;
}

/** In the page: the share of blocks that differ; 1 where the sizes do. */
const DIFFERENCE = `async ([now, shown, across, down, near]) => {
  const blocks = async (base64) => {
    const image = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))]));
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    const sums = Array.from({ length: across * down }, () => [0, 0, 0, 0]);
    for (let y = 0; y < image.height; y++)
      for (let x = 0; x < image.width; x++) {
        const sum = sums[Math.floor((y * down) / image.height) * across + Math.floor((x * across) / image.width)];
        const at = (y * image.width + x) * 4;
        for (let i = 0; i < 3; i++) sum[i] += data[at + i];
        sum[3]++;
      }
    return { size: image.width + " " + image.height, averages: sums.map(([r, g, b, n]) => [r / n, g / n, b / n]) };
  };
  const [a, b] = [await blocks(now), await blocks(shown)];
  if (a.size !== b.size) return 1;
  return a.averages.filter((one, i) => one.some((value, c) => Math.abs(value - b.averages[i][c]) > near)).length / a.averages.length;
}`;

/** What is wrong with how the page is laid out: text that can't be read, that stands outside, or tabs that lie on each other. */
export const layoutFaults = async (page: Page): Promise<readonly string[]> => (await page.evaluate(`(${FAULTS})()`)) as readonly string[];

const FAULTS = `() => {
  const faults = [];
  if (document.documentElement.scrollWidth > innerWidth) faults.push("the page is " + document.documentElement.scrollWidth + " wide, of " + innerWidth);
  const channels = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).map((value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (channels(color)[3] !== 0 && color !== "transparent") return color;
    }
    return "rgb(255, 255, 255)";
  };
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== "");
  for (const element of document.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect();
    if (!own(element) || box.width === 0 || getComputedStyle(element).visibility === "hidden") continue;
    const text = element.textContent.trim().slice(0, 30);
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    // WCAG 2.1, 1.4.3.
    if (contrast < 4.5) faults.push("contrast of " + JSON.stringify(text) + ": " + contrast.toFixed(2));
    if (box.left < -1) faults.push(JSON.stringify(text) + " begins outside");
  }
  const tabs = [...document.querySelectorAll("[role=tab]")].map((tab) => [tab.textContent, tab.getBoundingClientRect()]);
  for (const [i, [name, a]] of tabs.entries()) {
    if (a.right > innerWidth + 1) faults.push("tab " + name + " is cut off");
    for (const [other, b] of tabs.slice(i + 1))
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1) faults.push("tabs " + name + " and " + other);
  }
  return faults;
}`;
