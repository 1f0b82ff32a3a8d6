/**
 * Steps of our own code instead of time: how often each function and each block of them (bodies of loops, branches) is run, as V8 counts it. The same on
 * every machine. V8 counts what is compiled after this file was loaded: who counts imports everything else of ours by `await import`, behind it.
 */
import { Session } from "node:inspector";
import { after } from "node:test";

const session = new Session();
session.connect();
session.post("Profiler.enable");
session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
after(() => session.disconnect());

const isOurs = (url: string): boolean => url.startsWith("file:") && !url.includes("/node_modules/");

/** Times that functions and blocks of the files that are meant were run since the last call. */
export function ran(isMeant: (url: string) => boolean = isOurs): number {
  let count = 0;
  session.post("Profiler.takePreciseCoverage", (error, taken) => {
    if (error) throw error;
    for (const { url, functions } of taken.result)
      if (isMeant(url)) for (const { ranges } of functions) for (const range of ranges) count += range.count;
  });
  return count;
}
