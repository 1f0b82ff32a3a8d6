/**
 * Our inbound SPIs: random, at least 0x1000 (below are reserved and hand-made ones), unique among ours.
 */
import { type Core, random32 } from "./core.ts";

const LEAST_SPI = 0x1000;

/** A random SPI of at least 0x1000 that no SA and no negotiation of ours has; it is ours until it is released. */
export function takeSpi(core: Core): number {
  for (;;) {
    const spi = random32(core, LEAST_SPI);
    if (core.store.reserveSpi(spi)) return spi;
  }
}

/** Gives SPIs back whose negotiation came to nothing; null: there is none. */
export function releaseSpis(core: Core, spis: readonly (number | null)[]): void {
  for (const spi of spis) if (spi !== null) core.store.releaseSpi(spi);
}
