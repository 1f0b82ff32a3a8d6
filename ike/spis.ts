/**
 * Our inbound SPIs: random, at least 0x1000 (below are reserved and hand-made ones), unique among ours.
 */
import { type Core, random32 } from "./core.ts";

const LEAST_SPI = 0x1000;

export function takeSpi(core: Core): number {
  for (;;) {
    const spi = random32(core, LEAST_SPI);
    if (core.store.reserveSpi(spi)) return spi;
  }
}

export function releaseSpis(core: Core, spis: readonly number[]): void {
  for (const spi of spis) core.store.releaseSpi(spi);
}
