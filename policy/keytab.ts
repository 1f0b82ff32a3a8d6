/**
 * Whose keys a keytab holds: MIT's file format, version 0x502, as its documentation describes it. Keys are passed over and never copied. Pure.
 */
import { err, ok, type Result } from "../isakmp/result.ts";

/** The principals of a keytab's entries, each once, in the order of the file, as text: `host/a.example.test@REALM`. */
export function keytabPrincipals(octets: Uint8Array): Result<readonly string[], string> {
  if (octets[0] !== 5 || octets[1] !== 2) return err("it is no keytab (a keytab begins with the octets 05 02)");
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length);
  const names = new Set<string>();
  let at = 2;
  while (at + 4 <= octets.length) {
    const size = view.getInt32(at);
    at += 4;
    // What was removed leaves a hole of its size; zeros end the file.
    if (size === 0) break;
    const end = at + Math.abs(size);
    if (end > octets.length) return err("it is no complete keytab: its last entry is cut off");
    if (size > 0) {
      const name = principalAt(view, at, end);
      if (name === undefined) return err(`it is no keytab: the entry at octet ${at} holds no principal`);
      names.add(name);
    }
    at = end;
  }
  return names.size === 0 ? err("it holds no keys") : ok([...names]);
}

/** Number of components, realm, components: each text behind its length in two octets. */
function principalAt(view: DataView, start: number, end: number): string | undefined {
  if (start + 2 > end) return undefined;
  const count = view.getUint16(start);
  const texts: string[] = [];
  let at = start + 2;
  for (let i = 0; i <= count; i++) {
    if (at + 2 > end) return undefined;
    const length = view.getUint16(at);
    at += 2;
    if (at + length > end) return undefined;
    texts.push(new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, length)));
    at += length;
  }
  const [realm = "", ...components] = texts;
  return components.length === 0 ? undefined : `${components.map(quoted).join("/")}@${quoted(realm)}`;
}

/** RFC 1964 §2.1.1: what separates is written with a backslash where it does not. */
const quoted = (text: string): string => text.replace(/[\\/@]/g, "\\$&");
