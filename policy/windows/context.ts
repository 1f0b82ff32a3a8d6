/**
 * Where netsh stands: `netsh ipsec static …` in one line, `pushd ipsec static` and lines after it.
 */
import type { Findings } from "./diagnostics.ts";
import type { Word } from "./words.ts";

/** Whether a line without `netsh` is one of the static context. */
export interface NetshContext {
  inStatic: boolean;
}

/** The words of a static command without what leads to it, or undefined where the line is something else. Follows changes of context. */
export function findCommand(words: readonly Word[], context: NetshContext, findings: Findings): readonly Word[] | undefined {
  const [first] = words;
  if (!first) return undefined;
  if (isNetsh(first.text)) return afterNetsh(words.slice(1), findings);
  const word = first.text.toLowerCase();
  if (word === "popd" || word === "exit" || word === "bye" || word === "quit" || word === "..") {
    context.inStatic = false;
    return undefined;
  }
  const path = word === "pushd" ? words.slice(1) : words;
  const inner = afterContext(path);
  if (inner) {
    if (inner.length === 0) context.inStatic = true;
    return inner.length > 0 ? inner : undefined;
  }
  if (startsOther(path)) {
    context.inStatic = false;
    return dynamic(path, findings);
  }
  return context.inStatic ? words : undefined;
}

const isNetsh = (text: string): boolean => /^(.*[\\/])?netsh(\.exe)?$/i.test(text);

/** `ipsec static …`, each word shortened at will. */
function afterContext(words: readonly Word[]): readonly Word[] | undefined {
  const [a, b] = words;
  return a && b && isShort(a.text, "ipsec", 2) && isShort(b.text, "static", 1) ? words.slice(2) : undefined;
}

const isShort = (text: string, whole: string, least: number): boolean => text.length >= least && whole.startsWith(text.toLowerCase());

function afterNetsh(words: readonly Word[], findings: Findings): readonly Word[] | undefined {
  let rest = words;
  while (rest[0] && /^[-/][a-z]$/i.test(rest[0].text)) {
    const [option, value] = rest;
    const letter = (option as Word).text[1]?.toLowerCase();
    if (letter === "c" && value) {
      rest = [...value.text.split(/\s+/).map((text): Word => ({ ...value, text, equals: -1 })), ...rest.slice(2)];
      continue;
    }
    if (letter === "r") findings.say("W_REMOTE", option as Word, `for the machine ${JSON.stringify(value?.text ?? "")}`);
    if (letter === "f")
      findings.say("E_DYNAMIC_SCRIPT", option as Word, `the commands are in ${JSON.stringify(value?.text ?? "")}; import that file`);
    rest = rest.slice(2);
  }
  return afterContext(rest) ?? dynamic(rest, findings);
}

const startsOther = ([first]: readonly Word[]): boolean =>
  first !== undefined && /^(ipsec|advfirewall|firewall|interface|int|http|winsock|dnsclient|lan|wlan|ras|bridge|trace)$/i.test(first.text);

/** What is not of the static context is said to be left out: rules of the dynamic one do protect, until the next start. */
function dynamic(words: readonly Word[], findings: Findings): undefined {
  const [first, second] = words;
  if (!first) return undefined;
  const line = words.map(({ text }) => text).join(" ");
  const shown = /\bpsk=/i.test(line) ? "a command with a key" : JSON.stringify(line.slice(0, 60));
  if (isShort(first.text, "ipsec", 2) && second && isShort(second.text, "dynamic", 1)) findings.say("W_DYNAMIC_CONTEXT", first, shown);
  else findings.say("W_OTHER_COMMAND", first, `${shown} was left out`);
  return undefined;
}
