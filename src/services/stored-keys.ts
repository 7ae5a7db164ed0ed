import { z } from 'zod';
import { KEY_CHANGES, type KnownKey } from '../shared/api-key.ts';
import { parseJson } from '../shared/json.ts';
import { SealError, type Sealer } from '../shared/seal.ts';

/** The collection of the durable store, with one document for each key's id. */
export const KEYS = 'keys';

/** Left out: as in the settings. Null: no label. */
const label = z.string().nullable().optional();

const DOCUMENT = z.strictObject({
  version: z.literal(1),
  provider: z.string(),
  /** Sealed. Null: the text of the variable or file. */
  text: z.string().nullable(),
  /**
   * The sealed digest of the text that the variable or file had: with another text the change no longer applies. Null for an
   * added key.
   */
  changed: z.string().nullable(),
  labels: z.strictObject({ project: label, billing: label, personaId: label }),
  use: z.enum(['used', 'paused', 'retired'] satisfies KnownKey['use'][]),
  last: z.strictObject({
    action: z.enum(KEY_CHANGES),
    who: z.string().nullable(),
    why: z.string().nullable(),
    at: z.string(),
  }),
});

type Document = z.output<typeof DOCUMENT>;

/** The content of one document, unsealed: an added key, or the changes of a key of the settings. */
export type StoredKey = Omit<Document, 'version'>;

export function writeStoredKey(id: string, key: StoredKey, sealer: Sealer): string {
  const seal = (text: string | null, field: string) =>
    text === null ? null : sealer.seal(text, KEYS, id, field);
  const document: Document = {
    ...key,
    version: 1,
    text: seal(key.text, 'text'),
    changed: seal(key.changed, 'changed'),
  };
  return JSON.stringify(document);
}

/** @returns null: another `MASTER_KEY` or a newer version has written it, or the key has no text */
export function readStoredKey(id: string, text: string, sealer: Sealer): StoredKey | null {
  const read = DOCUMENT.safeParse(parseJson(text)).data;
  if (read === undefined) return null;
  const { version: _, ...document } = read;
  const open = (sealed: string | null, field: string) =>
    sealed === null ? null : sealer.open(sealed, KEYS, id, field);
  try {
    const text = open(document.text, 'text');
    const changed = open(document.changed, 'changed');
    // A key without a text could not be hidden: every place of a log line would match it.
    return text === '' || (text ?? changed) === null ? null : { ...document, text, changed };
  } catch (error) {
    if (error instanceof SealError) return null;
    throw error;
  }
}
