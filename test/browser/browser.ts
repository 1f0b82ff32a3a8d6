/**
 * Chromium, driven by playwright-core. Of its types only what these tests use stands here: the whole of them needs those of a browser.
 */
import type { TestContext } from "node:test";

export interface Locator {
  readonly filter: (by: { readonly hasText: string }) => Locator;
  readonly first: () => Locator;
  readonly waitFor: () => Promise<void>;
  readonly click: () => Promise<void>;
  readonly focus: () => Promise<void>;
  readonly count: () => Promise<number>;
  readonly textContent: () => Promise<string | null>;
  readonly innerText: () => Promise<string>;
}

export interface Page {
  readonly keyboard: { readonly press: (key: string) => Promise<void>; readonly type: (text: string) => Promise<void> };
  readonly goto: (url: string) => Promise<unknown>;
  readonly title: () => Promise<string>;
  readonly locator: (css: string, by?: { readonly hasText: string }) => Locator;
  readonly getByRole: (role: string, by: { readonly name: string }) => Locator;
  readonly getByText: (text: string) => Locator;
  readonly waitForURL: (pattern: string) => Promise<void>;
  readonly waitForFunction: (expression: string) => Promise<unknown>;
  readonly evaluate: (expression: string) => Promise<unknown>;
  readonly screenshot: (options: { readonly path?: string }) => Promise<Uint8Array>;
  readonly setViewportSize: (size: { readonly width: number; readonly height: number }) => Promise<void>;
  readonly on: (event: "console" | "pageerror" | "request", listener: (what: Said) => void) => void;
}

/** A message of the console, an error, or a request. */
interface Said {
  readonly type?: () => string;
  readonly text?: () => string;
  readonly url?: () => string;
}

interface Playwright {
  readonly chromium: {
    readonly launch: (options: { readonly executablePath: string; readonly args: readonly string[] }) => Promise<{
      readonly newContext: (options: object) => Promise<{ readonly newPage: () => Promise<Page> }>;
      readonly close: () => Promise<void>;
    }>;
  };
}

export interface Opened {
  readonly page: Page;
  /** What the browser complained about, and what it asked for. */
  readonly complaints: string[];
  readonly requests: string[];
}

const EXECUTABLE = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const NAME: string = "playwright-core";

/** Opens the monitor in a browser of its own, which is closed after the test. */
export async function open(t: TestContext, url: string, colorScheme: "light" | "dark" = "light"): Promise<Opened> {
  const { chromium } = (await import(NAME)) as Playwright;
  // The tests run as root too, where Chromium has no sandbox; it looks at nothing but this monitor.
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ["--no-sandbox", "--disable-gpu"] });
  t.after(() => browser.close());
  const context = await browser.newContext({ viewport: { width: 1180, height: 720 }, colorScheme });
  const page = await context.newPage();
  const [complaints, requests]: [string[], string[]] = [[], []];
  page.on("console", (message) => {
    if (message.type?.() === "error") complaints.push(message.text?.() ?? "");
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => requests.push(request.url?.() ?? ""));
  await page.goto(url);
  await page.locator("#link.live").waitFor();
  return { page, complaints, requests };
}
