import type { ProviderName } from '../shared/api-key.ts';
import { cleanText } from '../shared/key-text.ts';
import type { NewKey } from './key-registry.ts';

/** One key of an imported text, and the number of its line, from 1. */
export interface ImportedKey extends NewKey {
  readonly line: number;
}

export interface ImportFault {
  readonly line: number;
  /** A sentence without any key. */
  readonly message: string;
}

/**
 * Reads lines such as `KEY`, `KEY=project`, `KEY=project,billing` and `anam:KEY`. Empty lines and those that begin with
 * `#` are comments.
 *
 * @param provider of the lines that name none; null: each must name one
 */
export function readImport(
  text: string,
  provider: ProviderName | null,
  providers: readonly ProviderName[],
): { readonly keys: readonly ImportedKey[]; readonly faults: readonly ImportFault[] } {
  const prefix = new RegExp(`^(${providers.join('|')}):\\s*`, 'i');
  const keys: ImportedKey[] = [];
  const faults: ImportFault[] = [];
  for (const { line, written } of linesIn(text)) {
    const [start = '', named] = prefix.exec(written) ?? [];
    const of = named?.toLowerCase() ?? provider;
    const [key, labels] = splitLabels(written.slice(start.length));
    const [project = null, billing = null, ...more] = labels;
    if (of === null)
      faults.push({
        line,
        message: `Names no provider: put ${providers.join(': or ')}: before the key.`,
      });
    else if (more.length > 0)
      faults.push({ line, message: 'Has more than a project and a billing account.' });
    else keys.push({ line, provider: of, text: key, project, billing, personaId: null });
  }
  return { keys, faults };
}

const linesIn = (text: string) =>
  text
    .split(/\r\n|\r|\n/)
    .map((raw, index) => ({ line: index + 1, written: cleanText(raw) }))
    .filter(({ written }) => written !== '' && !written.startsWith('#'));

/** Base64 may end with `=`: the separator is the last `=` of a run that a label follows. */
const LABELLED = /^([^=]+)(=*)=([^=].*)$/s;

function splitLabels(text: string): [key: string, labels: readonly (string | null)[]] {
  const [, key, padding = '', labels] = LABELLED.exec(text) ?? [];
  if (key === undefined || labels === undefined) return [text, []];
  return [(key + padding).trim(), labels.split(',').map((label) => label.trim() || null)];
}
