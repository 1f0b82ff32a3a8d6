import assert from "node:assert/strict";
import { test } from "node:test";
import { diagnose, RULE, site } from "./configurations.ts";

const WEAK = `[policy.main-mode]\nproposals = ["aes128-sha1-modp1024"]\n`;

const OTHER_RULE = RULE.replace('"hr"', '"web"').replace("192.0.2.2", "192.0.2.3");

/** Text and every diagnostic it gives. */
const CASES: readonly (readonly [string, string, readonly string[]])[] = [
  ["a good rule", RULE, []],
  ["a syntax error", "[daemon]\nport = \n", ["2:8: no valid TOML: invalid value"]],
  ["a key given twice", "[daemon]\nport = 1\nport = 2\n", ["3:1: no valid TOML: trying to redefine an already defined table or value"]],
  ["an unsafe key", `${RULE}__proto__ = 1\n`, ["6:1: no valid TOML: document contains an unsafe property"]],
  ["an unknown key", `${RULE}lokal-id = "ip:192.0.2.1"\n`, ['6:1: rule "hr": unknown key "lokal-id"; the nearest known key is "local-id"']],
  ["an unknown table", `${RULE}[polcy]\n`, ['6:1: unknown key "polcy"; the nearest known key is "policy"']],
  [
    "an unknown key of a table in a rule",
    `${RULE}tunnel = { remot = "192.0.2.2" }\n`,
    ['6:12: rule "hr": tunnel: unknown key "remot"; the nearest known key is "remote"'],
  ],
  ["a key in the wrong table", `${RULE}port = 1\n`, ['6:1: rule "hr": unknown key "port" here; it belongs in [daemon]']],
  [
    "a key in a rule that belongs to two tables",
    `${RULE}lifetime = "1h"\n`,
    ['6:1: rule "hr": unknown key "lifetime" here; it belongs in [policy.main-mode] or [policy.quick-mode]'],
  ],
  ["one [rule] instead of two brackets", RULE.replace("[[rule]]", "[rule]"), ["1:1: [rule]: rules are tables of a list; write [[rule]]"]],
  ["a table that is none", `daemon = 5\n${RULE}`, ["1:10: [daemon]: a table is expected, with keys such as control"]],
  [
    "values of wrong types",
    `[daemon]\nport = "500"\naddresses = "192.0.2.1"\ncontrol = 5\n${RULE}`,
    [
      "2:8: [daemon] port: a port number is expected, without quotes",
      "3:13: [daemon] addresses: a list of addresses is expected, in square brackets",
      "4:11: [daemon] control: a path is expected, in quotes",
    ],
  ],
  [
    "values out of range",
    `[daemon]\nport = 0\nnat-port = 65536\naddresses = []\ncontrol = "c.sock"\nruntime-directory = "r"\n${RULE}`,
    [
      "2:8: [daemon] port: a port is from 1 to 65535",
      "3:12: [daemon] nat-port: a port is from 1 to 65535",
      "4:13: [daemon] addresses: the list is empty; it needs at least one of addresses",
      '5:11: [daemon] control: "c.sock" is no absolute path',
      '6:21: [daemon] runtime-directory: "r" is no absolute path',
    ],
  ],
  [
    "link-local addresses to serve IKE on, and no other",
    `[daemon]\naddresses = ["fe80::1", "FE80::0:2"]\n${RULE}`,
    [
      "2:14: [daemon] addresses: fe80::1 is a link-local address, on which IKE can't be spoken: it says nothing without its interface; name another address of this host",
      "2:25: [daemon] addresses: fe80::2 is a link-local address, on which IKE can't be spoken: it says nothing without its interface; name another address of this host",
    ],
  ],
  [
    "a link-local address to serve IKE on beside another one",
    `[daemon]\naddresses = ["192.0.2.1", "fe80::1"]\n${RULE}`,
    [
      "2:27: warning: [daemon] addresses: fe80::1 is a link-local address, on which IKE can't be spoken: it says nothing without its interface; name another address of this host",
    ],
  ],
  [
    "one port for both",
    `[daemon]\nport = 4500\n${RULE}`,
    ["1:1: [daemon] nat-port: port and nat-port are both 4500; they need two sockets"],
  ],
  [
    "a socket path too long",
    `[daemon]\ncontrol = "/${"x".repeat(107)}"\n${RULE}`,
    ["2:11: [daemon] control: the path has 108 octets; a socket's may have 107"],
  ],
  [
    "a bad address in a list",
    `[daemon]\naddresses = ["192.0.2.1", "192.0.2.256", 5]\n${RULE}`,
    ['2:27: [daemon] addresses: "192.0.2.256" is no IPv4 or IPv6 address', "2:42: [daemon] addresses: an address is expected, in quotes"],
  ],
  [
    "a rule with nothing",
    "[[rule]]\n",
    [
      '1:1: rule number 1: name is missing; add name = "…"',
      '1:1: rule number 1: filters is missing; add filters = ["me <-> 192.0.2.2"]',
      '1:1: rule number 1: action is missing; add action = "require" or action = "respond"',
      '1:1: rule number 1: auth is missing; add auth = [{ method = "psk", secret-file = "…" }]',
    ],
  ],
  [
    "a name that cannot be shown",
    RULE.replace('"hr"', '"h\\u0007"'),
    ["2:8: rule number 1: name: a name has from 1 to 64 visible characters"],
  ],
  [
    "two rules of one name",
    `${RULE}${RULE.replace("192.0.2.2", "192.0.2.3")}`,
    ['7:8: rule "hr": name: rule number 1 has this name already; names tell rules apart in commands and logs'],
  ],
  [
    "two rules with one selector",
    `${RULE}${RULE.replace("hr", "b").replace('"me <-> 192.0.2.2"', '"me <-> 192.0.2.9", "192.0.2.2/32 <-> me"')}`,
    ['8:32: rule "b": filters: rule "hr" has a filter for the same traffic, "me <-> 192.0.2.2"; remove one, or make it narrower'],
  ],
  [
    "one filter twice in a rule",
    RULE.replace('2.2"', '2.2", "me<->192.0.2.2"'),
    ['3:32: rule "hr": filters: this rule has a filter for the same traffic, "me <-> 192.0.2.2"; remove one, or make it narrower'],
  ],
  ["filters that differ in the port alone", RULE.replace('2.2"', '2.2:80 tcp", "me <-> 192.0.2.2:443 tcp", "me <-> 192.0.2.2 udp"'), []],
  [
    "any beside everything of one family",
    RULE.replace("192.0.2.2", 'any", "me <-> ::/0'),
    ['3:26: rule "hr": filters: this rule has a filter for the same traffic, "me <-> any"; remove one, or make it narrower'],
  ],
  [
    "any beside me in transport mode, where they are the same",
    RULE.replace("me <-> 192.0.2.2", 'any <-> 192.0.2.2", "me <-> 192.0.2.2'),
    ['3:33: rule "hr": filters: this rule has a filter for the same traffic, "any <-> 192.0.2.2"; remove one, or make it narrower'],
  ],
  [
    "one filter for two different peers",
    `${RULE.replace("192.0.2.2", "any")}peer = "192.0.2.2"\n${RULE.replace("192.0.2.2", "any").replace("hr", "b")}peer = "192.0.2.3"\n`,
    [],
  ],
  [
    "one selector that hides behind an unreadable filter",
    `${RULE}${RULE.replace("hr", "b").replace('"me <-> 192.0.2.2"', '"nonsense", "me <-> 192.0.2.2"')}`,
    [
      '8:12: rule "b": filters: "nonsense" is no filter; write "me <-> 192.0.2.2" or "me <-> 10.1.0.0/16:445 tcp"',
      '8:24: rule "b": filters: rule "hr" has a filter for the same traffic, "me <-> 192.0.2.2"; remove one, or make it narrower',
    ],
  ],
  [
    "me in a tunnel, which is its local end",
    `${site('mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "203.0.113.9" }\n').replace("10.1.0.0/16 <-> ", "me <-> ").replace('/16"]', '/16", "198.51.100.1 <-> 10.2.0.0/16"]')}`,
    ['3:34: rule "hr": filters: this rule has a filter for the same traffic, "me <-> 10.2.0.0/16"; remove one, or make it narrower'],
  ],
  [
    "a tunnel in transport mode",
    `${RULE}tunnel = { remote = "203.0.113.9" }\n`,
    ['6:1: rule "hr": tunnel: tunnel has no meaning in transport mode; add mode = "tunnel", or remove tunnel'],
  ],
  [
    "a tunnel without ends",
    site('mode = "tunnel"\n'),
    ['6:8: rule "hr": mode: tunnel mode needs the far end; add tunnel = { remote = "203.0.113.9" }'],
  ],
  [
    "a tunnel without a far end",
    site('mode = "tunnel"\ntunnel = { local = "198.51.100.1" }\n'),
    ['7:10: rule "hr": tunnel: the far end is missing; add remote = "203.0.113.9"'],
  ],
  [
    "a start towards a tunnel end that is missing, which is one mistake",
    site('mode = "tunnel"\ntunnel = { local = "198.51.100.1" }\nstart = "now"\n'),
    ['7:10: rule "hr": tunnel: the far end is missing; add remote = "203.0.113.9"'],
  ],
  [
    "a tunnel to itself",
    site('mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "198.51.100.1" }\n'),
    ['7:45: rule "hr": tunnel.remote: local and remote are the same address; remote is the peer\'s'],
  ],
  [
    "a tunnel between families",
    site('mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "2001:db8::9" }\n'),
    ['7:45: rule "hr": tunnel.remote: local is 198.51.100.1 and remote 2001:db8::9; both ends need one address family'],
  ],
  [
    "me of one family in a tunnel with the other family",
    `${RULE.replace("192.0.2.2", "2001:db8::/32")}mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "203.0.113.9" }\n`,
    [
      '3:12: rule "hr": filters: me is 198.51.100.1 here, the tunnel\'s local end, and the other side is IPv6; name the addresses of both sides',
    ],
  ],
  [
    "a peer beside a tunnel",
    site('mode = "tunnel"\ntunnel = { remote = "203.0.113.9" }\npeer = "203.0.113.8"\n'),
    ['8:8: rule "hr": peer: tunnel.remote already names the peer, 203.0.113.9; remove peer'],
  ],
  ["the same peer beside a tunnel", site('mode = "tunnel"\ntunnel = { remote = "203.0.113.9" }\npeer = "203.0.113.9"\n'), []],
  [
    "a peer outside the filter",
    `${RULE}peer = "192.0.2.3"\n`,
    [
      '6:8: rule "hr": peer: 192.0.2.3/32 is not among the addresses of the filter "me <-> 192.0.2.2"; in transport mode the peer is the other end of the traffic',
    ],
  ],
  [
    "a start without a peer to start with",
    `${RULE.replace("192.0.2.2", "192.0.2.0/24")}start = "now"\n`,
    [
      '6:9: rule "hr": start: start = "now" needs to know the peer, and 192.0.2.0/24 is more than one address; name one in peer, or write start = "on-traffic"',
    ],
  ],
  ["a start with a peer", `${RULE.replace("192.0.2.2", "192.0.2.0/24")}start = "now"\npeer = "192.0.2.7"\n`, []],
  [
    "a responder that starts",
    `${RULE.replace("require", "respond")}start = "now"\n`,
    ['6:9: rule "hr": start: a respond rule waits for its peers; write action = "require" to start, or remove start'],
  ],
  [
    "a responder that starts on traffic",
    `${RULE.replace("require", "respond")}start = "on-traffic"\n`,
    ['6:9: warning: rule "hr": start: a respond rule waits for its peers; start has no effect'],
  ],
  ["an empty key", RULE.replace('"k"', '""'), ['4:36: rule "hr": auth.secret: the key is empty; everybody knows that one']],
  ["a key that is no text", RULE.replace('"k"', "12345"), ['4:36: rule "hr": auth.secret: the key is expected in quotes']],
  ["no key", RULE.replace(', secret = "k"', ""), ['4:9: rule "hr": auth: the pre-shared key is missing; add secret-file = "…"']],
  [
    "two keys",
    RULE.replace("secret =", 'secret-file = "good.psk", secret ='),
    ['4:53: rule "hr": auth.secret: secret and secret-file exclude each other; keep secret-file'],
  ],
  [
    "a key file that is not there",
    RULE.replace('secret = "k"', 'secret-file = "bad.psk"'),
    ['4:41: rule "hr": auth.secret-file: bad.psk: there is no such file'],
  ],
  [
    "a credential outside the service",
    RULE.replace('secret = "k"', 'secret-file = "credential:later"'),
    ['4:41: warning: rule "hr": auth.secret-file: not checked: credentials exist only inside the service'],
  ],
  [
    "no method",
    RULE.replace('method = "psk", ', ""),
    ['4:9: rule "hr": auth: method is missing; add method = "psk", method = "x509" or method = "kerberos"'],
  ],
  [
    "an unknown method",
    RULE.replace('"psk"', '"pks"'),
    ['4:20: rule "hr": auth.method: unknown value "pks"; the nearest known one is "psk"'],
  ],
  [
    "a key of another method",
    RULE.replace('secret = "k"', 'secret = "k", ca = ["x"]'),
    ['4:41: rule "hr": auth.ca: ca belongs to the method x509'],
  ],
  [
    "a misspelt key of an entry",
    RULE.replace("secret =", "secert ="),
    ['4:27: rule "hr": auth: unknown key "secert"; the nearest known key is "secret"'],
  ],
  [
    "an empty list of methods",
    RULE.replace('[{ method = "psk", secret = "k" }]', "[]"),
    ['4:8: rule "hr": auth: the list is empty; it needs at least one of methods'],
  ],
  [
    "a bad identity",
    `${RULE}remote-id = "b.example.test"\n`,
    ['6:13: rule "hr": remote-id: "b.example.test" does not say what kind of identity it is; write "fqdn:b.example.test"'],
  ],
  [
    "weak algorithms",
    `${WEAK}${RULE}`,
    [
      '2:14: [policy.main-mode] proposals: "aes128-sha1-modp1024" is weak (modp1024); choose another, or add allow-weak = ["modp1024"] to [policy] or to rule "hr"',
    ],
  ],
  [
    "weak algorithms that are allowed",
    `[policy]\nallow-weak = ["modp1024"]\n${WEAK}${RULE}`,
    ['4:14: warning: [policy.main-mode] proposals: "aes128-sha1-modp1024" is weak (modp1024) and offered because allow-weak says so'],
  ],
  [
    "weak algorithms of which one is allowed",
    `[policy]\nallow-weak = ["group2"]\n${RULE}quick-mode = { pfs = "modp768", proposals = ["esp:des-md5"] }\nallow-weak = ["md5"]\n`,
    [
      '2:15: [policy] allow-weak: "group2" is not a weak algorithm; those are des, md5, modp768, modp1024, rsa1024, sha1-certificates, v1-ca',
      '8:22: rule "hr": quick-mode.pfs: "modp768" is weak (modp768); choose another, or add allow-weak = ["modp768"] to [policy] or to this rule',
      '8:46: rule "hr": quick-mode.proposals: "esp:des-md5" is weak (des); choose another, or add allow-weak = ["des"] to [policy] or to this rule',
    ],
  ],
  [
    "everything weak allowed in a rule",
    `${RULE}allow-weak = true\nmain-mode = { proposals = ["des-md5-modp768"] }\n`,
    ['7:28: warning: rule "hr": main-mode.proposals: "des-md5-modp768" is weak (des, md5, modp768) and offered because allow-weak says so'],
  ],
  [
    "the policy's weak algorithms, allowed by every rule that takes them",
    `${WEAK}${RULE}allow-weak = true\n${OTHER_RULE}main-mode = { proposals = ["aes128-sha1-modp2048"] }\n`,
    ['2:14: warning: [policy.main-mode] proposals: "aes128-sha1-modp1024" is weak (modp1024) and offered because allow-weak says so'],
  ],
  [
    "the policy's weak algorithms, allowed by one of the rules that take them",
    `${WEAK}${RULE}allow-weak = ["modp1024"]\n${OTHER_RULE}main-mode = { lifetime = "1h" }\n`,
    [
      '2:14: [policy.main-mode] proposals: "aes128-sha1-modp1024" is weak (modp1024); choose another, or add allow-weak = ["modp1024"] to [policy] or to rule "web"',
    ],
  ],
  [
    "a weak group of the policy's for PFS, allowed by the rule that takes it",
    `[policy.quick-mode]\npfs = "modp768"\n${RULE}allow-weak = ["modp768"]\nquick-mode = { proposals = ["esp:aes128-sha1"] }\n`,
    ['2:7: warning: [policy.quick-mode] pfs: "modp768" is weak (modp768) and offered because allow-weak says so'],
  ],
  [
    "weak algorithms of a policy that no rule takes",
    `${WEAK}${RULE}allow-weak = true\nmain-mode = { proposals = ["aes128-sha1-modp2048"] }\n`,
    [
      '2:14: [policy.main-mode] proposals: "aes128-sha1-modp1024" is weak (modp1024); choose another, or add allow-weak = ["modp1024"] to [policy]',
    ],
  ],
  [
    "an offer twice",
    `${RULE}quick-mode = { proposals = ["esp:aes-sha", "esp:aes128-sha1"] }\n`,
    ['6:44: warning: rule "hr": quick-mode.proposals: "esp:aes128-sha1" stands here twice; the second is left out'],
  ],
  [
    "two keys for one peer",
    `${RULE}${RULE.replace("hr", "b").replace("2.2", "2.2 udp").replace('"k"', '"K"')}`,
    [
      '9:8: warning: rule "b": auth: rule "hr" has another pre-shared key for 192.0.2.2/32; Main Mode picks the key by address before it knows who calls, so calls from there are checked with that one',
    ],
  ],
  [
    "two keys for one peer, each for an address of ours",
    `${RULE.replace('"me ', '"192.0.2.1 ')}${RULE.replace("hr", "b").replace('"me ', '"192.0.2.3 ').replace('"k"', '"K"')}`,
    [],
  ],
  [
    "two keys for one peer, one of them for one address of ours",
    `${RULE}${RULE.replace("hr", "b").replace("2.2", "2.2 udp").replace('"me ', '"192.0.2.3 ').replace('"k"', '"K"')}`,
    [
      '9:8: warning: rule "b": auth: rule "hr" has another pre-shared key for 192.0.2.2/32; Main Mode picks the key by address before it knows who calls, so calls from there are checked with that one',
    ],
  ],
  [
    "the same the other way round",
    `${RULE.replace('"me ', '"192.0.2.3 ')}${RULE.replace("hr", "b").replace("2.2", "2.2 udp").replace('"k"', '"K"')}`,
    [
      '9:8: warning: rule "b": auth: rule "hr" has another pre-shared key for 192.0.2.2/32; Main Mode picks the key by address before it knows who calls, so calls from there are checked with that one',
    ],
  ],
  [
    "two keys for one peer, one of them for a tunnel with it",
    `${RULE}${RULE.replace("hr", "b").replace("me <-> 192.0.2.2", "10.1.0.0/16 <-> 10.2.0.0/16").replace('"k"', '"K"')}mode = "tunnel"\ntunnel = { local = "192.0.2.3", remote = "192.0.2.2" }\n`,
    [
      '9:8: warning: rule "b": auth: rule "hr" has another pre-shared key for 192.0.2.2/32; Main Mode picks the key by address before it knows who calls, so calls from there are checked with that one',
    ],
  ],
  ["one key for one peer in two rules", `${RULE}${RULE.replace("hr", "b").replace("2.2", "2.2 udp")}`, []],
  [
    "two keys in one rule",
    RULE.replace("}]", '}, { method = "psk", secret = "other" }]'),
    [
      '4:8: warning: rule "hr": auth: the entries have different pre-shared keys; Main Mode picks the key by address before it knows who calls, so only the first is used',
    ],
  ],
];
for (const [what, text, expected] of CASES)
  test(`${what} gives ${expected.length === 0 ? "no diagnostic" : expected.length === 1 ? "its diagnostic" : "all its diagnostics"}`, () =>
    assert.deepEqual(diagnose(text), expected));
