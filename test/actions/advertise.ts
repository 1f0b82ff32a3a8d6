/**
 * A router for one moment, in a namespace: advertises the prefix (/64, on the link, for addresses) that it is told on eth0, once (RFC 4861 §4.2, §4.6.2).
 */
import { readFileSync } from "node:fs";
import koffi from "koffi";
import { addressBytes, parseAddress } from "../../isakmp/address.ts";

const [prefix = ""] = process.argv.slice(2);
const octetsOf = (text: string): Uint8Array => {
  const address = parseAddress(text);
  if (!address) throw new Error(text);
  return addressBytes(address.family, address.value);
};
const number = (value: number): Uint8Array => new Uint8Array(new Int32Array([value]).buffer);
const [AF_INET6, SOCK_RAW, ICMPV6, IPPROTO_IPV6, MULTICAST_IF, MULTICAST_HOPS] = [10, 3, 58, 41, 17, 18];
const HOUR = [0, 0, 0x0e, 0x10];

const c = koffi.load("libc.so.6");
const call = (declaration: string, ...values: readonly unknown[]): number => {
  const result: number = c.func(declaration)(...values);
  if (result < 0) throw new Error(`${declaration}: errno ${koffi.errno()}`);
  return result;
};
const device = Number(readFileSync("/sys/class/net/eth0/ifindex", "utf8"));
const socket = call("int socket(int, int, int)", AF_INET6, SOCK_RAW, ICMPV6);
// Who hears it takes nothing that may have passed a router.
for (const [option, value] of [
  [MULTICAST_HOPS, 255],
  [MULTICAST_IF, device],
] as const)
  call("int setsockopt(int, int, int, const uint8_t *, int)", socket, IPPROTO_IPV6, option, number(value), 4);
const head = [134, 0, 0, 0, 64, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0];
const information = [3, 4, 64, 0xc0, ...HOUR, ...HOUR, 0, 0, 0, 0, ...octetsOf(prefix)];
const message = Uint8Array.from([...head, ...information]);
// struct sockaddr_in6: family in the machine's order, port, flow, address, scope.
const everybody = Uint8Array.from([...number(AF_INET6).subarray(0, 2), 0, 0, 0, 0, 0, 0, ...octetsOf("ff02::1"), ...number(device)]);
call(
  "int sendto(int, const uint8_t *, size_t, int, const uint8_t *, int)",
  socket,
  message,
  message.length,
  0,
  everybody,
  everybody.length,
);
