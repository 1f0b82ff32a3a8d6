/** The little of YAML that compose.yaml is written in: maps by indentation, scalars, and lists as JSON has them. */
import { readFileSync } from "node:fs";

export interface Service {
  readonly dockerfile: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly capabilities: readonly string[];
  readonly tmpfs: readonly string[];
  readonly volumes: readonly string[];
  readonly address: string;
}

export interface Compose {
  readonly services: Readonly<Record<string, Service>>;
}

/** Reads the file. What a service does not say is an empty list. */
export function readCompose(path: string): Compose {
  const values = flatten(readFileSync(path, "utf8"));
  const names = new Set([...values.keys()].filter((key) => key.startsWith("services.")).map((key) => key.split(".")[1] ?? ""));
  const list = (key: string): readonly string[] => JSON.parse(values.get(key) ?? "[]") as readonly string[];
  return {
    services: Object.fromEntries(
      [...names].map((name) => {
        const at = `services.${name}`;
        return [
          name,
          {
            dockerfile: values.get(`${at}.build.dockerfile`) ?? "",
            entrypoint: list(`${at}.entrypoint`),
            command: list(`${at}.command`),
            capabilities: list(`${at}.cap_add`),
            tmpfs: list(`${at}.tmpfs`),
            volumes: list(`${at}.volumes`),
            address: values.get(`${at}.networks.wire.ipv4_address`) ?? "",
          },
        ];
      }),
    ),
  };
}

/** Scalars by the keys that lead to them, joined by dots. */
function flatten(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const path: { readonly indent: number; readonly key: string }[] = [];
  for (const line of text.split("\n")) {
    const [, blanks = "", key = "", value = ""] = /^( *)(?:- )?([\w-]+): *(.*)$/.exec(line) ?? [];
    if (!key || line.trim().startsWith("#")) continue;
    while ((path.at(-1)?.indent ?? -1) >= blanks.length) path.pop();
    path.push({ indent: blanks.length, key });
    if (value) found.set(path.map((step) => step.key).join("."), value);
  }
  return found;
}
