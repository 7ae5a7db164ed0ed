import type { ApiKey } from '../shared/api-key.ts';
import {
  createLabelCheck,
  faultOfKeyText,
  isPersonaId,
  isPlaceholder,
} from '../shared/key-text.ts';
import {
  keyVariable,
  otherProviderOf,
  type ProviderFacts,
  providerOf,
} from '../shared/provider-facts.ts';
import { Secret } from '../shared/secret.ts';

export interface FoundKeys extends Readonly<Notes> {
  /** In the order of the providers; each in numeric order, the unnumbered one first. */
  readonly keys: readonly ApiKey[];
  /** The ids of those whose text comes from a file. */
  readonly fileKeys: ReadonlySet<string>;
}

/**
 * Finds every key of every provider, whatever its number.
 *
 * @param texts the environment's variables, cleaned and without the blank ones
 * @param inFiles the names of those whose texts come from files
 */
export function findKeys(
  texts: ReadonlyMap<string, string>,
  providers: readonly ProviderFacts[],
  inFiles: { has(name: string): boolean } = new Set(),
): FoundKeys {
  const notes: Notes = { warnings: [], faults: [] };
  const taken = new Map<string, KeyVariables>();
  const groups = groupKeyVariables(texts, providers, notes);
  const keys = groups.flatMap((group) => toKeys(group, taken, notes));
  checkLabels(groups, providers, notes);
  for (const key of keys) noteShape(key, providers, notes);
  const fromFiles = groups.filter(({ key }) => key !== undefined && inFiles.has(key.name));
  const fileKeys = new Set(fromFiles.map(({ provider, number }) => idOf(provider, number)));
  return { keys: withAccounts(keys, groups, notes), fileKeys, ...notes };
}

/** @param part Default: the key or any of its labels */
export function isKeyVariable(
  name: string,
  providers: readonly ProviderFacts[],
  part?: NameMatch['part'],
): boolean {
  const match = matchName(name, providers);
  return match !== null && (part === undefined || match.part === part);
}

/** @returns one sentence that names the key variables that are set to nothing */
export function blankKeyWarnings(
  environment: Readonly<Record<string, string | undefined>>,
  texts: ReadonlyMap<string, string>,
  providers: readonly ProviderFacts[],
): readonly string[] {
  const isKey = (name: string) => isKeyVariable(name, providers, 'key');
  const blank = Object.keys(environment).filter(
    (name) => environment[name] !== undefined && !texts.has(name) && isKey(name),
  );
  return blank.length === 0 ? [] : [`Empty, and therefore ignored: ${blank.join(', ')}.`];
}

/** One sentence each, without any value. */
interface Notes {
  readonly warnings: string[];
  readonly faults: string[];
}

/** A variable that is set, under the name that was written: `_01` and `_1` mean the same number. */
interface Variable {
  readonly name: string;
  readonly text: string;
}

/** The variables of one number of one provider. */
interface KeyVariables {
  readonly provider: ProviderFacts;
  /** Digits without leading zeros, as long as they may be; the unnumbered one is empty. */
  readonly number: string;
  key?: Variable;
  project?: Variable;
  billing?: Variable;
  personaId?: Variable;
}

/**
 * Sorts out which variables belong to which key: in the order of the providers, each in numeric order
 * and the unnumbered one first.
 *
 * @param texts the environment's variables, without the blank ones
 */
function groupKeyVariables(
  texts: ReadonlyMap<string, string>,
  providers: readonly ProviderFacts[],
  notes: Notes,
): readonly KeyVariables[] {
  const groups = new Map<string, KeyVariables>();
  const warnUnread = createUnreadWarning(providers);
  for (const [name, text] of [...texts].sort(byName)) {
    const match = matchName(name, providers);
    if (match !== null) addTo(groups, match, { name, text }, notes);
    else notes.warnings.push(...warnUnread(name));
  }
  const inOrder = [...groups.values()].sort(byNumber);
  return providers.flatMap((provider) => inOrder.filter((group) => group.provider === provider));
}

interface NameMatch {
  readonly provider: ProviderFacts;
  readonly number: string;
  readonly part: 'key' | 'project' | 'billing' | 'personaId';
}

const KEY_VARIABLE = /^([A-Z]+)_API_KEY(?:_(\d+))?(_PROJECT|_BILLING|_PERSONA_ID)?$/;
const LEADING_ZEROS = /^0+(?=\d)/;

function matchName(name: string, providers: readonly ProviderFacts[]): NameMatch | null {
  const [, prefix, digits = '', suffix] = KEY_VARIABLE.exec(name) ?? [];
  const provider = providers.find((candidate) => candidate.prefix === prefix);
  const part = partOf(suffix);
  if (provider === undefined || !hasPart(provider, part)) return null;
  return { provider, number: digits.replace(LEADING_ZEROS, ''), part };
}

function hasPart(provider: ProviderFacts, part: NameMatch['part']): boolean {
  if (part === 'personaId') return provider.hasPersonas === true;
  return part !== 'billing' || provider.hasBillingAccounts === true;
}

const partOf = (suffix = ''): NameMatch['part'] => PARTS[suffix] ?? 'key';

const PARTS: Readonly<Record<string, NameMatch['part']>> = {
  _PROJECT: 'project',
  _BILLING: 'billing',
  _PERSONA_ID: 'personaId',
};

function addTo(
  groups: Map<string, KeyVariables>,
  { provider, number, part }: NameMatch,
  variable: Variable,
  { faults }: Notes,
): void {
  const name = keyVariable(provider, number);
  const group = groups.get(name) ?? { provider, number };
  groups.set(name, group);
  const other = group[part];
  if (other === undefined) group[part] = variable;
  else faults.push(`${other.name}: has the same number as ${variable.name}; keep one of the two.`);
}

/**
 * Warns of a variable that looks like a key under another name: `GEMINI_API_KEY`,
 * `GOOGLE_API_KEY_BACKUP`, `ANAM_KEY`; not of `GOOGLE_MAPS_API_KEY`, which is no mistake.
 */
function createUnreadWarning(providers: readonly ProviderFacts[]) {
  const patterns = providers.map((provider) => {
    const prefixes = [provider.prefix, ...(provider.mistakenPrefixes ?? [])].join('|');
    const looksLikeAKey = new RegExp(`^(?:${prefixes})${MISTAKEN_REST}`, 'i');
    return { looksLikeAKey, key: keyVariable(provider) };
  });
  return (name: string): readonly string[] =>
    patterns
      .filter(({ looksLikeAKey }) => looksLikeAKey.test(name))
      .map(
        ({ key }) =>
          `${name} is not read: name a key ${key} or ${key}_<number>, and its project ${key}_<number>_PROJECT.`,
      );
}

const MISTAKEN_REST = String.raw`(?:_GEMINI|_GENERATIVE_AI|_GENAI|_AI_STUDIO|_AI)?(?:_?\d+)?(?:_?API)?(?:_?\d+)?_?KEYS?(?![A-Z])`;

const byName = ([a]: [string, string], [b]: [string, string]) => compare(a, b);

/** Without leading zeros the longer number is the greater one, however many digits it has. */
const byNumber = (a: KeyVariables, b: KeyVariables) =>
  a.number.length - b.number.length || compare(a.number, b.number);

const compare = (a: string, b: string) => Number(a > b) - Number(a < b);

/** @returns one key, or none where the variable holds nothing to use. */
function toKeys(group: KeyVariables, taken: Map<string, KeyVariables>, notes: Notes): ApiKey[] {
  const { provider, number, key, project, personaId } = group;
  if (key === undefined) {
    noteStray(group, notes);
    return [];
  }
  if (!acceptText(key, notes) || !acceptOnce(group, key, taken, notes)) return [];
  if (personaId !== undefined) checkPersonaId(personaId, notes);
  const { name } = provider;
  const id = idOf(provider, number);
  const secret = new Secret(id, key.text);
  const persona = personaId === undefined ? {} : { personaId: personaId.text };
  return [{ id, provider: name, project: project?.text ?? id, secret, ...persona }];
}

function noteStray(
  { provider, number, project, billing, personaId }: KeyVariables,
  notes: Notes,
): void {
  for (const variable of [project, billing, personaId]) {
    if (variable === undefined) continue;
    const missing = keyVariable(provider, number);
    notes.warnings.push(`${variable.name} is ignored: ${missing} is not set.`);
  }
}

function acceptText({ name, text }: Variable, { warnings, faults }: Notes): boolean {
  if (isPlaceholder(text)) {
    warnings.push(`${name} is ignored: it still holds a placeholder.`);
    return false;
  }
  const fault = faultOfKeyText(text);
  if (fault === null) return true;
  faults.push(`${name}: ${fault}; each variable takes one key.`);
  return false;
}

/** A key that is set twice counts once: the first variable wins. */
function acceptOnce(
  group: KeyVariables,
  { name, text }: Variable,
  taken: Map<string, KeyVariables>,
  { warnings }: Notes,
): boolean {
  const slot = `${group.provider.name} ${text}`;
  const first = taken.get(slot);
  if (first === undefined) {
    taken.set(slot, group);
    return true;
  }
  const kept = first.key?.name;
  const extras = [
    noteDifferent(group.project, first.project),
    noteDifferent(group.billing, first.billing),
    noteDifferent(group.personaId, first.personaId),
  ].join('');
  warnings.push(`${name} holds the same key as ${kept}, which counts once as ${kept}${extras}.`);
  return false;
}

function noteDifferent(ours: Variable | undefined, first: Variable | undefined): string {
  const isDifferent = ours !== undefined && ours.text !== first?.text;
  return isDifferent ? `; ${ours.name} differs and is ignored` : '';
}

function checkPersonaId({ name, text }: Variable, { faults }: Notes): void {
  if (!isPersonaId(text)) faults.push(`${name}: is not the id of a persona.`);
}

/** Only a warning: providers change the shape of their keys. */
function noteShape(
  { id, provider, secret }: ApiKey,
  providers: readonly ProviderFacts[],
  { warnings }: Notes,
): void {
  const other = otherProviderOf(secret.reveal(), provider, providers);
  if (other === null) return;
  const variable = keyVariable(providerOf(providers, provider), id.slice(provider.length + 1));
  warnings.push(`${variable} looks like a key of ${other}, not of ${provider}.`);
}

/** All keys of a project have the billing account that one of them names. */
function withAccounts(
  keys: readonly ApiKey[],
  groups: readonly KeyVariables[],
  { faults }: Notes,
): readonly ApiKey[] {
  const accounts = new Map<string, Variable>();
  const ids = new Set(keys.map(({ id }) => id));
  for (const { provider, number, project, billing } of groups) {
    const id = idOf(provider, number);
    if (billing === undefined || !ids.has(id)) continue;
    const owner = `${provider.name} ${project?.text ?? id}`;
    const named = accounts.get(owner) ?? billing;
    accounts.set(owner, named);
    if (named.text !== billing.text) {
      faults.push(`${billing.name}: contradicts ${named.name}, whose key has the same project.`);
    }
  }
  return keys.map((key) => {
    const account = accounts.get(`${key.provider} ${key.project}`);
    return account === undefined ? key : { ...key, billing: account.text };
  });
}

const idOf = ({ name }: ProviderFacts, number: string) =>
  number === '' ? name : `${name}-${number}`;

function checkLabels(
  groups: readonly KeyVariables[],
  providers: readonly ProviderFacts[],
  { faults }: Notes,
): void {
  const inUse = groups.filter(({ key }) => key !== undefined && !isPlaceholder(key.text));
  const texts = new Set(inUse.map(({ key }) => key?.text ?? ''));
  const faultOfLabel = createLabelCheck(providers, (text) => texts.has(text));
  for (const label of inUse.flatMap(({ project, billing }) => [project, billing])) {
    if (label === undefined) continue;
    const fault = faultOfLabel(label.text);
    if (fault !== null) faults.push(`${label.name}: ${fault}.`);
  }
}
