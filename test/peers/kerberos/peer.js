/**
 * The npm package `kerberos` at one end of a context: one JSON object a line on standard input, one answer a line on standard output.
 * Tokens are base64. `{op:"initiate", service, without}` (a flag not to ask for), `{op:"answer", token}`, `{op:"accept", token}`, `{op:"unwrap", token}`.
 */
import { createInterface } from "node:readline";
import kerberos from "kerberos";

const FLAGS = kerberos.GSS_C_MUTUAL_FLAG | kerberos.GSS_C_SEQUENCE_FLAG | kerberos.GSS_C_CONF_FLAG | kerberos.GSS_C_INTEG_FLAG;
let client;

const operations = {
  // The option is documented under the one name and read under the other.
  initiate: async ({ service, without }) => {
    const flags = FLAGS & ~(without === undefined ? 0 : kerberos[`GSS_C_${without}_FLAG`]);
    client = await kerberos.initializeClient(service, { flags, gssFlag: flags, mechOID: kerberos.GSS_MECH_OID_KRB5 });
    return { token: await client.step("") };
  },
  answer: async ({ token }) => {
    await client.step(token);
    return { complete: client.contextComplete };
  },
  unwrap: async ({ token }) => {
    await client.unwrap(token);
    return { data: client.response };
  },
  accept: async ({ token }) => {
    const server = await kerberos.initializeServer("");
    await server.step(token);
    return { token: server.response, complete: server.contextComplete, user: server.username, target: server.targetName };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  const answer = await operations[question.op](question).catch((error) => ({ error: error.message }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
