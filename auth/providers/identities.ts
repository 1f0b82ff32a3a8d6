/**
 * What a certificate proves (RFC 4945 §3.1 and §5.1.3.6): its subject as a DN, and the alternative names that phase 1 can say.
 * The common name is no host name: a CA vouches for names of hosts in the alternative names.
 */
import { sameOctets } from "../../ike/crypto/compare.ts";
import { addressFromBytes, formatAddress } from "../../isakmp/address.ts";
import { identityOf, sameIdentity } from "../../policy/identity.ts";
import { nameKey, sameWriting } from "../../policy/name-match.ts";
import type { Identity } from "../../policy/types.ts";
import type { Certificate } from "./certificate.ts";

/** The identities, the subject first where there is one. */
export function identitiesOf({ subject, extensions: { names } }: Certificate): readonly Identity[] {
  const addresses = names.ip.flatMap((octets): readonly Identity[] => {
    const address = addressFromBytes(octets);
    return address ? [{ type: "ip", address: formatAddress(address.family, address.value) }] : [];
  });
  return [
    ...(subject.text === "" ? [] : [{ type: "dn", der: subject.der, text: subject.text } as const]),
    ...names.dns.map((name) => ({ type: "fqdn", name }) as const),
    ...names.email.map((name) => ({ type: "user", name }) as const),
    ...addresses,
    ...names.dn.flatMap((der) => {
      const identity = identityOf({ type: ID_DER_ASN1_DN, data: der });
      return identity.type === "dn" ? [identity] : [];
    }),
  ];
}

const ID_DER_ASN1_DN = 9;

/** Hosts of mail addresses are compared without case, as they are everywhere else. */
const proves = (proven: readonly Identity[], claimed: Identity): boolean =>
  proven.some((one) => sameIdentity(one, claimed) || sameMailbox(one, claimed));

/**
 * Those of the certificates that prove an identity. A DN has to be the certificate's octet by octet, and those come first. After them come those
 * that hold the same characters in other string types: strongSwan writes a DN that stands in its configuration in types of its own.
 * A name is taken apart only where the certificate's is equal by RFC 5280 §7.1, however many certificates there are.
 */
export function proversOf(certificates: readonly Certificate[], claimed: Identity): readonly Certificate[] {
  if (claimed.type !== "dn") return certificates.filter((one) => proves(identitiesOf(one), claimed));
  const key = nameKey(claimed.der);
  const holding = (same: (own: Uint8Array, claimed: Uint8Array) => boolean): readonly Certificate[] =>
    certificates.filter(
      ({ subject, extensions: { names } }) =>
        (subject.text !== "" && subject.key === key && same(subject.der, claimed.der)) || names.dn.some((der) => same(der, claimed.der)),
    );
  return [...new Set([...holding(sameOctets), ...holding(sameWriting)])];
}

function sameMailbox(a: Identity, b: Identity): boolean {
  if (a.type !== "user" || b.type !== "user") return false;
  const [one, other] = [a.name, b.name].map((name) => {
    const at = name.lastIndexOf("@");
    return at < 0 ? name : name.slice(0, at) + name.slice(at).toLowerCase();
  });
  return one === other;
}
