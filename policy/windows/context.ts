/**
 * Where netsh stands: `netsh ipsec static …` or `netsh advfirewall consec …` in one line, `pushd ipsec static` and lines after it.
 */
import type { Findings } from "./diagnostics.ts";
import type { Word } from "./words.ts";

/** Where a line without `netsh` belongs: `static`, a context of advfirewall, or nowhere. */
export interface NetshContext {
  at: "none" | "static" | "advfirewall" | "consec" | "mainmode";
}

/** A command, by the context that reads it; of advfirewall with the words behind that one. */
export interface FoundCommand {
  readonly context: "static" | "advfirewall";
  readonly words: readonly Word[];
}

/** The words of a command without what leads to it, or undefined where the line is something else. Follows changes of context. */
export function findCommand(words: readonly Word[], context: NetshContext, findings: Findings): FoundCommand | undefined {
  const [first] = words;
  if (!first) return undefined;
  const called = withoutCaller(words);
  if (isNetsh(called[0]?.text ?? "")) {
    const found = afterNetsh(
      called.slice(1).filter(({ text, quoted }) => quoted || text !== "--%"),
      findings,
    );
    // A transcript leaves the context in which its prompt is.
    return found?.words.length === 1 && LEAVES.test(found.words[0]?.text ?? "") ? undefined : found;
  }
  if (context.at === "none" && isStray(words, findings)) return undefined;
  const word = first.text.toLowerCase();
  if (LEAVES.test(word)) {
    context.at = "none";
    return undefined;
  }
  const path = word === "pushd" ? words.slice(1) : words;
  const inner = afterContext(path);
  if (inner) {
    const entered = enters(inner);
    if (entered) context.at = entered;
    return entered ? undefined : inner;
  }
  if (startsOther(path)) {
    context.at = "none";
    return dynamic(path, findings);
  }
  if (context.at === "none" || context.at === "static") return context.at === "static" ? { context: "static", words } : undefined;
  const found = inFirewall(words, context.at);
  const entered = enters(found);
  if (entered) context.at = entered;
  return entered ? undefined : found;
}

const LEAVES = /^(popd|exit|bye|quit|\.\.)$/i;

/** `call netsh …`, `cmd /c netsh …`, `start /wait netsh …`: netsh all the same. */
function withoutCaller(words: readonly Word[]): readonly Word[] {
  const [first] = words;
  if (!first || !/^(call|cmd|cmd\.exe|start|sudo|\.|&)$/i.test(first.text)) return words;
  const rest = words.findIndex((word, i) => i > 0 && !/^\/[a-z]+$/i.test(word.text) && word.text !== "");
  return rest < 0 ? [] : words.slice(rest);
}

/** Whether a line names netsh and one of the contexts that are about IPsec, in whatever order. */
export const startsNetsh = (line: string): boolean => /\bnetsh(\.exe)?\b/i.test(line) && /\b(ipsec|advfirewall)\b/i.test(line);

/** Whether a cmdlet makes a rule of the firewall that lets only authenticated connections pass. */
export const demandsIpsec = (line: string): boolean =>
  /-NetFirewallRule\b/i.test(line) && /\s-Authe\w*[\s:]+["']?(Required|NoEncap)/i.test(line);

/** Whether other scripts or tools that make policies run, in a way that is not followed. */
const startsOthers = (line: string): boolean =>
  /-NetIPsec/i.test(line) ||
  (/\bipsec(pol|cmd)\b/i.test(line) && /\s-w\b/i.test(line)) ||
  (/\b(powershell|pwsh)\b/i.test(line) && /\.ps1\b/i.test(line));

/** A line outside of any context that would have mattered within one: said, so that it is not lost. */
function isStray(words: readonly Word[], findings: Findings): boolean {
  const [first, second] = words as readonly [Word, Word | undefined];
  if (/^(echo|rem)(?![\w-])|^(title|write-\w+|logger)$/i.test(first.text)) return false;
  if (/^(add|set|delete)$/i.test(first.text) && /^(policy|rule|filter|filterlist|filteraction|defaultrule)$/i.test(second?.text ?? "")) {
    findings.say("E_SYNTAX", first, `${first.text} ${second?.text} stands outside of netsh; is "pushd ipsec static" missing before it?`);
    return true;
  }
  const line = words.map(({ text }) => text).join(" ");
  if (/^(\S*\\)?(reg(\.exe)?\s+import|regedit(\.exe)?)\s.*ipsec/i.test(line)) {
    findings.say("E_DYNAMIC_SCRIPT", first, "a part of the registry is imported that may hold policies; import that file here, too");
    return true;
  }
  if (demandsIpsec(line)) {
    findings.say("W_FIREWALL_SECURITY", first, "a rule of the firewall lets only authenticated connections pass");
    return true;
  }
  if (!startsNetsh(line) && !startsOthers(line)) return saysCall(words, line, findings);
  findings.say("E_DYNAMIC_SCRIPT", first, `${JSON.stringify(first.text.slice(0, 30))} runs commands that are not followed`);
  return true;
}

/** Where the registry holds settings of IPsec that are no part of a policy. */
const SETTINGS = /\b(NoDefaultExempt|IPsecExempt|AssumeUDPEncapsulation\w*)\b|\\(services\\(ipsec|policyagent)|ipsec\\policy)\b/i;
const SCRIPT = /\.(cmd|bat|ps1|psm1|vbs|js|wsf|hta)$/i;

/** Programs and scripts that may make policy under any name, and settings in the registry: said, as nobody reads them here. */
function saysCall(words: readonly Word[], line: string, findings: Findings): boolean {
  const [program] = withoutCaller(words);
  if (!program) return false;
  const { text } = program;
  if (/^(\S*\\)?reg(\.exe)?$|-Item(Property)?$/i.test(text) && SETTINGS.test(line))
    findings.say("W_REGISTRY", program, "a setting of IPsec in the registry is changed");
  else if (
    SCRIPT.test(text) ||
    /^(\S*\\)?([cw]script|secedit|lgpo|regedit|regedt32)(\.exe)?$/i.test(text) ||
    /^(\S*\\)?reg(\.exe)?\s+import\s/i.test(line)
  )
    findings.say("W_CALLED", program, `${JSON.stringify(text.slice(-60))} is called`);
  else return false;
  return true;
}

/** Whether a line that can't be followed calls other scripts. */
export const mayCall = (line: string): boolean =>
  /\b(call\s+(?!:|%~)[^&|]|[cw]script\b|secedit\b|regedit\b|reg\s+import\b)/i.test(line) ||
  /(^|[\s(&"\\])[\w.-]+\.(cmd|bat|ps1|vbs)\b/i.test(line);

/** A line within a context of advfirewall: its word stands before it, unless the line names another one. */
function inFirewall(words: readonly Word[], at: "advfirewall" | "consec" | "mainmode"): FoundCommand {
  const [first] = words as readonly [Word];
  const named = at === "advfirewall" || /^(consec|mainmode|firewall|monitor)$/i.test(first.text);
  return { context: "advfirewall", words: named ? words : [{ ...first, text: at, equals: -1 }, ...words] };
}

/** The context that a command without words of its own leads to. */
function enters({ context, words }: FoundCommand): NetshContext["at"] | undefined {
  const [only, more] = words;
  if (!only) return context;
  if (context !== "advfirewall" || more) return undefined;
  const word = only.text.toLowerCase();
  return word === "consec" || word === "mainmode" ? word : undefined;
}

const isNetsh = (text: string): boolean => /^(.*[\\/])?netsh(\.exe)?$/i.test(text);

/** `ipsec static …` or `advfirewall …`, each word shortened at will. */
function afterContext(words: readonly Word[]): FoundCommand | undefined {
  const [a, b] = words;
  if (a && isShort(a.text, "advfirewall", 2)) return { context: "advfirewall", words: words.slice(1) };
  return a && b && isShort(a.text, "ipsec", 2) && isShort(b.text, "static", 1) ? { context: "static", words: words.slice(2) } : undefined;
}

const isShort = (text: string, whole: string, least: number): boolean => text.length >= least && whole.startsWith(text.toLowerCase());

function afterNetsh(words: readonly Word[], findings: Findings): FoundCommand | undefined {
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
  if (rest[0] && /^exec$/i.test(rest[0].text)) {
    findings.say("E_DYNAMIC_SCRIPT", rest[0], `the commands are in ${JSON.stringify(rest[1]?.text ?? "")}; import that file`);
    return undefined;
  }
  return afterContext(rest) ?? dynamic(rest, findings);
}

/** What stands in a command of IPsec policy whatever leads to it. */
const ABOUT_IPSEC = /\b(add|set|delete)\s+(policy|filter|filterlist|filteraction|defaultrule)\b|\bstatic\s+(add|set|delete)\b|\bconsec\b/i;

const startsOther = ([first]: readonly Word[]): boolean =>
  first !== undefined && /^(ipsec|firewall|interface|int|http|winsock|dnsclient|lan|wlan|ras|bridge|trace)$/i.test(first.text);

/** What is not of the static context is said to be left out: rules of the dynamic one do protect, until the next start. */
function dynamic(words: readonly Word[], findings: Findings): undefined {
  const [first, second] = words;
  if (!first) return undefined;
  const line = words.map(({ text }) => text).join(" ");
  const shown = /psk|preshare/i.test(line) ? "a command with a key" : JSON.stringify(line.slice(0, 60));
  if (/^[@$%!]/.test(first.text)) findings.say("E_DYNAMIC_SCRIPT", first, `what netsh shall do stands in ${JSON.stringify(first.text)}`);
  else if (isShort(first.text, "ipsec", 2) && second && isShort(second.text, "dynamic", 1)) findings.say("W_DYNAMIC_CONTEXT", first, shown);
  else if (second && (isShort(first.text, "ipsec", 2) || ABOUT_IPSEC.test(line)) && !/^(dump|show|help|\?)$/i.test(second.text))
    findings.say("E_SYNTAX", first, `${shown} is in no context of netsh that is known; ipsec static or advfirewall may be misspelt`);
  else findings.say("W_OTHER_COMMAND", first, `${shown} was left out`);
  return undefined;
}
