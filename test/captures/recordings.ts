/** What record.ts records: names in pcaps/ and the interop scenarios that they show. */

/** `about` is for who opens the capture in an analyser. */
export interface Recording {
  readonly name: string;
  readonly scenario: string;
  readonly about: string;
}

export const RECORDINGS: readonly Recording[] = [
  {
    name: "mainmode-to-strongswan",
    scenario: "strongswan-initiator-usual",
    about:
      "mainmode negotiates with strongSwan: Main Mode, Quick Mode with PFS, pings in ESP in transport mode, both SAs deleted by mainmode.",
  },
  {
    name: "strongswan-to-mainmode",
    scenario: "strongswan-responder-usual",
    about:
      "strongSwan negotiates with mainmode: Main Mode, Quick Mode with PFS, pings in ESP in transport mode, both SAs deleted by strongSwan.",
  },
  {
    name: "mainmode-to-libreswan",
    scenario: "libreswan-initiator-usual",
    about:
      "mainmode negotiates with libreswan: Main Mode, Quick Mode with PFS, pings in ESP in transport mode, both SAs deleted by mainmode.",
  },
  {
    name: "libreswan-to-mainmode",
    scenario: "libreswan-responder-usual",
    about:
      "libreswan negotiates with mainmode: Main Mode, Quick Mode with PFS, pings in ESP in transport mode, both SAs deleted by libreswan.",
  },
  {
    name: "strongswan-to-mainmode-3des-md5",
    scenario: "strongswan-responder-3des-md5",
    about: "The weak end of the table: 3DES, MD5 and modp1024, whose SKEYID_e is shorter than the key; Quick Mode without PFS.",
  },
  {
    name: "strongswan-to-mainmode-tunnel",
    scenario: "strongswan-responder-ecp256",
    about: "Subnets in tunnel mode with AES-256, SHA-256 and ecp256; mainmode answers with a RESPONDER-LIFETIME.",
  },
  {
    name: "mainmode-to-strongswan-ipv6",
    scenario: "strongswan-initiator-x25519",
    about: "IPv6 in transport mode with x25519 (group 31) in both phases; ESP with AES-GCM.",
  },
  {
    name: "mainmode-to-mainmode-ah-esp",
    scenario: "mainmode-initiator-ah-esp",
    about: "AH and ESP together in one Quick Mode, transport mode: two proposals with one number, pings in ESP in AH.",
  },
  {
    name: "mainmode-to-mainmode-ah-esp-tunnel-ipv6",
    scenario: "mainmode-initiator-ah-esp-tunnel",
    about: "AH and ESP together in one Quick Mode, tunnel mode, over IPv6 and for IPv6 subnets.",
  },
  {
    name: "mainmode-to-strongswan-refused-phase-1",
    scenario: "strongswan-initiator-no-phase1",
    about:
      "strongSwan refuses the offer of Main Mode with a notify in clear, which mainmode can't trust: it repeats message 1 before it gives up.",
  },
  {
    name: "strongswan-to-mainmode-refused-phase-2",
    scenario: "strongswan-responder-no-phase2",
    about: "mainmode refuses the offer of Quick Mode with NO-PROPOSAL-CHOSEN; strongSwan then deletes the IKE SA.",
  },
  {
    name: "mainmode-to-mainmode-other-selectors",
    scenario: "mainmode-initiator-other-selectors",
    about: "The responder knows no rule for the subnets that the initiator asks for: INVALID-ID-INFORMATION.",
  },
  {
    name: "mainmode-to-strongswan-wrong-psk",
    scenario: "strongswan-initiator-wrong-psk",
    about:
      "The pre-shared keys differ, so both ends derive different keys: message 5 opens with mainmode's, strongSwan's complaints do not.",
  },
  {
    name: "mainmode-to-strongswan-rsa-chain",
    scenario: "strongswan-initiator-rsa3072-chain-list",
    about:
      "RSA signatures of 3072 bits, each certificate with its intermediate: messages 5 and 6 are so long that IP takes them apart. mainmode has a current list of what was revoked.",
  },
  {
    name: "strongswan-to-mainmode-ecdsa",
    scenario: "strongswan-responder-ecdsa256",
    about: "ECDSA-256 (method 9): strongSwan's certificate and mainmode's on P-256, asked for in messages 3 and 4.",
  },
  {
    name: "libreswan-to-mainmode-rsa",
    scenario: "libreswan-responder-rsa2048",
    about: "libreswan and mainmode with RSA signatures of 2048 bits.",
  },
  {
    name: "mainmode-to-strongswan-revoked",
    scenario: "strongswan-initiator-revoked",
    about:
      "strongSwan's certificate is revoked: mainmode says AUTHENTICATION-FAILED under encryption, and deletes the IKE SA that strongSwan has.",
  },
  {
    name: "mainmode-to-strongswan-x509-or-psk",
    scenario: "strongswan-initiator-x509-or-psk",
    about:
      "mainmode offers RSA signatures and a pre-shared key; strongSwan, which has the key only, agrees to the first and refuses the proof. The second Main Mode offers the key alone.",
  },
];
