/**
 * Whether the peer can know nothing older of us than what begins now: said as INITIAL-CONTACT under encryption (RFC 2407 §4.6.3.3), and in clear
 * as Windows' Vid-Initial-Contact.
 */
import type { Core } from "./core.ts";
import type { Path } from "./input.ts";

/** Only where it is surely true: it makes the peer drop what it has of us. `itself`: the negotiation that it is about, once it has a number. */
export const isFirstContact = (core: Core, { local, remote }: Path, itself?: number): boolean =>
  !core.leftovers.knows(remote.address) &&
  core.store.byPeer(local.address, remote.address).every((entry) => entry.id === itself) &&
  !core.store.hasChildren(local.address, remote.address);
