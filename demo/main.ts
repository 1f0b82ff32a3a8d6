/**
 * `mainmode demo`: two hosts on this machine, each with its own daemon, negotiate and pass traffic (interface.md §5).
 */
import { wantsColours } from "../cli/format.ts";
import { type Cleanup, startCleanup } from "./cleanup.ts";
import { canProve, type DemoAuth } from "./credentials.ts";
import { completePath, lookAround, namespaceHasEsp } from "./facts.ts";
import { runInGuest } from "./guest.ts";
import { runInMemory } from "./in-memory.ts";
import { runInNamespaces } from "./namespaces.ts";
import { makePage, type Page } from "./page.ts";
import { type Choice, choosePlace, NAMES, type Place } from "./place.ts";

export interface DemoOptions {
  /** Instead of the best place that there is. */
  readonly place?: Place;
  /** How the hosts prove themselves; by a pre-shared key if not given. */
  readonly auth?: DemoAuth;
  /** This process runs in the guest that another one booted, and told what that knows. */
  readonly inside?: boolean;
  readonly colours?: boolean;
}

/** Runs the demo; resolves with the exit code: 0 only when everything that was shown really worked. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const { auth = "psk" } = options;
  const colours = options.inside ? options.colours === true : wantsColours(process.stdout);
  const page = makePage((text) => process.stdout.write(text), colours);
  completePath();
  const cleanup = startCleanup();
  const began = performance.now();
  try {
    if (!options.inside) page.line(page.paint("bold", "mainmode: two hosts on this machine negotiate, and pass traffic through ESP"));
    const exit = options.inside
      ? await attempt(page, () => runInside(page, cleanup, auth))
      : await runSomewhere(page, cleanup, auth, options.place);
    const left = cleanup.now();
    for (const problem of left) page.failed(problem);
    const worked = exit === 0 && left.length === 0;
    const seconds = `${((performance.now() - began) / 1000).toFixed(1)} s`;
    if (!options.inside) {
      page.line();
      if (worked) page.done(`All of it worked, in ${seconds}; nothing of it is left on this machine.`);
      else page.failed(`The demo failed after ${seconds}.`);
    }
    return worked ? 0 : 1;
  } finally {
    cleanup.now();
  }
}

function runInside(page: Page, cleanup: Cleanup, auth: DemoAuth): Promise<void> {
  if (!namespaceHasEsp()) throw new Error("the guest's kernel takes no ESP SA");
  return runInNamespaces(page, cleanup, auth);
}

async function runSomewhere(page: Page, cleanup: Cleanup, auth: DemoAuth, forced: Place | undefined): Promise<number> {
  const able = canProve(auth);
  if (!able.ok) {
    page.failed(able.error);
    return 1;
  }
  const choice = choosePlace(await lookAround(), forced);
  if (choice.ok) return runAt(page, cleanup, auth, choice.value);
  page.failed(choice.error);
  return 1;
}

async function runAt(page: Page, cleanup: Cleanup, auth: DemoAuth, { place, because }: Choice): Promise<number> {
  page.text(`Place: ${NAMES[place]}${because.length === 0 ? "" : `, since ${because.join(", and ")}`}.`);
  if (place === "memory") return attempt(page, () => runInMemory(page, cleanup, auth));
  if (place === "namespaces") return attempt(page, () => runInNamespaces(page, cleanup, auth));
  const exit = await runInGuest(page, cleanup, auth);
  if (exit !== undefined) return exit;
  // Where it was asked for by name, another place is not what was asked for.
  if (because.length === 0) return 1;
  return runAt(page, cleanup, auth, { place: "memory", because: ["the guest did not start"] });
}

async function attempt(page: Page, act: () => Promise<void>): Promise<number> {
  try {
    await act();
    return 0;
  } catch (error) {
    page.failed(error instanceof Error ? error.message : String(error));
    return 1;
  }
}
