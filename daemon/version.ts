/** Which mainmode this is. */
import { readFileSync } from "node:fs";

/** Of the package.json above, however deep the build lies. */
export function version(): string {
  for (let at = new URL("../", import.meta.url); at.pathname !== "/"; at = new URL("../", at)) {
    try {
      return JSON.parse(readFileSync(new URL("package.json", at), "utf8")).version;
    } catch {
      // Further up, then.
    }
  }
  return "unknown";
}
