import { keyVariable, type ProviderFacts } from '../shared/provider.ts';

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

/** The variables of one number of one provider. */
export interface KeyVariables {
  readonly provider: ProviderFacts;
  /** Digits without leading zeros, as long as they may be; the unnumbered one is empty. */
  readonly number: string;
  key?: Variable;
  project?: Variable;
  personaId?: Variable;
}

/**
 * Sorts out which variables belong to which key: in the order of the providers, each in numeric order
 * and the unnumbered one first.
 *
 * @param texts the environment's variables, without the blank ones
 */
export function groupKeyVariables(
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
  return [...groups.values()].sort((a, b) => byProviderAndNumber(a, b, providers));
}

type Part = 'key' | 'project' | 'personaId';

interface NameMatch {
  readonly provider: ProviderFacts;
  readonly number: string;
  readonly part: Part;
}

const KEY_VARIABLE = /^([A-Z]+)_API_KEY(?:_(\d+))?(_PROJECT|_PERSONA_ID)?$/;
const LEADING_ZEROS = /^0+(?=\d)/;

function matchName(name: string, providers: readonly ProviderFacts[]): NameMatch | null {
  const [, prefix, digits = '', suffix] = KEY_VARIABLE.exec(name) ?? [];
  const provider = providers.find((candidate) => candidate.prefix === prefix);
  const part = partOf(suffix);
  if (provider === undefined || (part === 'personaId' && !provider.hasPersonas)) return null;
  return { provider, number: digits.replace(LEADING_ZEROS, ''), part };
}

function partOf(suffix: string | undefined): Part {
  if (suffix === undefined) return 'key';
  return suffix === '_PROJECT' ? 'project' : 'personaId';
}

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
    const prefixes = [provider.prefix, ...provider.mistakenPrefixes].join('|');
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

function byProviderAndNumber(
  a: KeyVariables,
  b: KeyVariables,
  providers: readonly ProviderFacts[],
): number {
  const byProvider = providers.indexOf(a.provider) - providers.indexOf(b.provider);
  // Without leading zeros the longer number is the greater one, however many digits it has.
  return byProvider || a.number.length - b.number.length || compare(a.number, b.number);
}

const compare = (a: string, b: string) => Number(a > b) - Number(a < b);

/** @returns one sentence that names the variables of keys which hold nothing */
export function blankKeyWarnings(
  environment: Readonly<Record<string, string | undefined>>,
  texts: ReadonlyMap<string, string>,
  providers: readonly ProviderFacts[],
): readonly string[] {
  const isKey = (name: string) => matchName(name, providers)?.part === 'key';
  const blank = Object.keys(environment).filter(
    (name) => environment[name] !== undefined && !texts.has(name) && isKey(name),
  );
  return blank.length === 0 ? [] : [`Empty, and therefore ignored: ${blank.join(', ')}.`];
}
