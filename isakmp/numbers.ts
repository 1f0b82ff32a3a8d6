/**
 * Every assigned number of ISAKMP, IKE and the IPsec DOI that we read or write.
 * Sources: RFC 2407, 2408, 2409, 3706, 3947, 4754, 4868, 4106, 5903, 8031 and IANA's ipsec-registry and isakmp-registry.
 */
import { registry } from "./registry.ts";

/** RFC 2408 §3.1: major version 1, minor 0, in one octet. */
export const ISAKMP_VERSION = 0x10;

/** Header flags, RFC 2408 §3.1. */
export const FLAG = registry({ ENCRYPTION: 1, COMMIT: 2, "AUTH-ONLY": 4 });

/** Exchange types: RFC 2408 §3.1, RFC 2409 appendix A; 243-246 are AuthIP's (MS-AIPS). */
export const EXCHANGE = registry({
  NONE: 0,
  Base: 1,
  "Identity Protection": 2,
  "Authentication Only": 3,
  Aggressive: 4,
  Informational: 5,
  Transaction: 6,
  "Quick Mode": 32,
  "New Group Mode": 33,
  "AuthIP Main Mode": 243,
  "AuthIP Quick Mode": 244,
  "AuthIP Extended Mode": 245,
  "AuthIP Notify": 246,
});

/** Payload types: RFC 2408 §3.1, RFC 3947 §3.2 and §5.2; 129 draft-ietf-ipsec-isakmp-gss-auth; 130-132 as deployed. */
export const PAYLOAD = registry({
  NONE: 0,
  SA: 1,
  P: 2,
  T: 3,
  KE: 4,
  ID: 5,
  CERT: 6,
  CERTREQ: 7,
  HASH: 8,
  SIG: 9,
  NONCE: 10,
  N: 11,
  D: 12,
  VID: 13,
  "NAT-D": 20,
  "NAT-OA": 21,
  GSS: 129,
  "NAT-D draft": 130,
  "NAT-OA draft": 131,
  FRAGMENT: 132,
});

/** Domains of interpretation, RFC 2407 §4.1. */
export const DOI = registry({ ISAKMP: 0, IPSEC: 1 });

/** Situation bits, RFC 2407 §4.2. */
export const SITUATION = registry({ SIT_IDENTITY_ONLY: 1, SIT_SECRECY: 2, SIT_INTEGRITY: 4 });

/** Security protocol identifiers, RFC 2407 §4.4.1. */
export const PROTOCOL = registry({ ISAKMP: 1, AH: 2, ESP: 3, IPCOMP: 4 });

/** ISAKMP transform identifiers, RFC 2407 §4.4.2. */
export const ISAKMP_TRANSFORM = registry({ KEY_IKE: 1 });

/** AH transform identifiers, RFC 2407 §4.4.3, RFC 4868. */
export const AH_TRANSFORM = registry({ AH_MD5: 2, AH_SHA: 3, AH_DES: 4, "AH_SHA2-256": 5, "AH_SHA2-384": 6, "AH_SHA2-512": 7 });

/** ESP transform identifiers, RFC 2407 §4.4.4, RFC 3602, RFC 4106. */
export const ESP_TRANSFORM = registry({
  ESP_DES_IV64: 1,
  ESP_DES: 2,
  ESP_3DES: 3,
  ESP_RC5: 4,
  ESP_IDEA: 5,
  ESP_CAST: 6,
  ESP_BLOWFISH: 7,
  ESP_NULL: 11,
  ESP_AES: 12,
  "ESP_AES-CTR": 13,
  "ESP_AES-CCM_16": 16,
  "ESP_AES-GCM_8": 18,
  "ESP_AES-GCM_12": 19,
  "ESP_AES-GCM_16": 20,
  ESP_CAMELLIA: 22,
  ESP_NULL_AUTH_AES_GMAC: 23,
});

/** Phase 1 attribute classes, RFC 2409 appendix A; 16384 is the GSS identity name (draft-ietf-ipsec-isakmp-gss-auth §3.3.2). */
export const IKE_ATTRIBUTE = registry({
  "Encryption Algorithm": 1,
  "Hash Algorithm": 2,
  "Authentication Method": 3,
  "Group Description": 4,
  "Group Type": 5,
  "Group Prime": 6,
  "Group Generator One": 7,
  "Group Generator Two": 8,
  "Group Curve A": 9,
  "Group Curve B": 10,
  "Life Type": 11,
  "Life Duration": 12,
  PRF: 13,
  "Key Length": 14,
  "Field Size": 15,
  "Group Order": 16,
  "GSS Identity Name": 16384,
  "GSS Identity Name (Windows 2000)": 32001,
});

/** IPsec SA attribute classes, RFC 2407 §4.5. */
export const IPSEC_ATTRIBUTE = registry({
  "SA Life Type": 1,
  "SA Life Duration": 2,
  "Group Description": 3,
  "Encapsulation Mode": 4,
  "Authentication Algorithm": 5,
  "Key Length": 6,
  "Key Rounds": 7,
  "Compress Dictionary Size": 8,
  "Compress Private Algorithm": 9,
  "ECN Tunnel": 10,
  "Extended Sequence Number": 11,
});

/** Phase 1 encryption algorithms, RFC 2409 appendix A, RFC 3602. */
export const ENCRYPTION = registry({
  "DES-CBC": 1,
  "IDEA-CBC": 2,
  "Blowfish-CBC": 3,
  "RC5-CBC": 4,
  "3DES-CBC": 5,
  "CAST-CBC": 6,
  "AES-CBC": 7,
  "CAMELLIA-CBC": 8,
});

/** Phase 1 hash algorithms, RFC 2409 appendix A, RFC 4868. */
export const HASH = registry({ MD5: 1, SHA: 2, TIGER: 3, "SHA2-256": 4, "SHA2-384": 5, "SHA2-512": 6 });

/** Authentication methods, RFC 2409 appendix A, RFC 4754; 65001 as Windows uses it (XAUTH uses the same number). */
export const AUTH_METHOD = registry({
  "Pre-shared key": 1,
  "DSS signatures": 2,
  "RSA signatures": 3,
  "RSA encryption": 4,
  "Revised RSA encryption": 5,
  "ECDSA-256": 9,
  "ECDSA-384": 10,
  "ECDSA-521": 11,
  Kerberos: 65001,
});

/** Diffie-Hellman groups, RFC 2409 §6, RFC 3526, RFC 5903, RFC 8031. */
export const GROUP = registry({
  modp768: 1,
  modp1024: 2,
  modp1536: 5,
  modp2048: 14,
  modp3072: 15,
  modp4096: 16,
  modp6144: 17,
  modp8192: 18,
  ecp256: 19,
  ecp384: 20,
  ecp521: 21,
  x25519: 31,
});

/** Life types of both phases, RFC 2409 appendix A, RFC 2407 §4.5. */
export const LIFE_TYPE = registry({ seconds: 1, kilobytes: 2 });

/** Encapsulation modes, RFC 2407 §4.5, RFC 3947 §5.1; 61443 and 61444 from the drafts. */
export const ENCAPSULATION = registry({
  Tunnel: 1,
  Transport: 2,
  "UDP-Encapsulated-Tunnel": 3,
  "UDP-Encapsulated-Transport": 4,
  "UDP-Encapsulated-Tunnel draft": 61443,
  "UDP-Encapsulated-Transport draft": 61444,
});

/** Authentication algorithms of ESP and AH, RFC 2407 §4.5, RFC 4868. */
export const AUTH_ALGORITHM = registry({
  "HMAC-MD5": 1,
  "HMAC-SHA": 2,
  "DES-MAC": 3,
  KPDK: 4,
  "HMAC-SHA2-256": 5,
  "HMAC-SHA2-384": 6,
  "HMAC-SHA2-512": 7,
});

/** Identification types, RFC 2407 §4.6.2.1. */
export const ID_TYPE = registry({
  ID_IPV4_ADDR: 1,
  ID_FQDN: 2,
  ID_USER_FQDN: 3,
  ID_IPV4_ADDR_SUBNET: 4,
  ID_IPV6_ADDR: 5,
  ID_IPV6_ADDR_SUBNET: 6,
  ID_IPV4_ADDR_RANGE: 7,
  ID_IPV6_ADDR_RANGE: 8,
  ID_DER_ASN1_DN: 9,
  ID_DER_ASN1_GN: 10,
  ID_KEY_ID: 11,
});

/** Certificate encodings, RFC 2408 §3.9. */
export const CERT_ENCODING = registry({
  NONE: 0,
  "PKCS #7 wrapped X.509": 1,
  "PGP Certificate": 2,
  "DNS Signed Key": 3,
  "X.509 - Signature": 4,
  "X.509 - Key Exchange": 5,
  "Kerberos Tokens": 6,
  CRL: 7,
  ARL: 8,
  SPKI: 9,
  "X.509 - Attribute": 10,
});

/** Notify message types: RFC 2408 §3.14.1, RFC 2407 §4.6.3, RFC 3706 §5; 40003-40005 are Windows' (MS-IKEE §2.2.6). */
export const NOTIFY = registry({
  "INVALID-PAYLOAD-TYPE": 1,
  "DOI-NOT-SUPPORTED": 2,
  "SITUATION-NOT-SUPPORTED": 3,
  "INVALID-COOKIE": 4,
  "INVALID-MAJOR-VERSION": 5,
  "INVALID-MINOR-VERSION": 6,
  "INVALID-EXCHANGE-TYPE": 7,
  "INVALID-FLAGS": 8,
  "INVALID-MESSAGE-ID": 9,
  "INVALID-PROTOCOL-ID": 10,
  "INVALID-SPI": 11,
  "INVALID-TRANSFORM-ID": 12,
  "ATTRIBUTES-NOT-SUPPORTED": 13,
  "NO-PROPOSAL-CHOSEN": 14,
  "BAD-PROPOSAL-SYNTAX": 15,
  "PAYLOAD-MALFORMED": 16,
  "INVALID-KEY-INFORMATION": 17,
  "INVALID-ID-INFORMATION": 18,
  "INVALID-CERT-ENCODING": 19,
  "INVALID-CERTIFICATE": 20,
  "CERT-TYPE-UNSUPPORTED": 21,
  "INVALID-CERT-AUTHORITY": 22,
  "INVALID-HASH-INFORMATION": 23,
  "AUTHENTICATION-FAILED": 24,
  "INVALID-SIGNATURE": 25,
  "ADDRESS-NOTIFICATION": 26,
  "NOTIFY-SA-LIFETIME": 27,
  "CERTIFICATE-UNAVAILABLE": 28,
  "UNSUPPORTED-EXCHANGE-TYPE": 29,
  "UNEQUAL-PAYLOAD-LENGTHS": 30,
  CONNECTED: 16384,
  "RESPONDER-LIFETIME": 24576,
  "REPLAY-STATUS": 24577,
  "INITIAL-CONTACT": 24578,
  "R-U-THERE": 36136,
  "R-U-THERE-ACK": 36137,
  NOTIFY_STATUS: 40003,
  "DOS-COOKIE": 40004,
  EXCHANGE_INFO: 40005,
});

/** IP protocol numbers that filters name. */
export const IP_PROTOCOL = registry({
  any: 0,
  icmp: 1,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  sctp: 132,
  l2tp: 115,
  rdp: 27,
  ggp: 3,
  egp: 8,
  pup: 12,
  xns: 22,
  rvd: 66,
});
