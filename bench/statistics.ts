/** The few numbers that stand for many. */

/** The middle one, or the mean of the two in the middle. RangeError for none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("no values have no median");
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** The largest by the smallest. */
export const spread = (values: readonly number[]): number => Math.max(...values) / Math.min(...values);
