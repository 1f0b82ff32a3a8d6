// Prints docs/windows-commands.md from the tables of the import: `npm run build && node scripts/windows-commands.js`.
import { writeFileSync } from "node:fs";
import { commandsPage } from "../dist/policy/windows/reference.js";

writeFileSync(new URL("../docs/windows-commands.md", import.meta.url), commandsPage());
