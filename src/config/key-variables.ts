import { SERVICES, type Service } from '../shared/api-key.ts';

/** One sentence each, and never a value. */
export interface Notes {
  readonly warnings: string[];
  readonly faults: string[];
}

/** A variable that is set, under its own name: `_01` and `_1` mean the same number. */
export interface Variable {
  readonly name: string;
  readonly text: string;
}

/** The variables of one number of one service. */
export interface KeyVariables {
  readonly service: Service;
  /** Digits without leading zeros, as long as they may be; the unnumbered one is empty. */
  readonly number: string;
  key?: Variable;
  project?: Variable;
  personaId?: Variable;
}

/**
 * Sorts out which variables belong to which key: Google first, then Anam, each in numeric order and
 * the unnumbered one first.
 *
 * @param texts the environment's variables, without the blank ones
 */
export function groupKeyVariables(
  texts: ReadonlyMap<string, string>,
  notes: Notes,
): readonly KeyVariables[] {
  const groups = new Map<string, KeyVariables>();
  for (const [name, text] of [...texts].sort(byName)) {
    const match = matchName(name);
    if (match !== null) addTo(groups, match, { name, text }, notes);
    else noteUnread(name, notes);
  }
  return [...groups.values()].sort(byServiceAndNumber);
}

/** The name under which a key is set, as the messages give it: `GOOGLE_API_KEY_2`. */
export const keyVariableName = (service: Service, number: string): string =>
  `${service.toUpperCase()}_API_KEY${number === '' ? '' : `_${number}`}`;

/** Whether a key is set under this name. */
const isKeyVariable = (name: string): boolean => matchName(name)?.part === 'key';

type Part = 'key' | 'project' | 'personaId';

interface NameMatch {
  readonly service: Service;
  readonly number: string;
  readonly part: Part;
}

const NAMES = {
  google: /^GOOGLE_API_KEY(?:_(\d+))?(_PROJECT)?$/,
  anam: /^ANAM_API_KEY(?:_(\d+))?(_PROJECT|_PERSONA_ID)?$/,
} as const satisfies Record<Service, RegExp>;

const LEADING_ZEROS = /^0+(?=\d)/;

function matchName(name: string): NameMatch | null {
  for (const service of SERVICES) {
    const match = NAMES[service].exec(name);
    if (match === null) continue;
    const [, digits = '', suffix] = match;
    return { service, number: digits.replace(LEADING_ZEROS, ''), part: partOf(suffix) };
  }
  return null;
}

function partOf(suffix: string | undefined): Part {
  if (suffix === undefined) return 'key';
  return suffix === '_PROJECT' ? 'project' : 'personaId';
}

function addTo(
  groups: Map<string, KeyVariables>,
  { service, number, part }: NameMatch,
  variable: Variable,
  { faults }: Notes,
): void {
  const name = keyVariableName(service, number);
  const group = groups.get(name) ?? { service, number };
  groups.set(name, group);
  const other = group[part];
  if (other === undefined) group[part] = variable;
  else faults.push(`${other.name}: has the same number as ${variable.name}; keep one of the two.`);
}

/** `GEMINI_API_KEY`, `GOOGLE_API_KEY_BACKUP`, `ANAM_KEY`; not `GOOGLE_MAPS_API_KEY`, which is no mistake. */
const LOOKS_LIKE_A_KEY =
  /^(GOOGLE|GEMINI|ANAM)(?:_GEMINI|_GENERATIVE_AI|_GENAI|_AI_STUDIO|_AI)?(?:_?\d+)?(?:_?API)?(?:_?\d+)?_?KEYS?(?![A-Z])/i;

function noteUnread(name: string, { warnings }: Notes): void {
  const owner = LOOKS_LIKE_A_KEY.exec(name)?.[1];
  if (owner === undefined) return;
  const key = keyVariableName(owner.toUpperCase() === 'ANAM' ? 'anam' : 'google', '');
  warnings.push(
    `${name} is not read: name a key ${key} or ${key}_<number>, and its project ${key}_<number>_PROJECT.`,
  );
}

const byName = ([a]: [string, string], [b]: [string, string]) => compare(a, b);

function byServiceAndNumber(a: KeyVariables, b: KeyVariables): number {
  const byService = SERVICES.indexOf(a.service) - SERVICES.indexOf(b.service);
  // Without leading zeros the longer number is the greater one, however many digits it has.
  return byService || a.number.length - b.number.length || compare(a.number, b.number);
}

const compare = (a: string, b: string) => Number(a > b) - Number(a < b);

/** @returns one sentence that names the variables of keys which hold nothing */
export function blankKeyWarnings(
  environment: Readonly<Record<string, string | undefined>>,
  texts: ReadonlyMap<string, string>,
): readonly string[] {
  const blank = Object.keys(environment).filter(
    (name) => environment[name] !== undefined && !texts.has(name) && isKeyVariable(name),
  );
  return blank.length === 0 ? [] : [`Empty, and therefore ignored: ${blank.join(', ')}.`];
}
