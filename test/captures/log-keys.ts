/**
 * Loaded in front of a daemon (`node --import`), it appends every key of a cipher to the file that KEY_LOG names: one a line, in hexadecimal.
 * Phase 1 is the only user of ciphers; ESP is the kernel's. The daemon itself tells its keys to root alone, by `trace --keys`.
 */
import crypto from "node:crypto";
import { appendFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const file = process.env["KEY_LOG"];
if (file === undefined) throw new Error("KEY_LOG names no file");
appendFileSync(file, "");

const { createCipheriv } = crypto;
const seen = new Set<string>();

crypto.createCipheriv = ((...words: Parameters<typeof createCipheriv>) => {
  const key = Buffer.from(words[1] as Uint8Array).toString("hex");
  if (!seen.has(key)) appendFileSync(file, `${key}\n`);
  seen.add(key);
  return createCipheriv(...words);
}) as typeof createCipheriv;
syncBuiltinESMExports();
