import type { ApiKey } from '../shared/api-key.ts';
import { keyVariable, type ProviderFacts } from '../shared/provider.ts';
import { Secret } from '../shared/secret.ts';
import {
  groupKeyVariables,
  type KeyVariables,
  type Notes,
  type Variable,
} from './key-variables.ts';
import { isPersonaId, isPlaceholder } from './text.ts';

export interface FoundKeys extends Readonly<Notes> {
  /** In the order of the providers; each in numeric order, the unnumbered one first. */
  readonly keys: readonly ApiKey[];
}

/**
 * Finds every key of every provider, whatever its number.
 *
 * @param texts the environment's variables, cleaned and without the blank ones
 */
export function findKeys(
  texts: ReadonlyMap<string, string>,
  providers: readonly ProviderFacts[],
): FoundKeys {
  const notes: Notes = { warnings: [], faults: [] };
  const taken = new Map<string, KeyVariables>();
  const groups = groupKeyVariables(texts, providers, notes);
  const keys = groups.flatMap((group) => toKeys(group, taken, notes));
  checkLabels(groups, providers, notes);
  return { keys, ...notes };
}

/** @returns one key, or none where the variable holds nothing to use. */
function toKeys(group: KeyVariables, taken: Map<string, KeyVariables>, notes: Notes): ApiKey[] {
  const { provider, number, key, project, personaId } = group;
  if (key === undefined) {
    noteStray(group, notes);
    return [];
  }
  if (!acceptText(key, notes) || !acceptOnce(group, key, taken, notes)) return [];
  if (personaId !== undefined) checkPersonaId(personaId, notes);
  const { name: service } = provider;
  const id = number === '' ? service : `${service}-${number}`;
  const secret = new Secret(id, key.text);
  const persona = personaId === undefined ? {} : { personaId: personaId.text };
  return [{ id, service, project: project?.text ?? id, secret, ...persona }];
}

function noteStray({ provider, number, project, personaId }: KeyVariables, notes: Notes): void {
  for (const variable of [project, personaId]) {
    if (variable === undefined) continue;
    const missing = keyVariable(provider, number);
    notes.warnings.push(`${variable.name} is ignored: ${missing} is not set.`);
  }
}

/**
 * What a key may consist of: what an HTTP header carries as it is. Without quotes and backslashes,
 * which JSON would write differently, so that a log line would no longer be recognised to hold a key.
 */
const KEY_TEXT = /^(?:(?!["'`,\\])[!-~])+$/;

function acceptText({ name, text }: Variable, { warnings, faults }: Notes): boolean {
  if (isPlaceholder(text)) {
    warnings.push(`${name} is ignored: it still holds a placeholder.`);
    return false;
  }
  if (KEY_TEXT.test(text)) return true;
  faults.push(
    `${name}: has a character that no key has (a space, a quote, a comma, an invisible or non-ASCII one); each variable takes one key.`,
  );
  return false;
}

/** The same key twice is one key: the first variable wins. */
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

const LABEL = /^[^\p{C}\p{Zl}\p{Zp}]{1,100}$/u;

/**
 * A label shares one room of names with the ids of the keys that have none: a label that reads like
 * an id is refused, whether or not there is such a key, so that no key added later can join a
 * project by accident. Labels are shown, so none may be a key's text.
 */
function checkLabels(
  groups: readonly KeyVariables[],
  providers: readonly ProviderFacts[],
  { faults }: Notes,
): void {
  const names = providers.map(({ name }) => name).join('|');
  const idOfAKey = new RegExp(`^(?:${names})(?:-\\d+)?$`, 'i');
  const inUse = groups.filter(({ key }) => key !== undefined && !isPlaceholder(key.text));
  const texts = new Set(inUse.map(({ key }) => key?.text ?? ''));
  for (const { project } of inUse) {
    if (project === undefined) continue;
    const fault = faultOfLabel(project.text, idOfAKey, texts);
    if (fault !== null) faults.push(`${project.name}: ${fault}.`);
  }
}

function faultOfLabel(
  text: string,
  idOfAKey: RegExp,
  keyTexts: ReadonlySet<string>,
): string | null {
  if (!LABEL.test(text)) return 'must be 1 to 100 printable characters';
  if (idOfAKey.test(text)) return 'reads like the id of a key; choose another label';
  return keyTexts.has(text) ? 'holds a key where the label of its project belongs' : null;
}
