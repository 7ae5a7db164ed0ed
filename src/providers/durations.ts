const MS_PER_SECOND = 1000;
const NS_PER_MS = 1_000_000;

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: MS_PER_SECOND,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};

const PART = String.raw`\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns)`;

/** `41s`, `812ms`, `13h27m31.2s`: the text of a duration, for use inside a larger expression. */
export const DURATION_TEXT = `(?:${PART})+`;

const WHOLE_DURATION = new RegExp(`^(-?)(${DURATION_TEXT})$`);
const PARTS = /(\d+(?:\.\d+)?)([a-zµ]+)/g;

/**
 * Reads a duration as Google writes it: protobuf's JSON text (`"35.17s"`), Go's text
 * (`"13h27m31.2s"`, `"812ms"`) or the message itself (`{seconds, nanos}`, seconds often as text).
 *
 * @returns whole milliseconds, which may be zero or less; `undefined` for anything else.
 */
export function parseDurationMs(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? fromText(value.trim()) : fromMessage(value);
  return ms !== undefined && Number.isFinite(ms) ? Math.round(ms) : undefined;
}

function fromText(text: string): number | undefined {
  const [, sign, parts] = WHOLE_DURATION.exec(text) ?? [];
  if (parts === undefined) return undefined;
  const ms = [...parts.matchAll(PARTS)].reduce((sum, [, amount, unit]) => {
    return sum + Number(amount) * (MS_PER_UNIT[unit ?? ''] ?? Number.NaN);
  }, 0);
  return sign === '-' ? -ms : ms;
}

function fromMessage(value: unknown): number | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { seconds, nanos } = value as { seconds?: unknown; nanos?: unknown };
  if (seconds === undefined && nanos === undefined) return undefined;
  return toNumber(seconds) * MS_PER_SECOND + toNumber(nanos) / NS_PER_MS;
}

/** Protobuf's JSON leaves out what is zero, and writes 64-bit numbers as text. */
function toNumber(value: unknown): number {
  if (value === undefined) return 0;
  if (typeof value === 'number') return value;
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN;
}
