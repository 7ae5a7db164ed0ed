import type { ProviderName } from '../shared/api-key.ts';
import { cleanText } from '../shared/key-text.ts';
import { faultOfAddedText, type NewKey } from './key-registry.ts';

/** One key of an imported text, and the number of its line, from 1. */
export interface ImportedKey extends NewKey {
  readonly line: number;
}

export interface ImportFault {
  readonly line: number;
  /** Null: the line as a whole. */
  readonly field: 'key' | null;
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
  const keys: ImportedKey[] = [];
  const faults: ImportFault[] = [];
  for (const { line, written } of linesIn(text)) {
    const read = readLine(written, provider, providers);
    if ('message' in read) faults.push({ line, ...read });
    else keys.push({ line, ...read });
  }
  return { keys, faults };
}

function readLine(
  written: string,
  provider: ProviderName | null,
  providers: readonly ProviderName[],
): NewKey | Omit<ImportFault, 'line'> {
  if (VARIABLE.test(written)) return ofLine(NAMES_A_VARIABLE);
  const prefix = new RegExp(`^(${providers.join('|')}):\\s*`, 'i');
  const [start = '', named] = prefix.exec(written) ?? [];
  const of = named?.toLowerCase() ?? provider;
  if (of === null) {
    return ofLine(`Names no provider: put ${providers.join(': or ')}: before the key.`);
  }
  const [text, labels] = splitLabels(written.slice(start.length));
  const [project = null, billing = null, ...more] = labels;
  if (more.length > 0) return ofLine('Has more than a project and a billing account.');
  const fault = faultOfAddedText(text);
  if (fault !== null) return { field: 'key', message: fault };
  return { provider: of, text, project, billing, personaId: null };
}

const ofLine = (message: string) => ({ field: null, message });

const linesIn = (text: string) =>
  text
    .split(/\r\n|\r|\n/)
    .map((raw, index) => ({ line: index + 1, written: cleanText(raw) }))
    .filter(({ written }) => written !== '' && !written.startsWith('#'));

const NAMES_A_VARIABLE = 'Put the key alone, or KEY=project, without the name of a variable.';
/** A line of a `.env` file. */
const VARIABLE = /^(?:export\s+)?[A-Z]+_API_KEY(?:_\w+)?\s*=/i;

/** Base64 may end with `=`: the separator is the last `=` of a run that a label follows. */
const LABELLED = /^([^=]+)(=*)=([^=].*)$/s;

function splitLabels(text: string): [key: string, labels: readonly (string | null)[]] {
  const [, key, padding = '', labels] = LABELLED.exec(text) ?? [];
  if (key === undefined || labels === undefined) return [text, []];
  return [(key + padding).trim(), labels.split(',').map((label) => label.trim() || null)];
}
