/** @param at milliseconds since the epoch */
export const isoTime = (at: number): string => new Date(at).toISOString();
