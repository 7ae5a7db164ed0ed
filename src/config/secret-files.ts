import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanText, faultOfKeyText, isPlaceholder } from '../shared/key-text.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import { isKeyVariable } from './keys.ts';

/** Secrets that the settings keep in files. */
export interface SecretFiles {
  /** By the name of the variable that a file stands for. */
  readonly texts: ReadonlyMap<string, string>;
  /** The variables that name a file: `GOOGLE_API_KEY_FILE`. */
  readonly namedBy: readonly string[];
  /** `NAME: what is wrong.` */
  readonly faults: readonly string[];
  /** Reads the files of keys again. Null: no key comes from a file. */
  readonly readAgain: (() => Promise<FilesNow>) | null;
}

/** What the files of keys and of their labels hold. */
export interface FilesNow {
  readonly texts: ReadonlyMap<string, string>;
  /** One for each key that stays as it was because its file has none. */
  readonly faults: readonly string[];
}

/** Settings whose text may be in a file that `<NAME>_FILE` names, as each key may be. */
const SECRET_SETTINGS = ['ADMIN_TOKEN', 'CLIENT_TOKENS', 'MASTER_KEY', 'REDIS_URL'];
const NAMES_A_FILE = /^(.+)_FILE$/;
/** Names a folder with files that are named like the variables of keys: a mounted secret. */
const FOLDER = 'KEYS_DIR';

/** @param texts the environment's variables, cleaned and without the blank ones */
export function readSecretFiles(
  texts: ReadonlyMap<string, string>,
  providers: readonly ProviderFacts[],
): SecretFiles {
  const isKey = (name: string) => isKeyVariable(name, providers, 'key');
  const named = [...texts].flatMap(([name, path]): SecretFile[] => {
    const [, variable = ''] = NAMES_A_FILE.exec(name) ?? [];
    const isSecret = SECRET_SETTINGS.includes(variable) || isKey(variable);
    return isSecret ? [{ variable, path, label: `${name}:` }] : [];
  });
  const folder = texts.get(FOLDER) ?? null;
  const inFolder = (names: readonly string[]) =>
    names
      .filter((name) => isKeyVariable(name, providers))
      .map((name) => ({
        variable: name,
        path: join(folder ?? '', name),
        label: `${FOLDER}: ${name}`,
      }));
  const listed = folder === null ? [] : attempt(() => inFolder(readdirSync(folder)));
  const files = [...named, ...(typeof listed === 'string' ? [] : listed)];
  const contents = files.map((file) => ({ file, read: attempt(() => readNow(file, isKey)) }));
  const found = new Map(contents.flatMap(({ file, read }) => textIn(file, read)));
  const keyFiles = named.filter(({ variable }) => isKey(variable));
  const isTaken = (variable: string) => texts.has(variable);
  return {
    texts: found,
    namedBy: named.map(({ variable }) => `${variable}_FILE`),
    faults: [
      ...(typeof listed === 'string' ? [`${FOLDER}: ${listed}.`] : []),
      ...contents.flatMap(({ file, read }) => faultIn(file, read)),
      ...setTwice(files, isTaken),
    ],
    readAgain:
      folder === null && keyFiles.length === 0
        ? null
        : createReadAgain({ found, keyFiles, folder, inFolder, isKey, isTaken }),
  };
}

interface SecretFile {
  /** The variable that the file stands for. */
  readonly variable: string;
  readonly path: string;
  /** Where the settings name it, for messages. */
  readonly label: string;
}

/** The text of a file, or a fault. */
type Read = { readonly text: string } | string;

/** @returns a thrown error as a fault */
function attempt<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    return faultOf(error);
  }
}

/** Never the message: it may quote what a variable holds instead of a path. */
function faultOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  return `cannot be read (${code})`;
}

function readNow({ variable, path }: SecretFile, isKey: (name: string) => boolean): Read {
  return sizeFault(statSync(path)) ?? checked(readFileSync(path, 'utf8'), isKey(variable));
}

/** In bytes. */
const MAX_SIZE = 64 * 1024;

function sizeFault(stats: { isFile(): boolean; readonly size: number }): string | null {
  if (!stats.isFile()) return 'is no file';
  return stats.size > MAX_SIZE ? 'is larger than 64 KB' : null;
}

function checked(content: string, isKey: boolean): Read {
  const text = cleanText(content);
  if (text === '') return 'is empty';
  if (isKey && isPlaceholder(text)) return 'holds a placeholder';
  const fault = isKey ? faultOfKeyText(text) : null;
  return fault ?? { text };
}

const textIn = ({ variable }: SecretFile, read: Read): [string, string][] =>
  typeof read === 'string' ? [] : [[variable, read.text]];

const faultIn = ({ label }: SecretFile, read: Read): string[] =>
  typeof read === 'string' ? [`${label} ${read}.`] : [];

function setTwice(
  files: readonly SecretFile[],
  isTaken: (variable: string) => boolean,
): readonly string[] {
  const before = new Map<string, string>();
  return files.flatMap(({ variable, label }) => {
    const other = isTaken(variable) ? variable : before.get(variable);
    before.set(variable, label.replace(/:$/, ''));
    return other === undefined
      ? []
      : [`${label} is set together with ${other}; keep one of the two.`];
  });
}

interface ReadAgainOptions {
  /** At the start. */
  readonly found: ReadonlyMap<string, string>;
  /** Those that a variable names. */
  readonly keyFiles: readonly SecretFile[];
  readonly folder: string | null;
  readonly inFolder: (names: readonly string[]) => readonly SecretFile[];
  readonly isKey: (name: string) => boolean;
  readonly isTaken: (variable: string) => boolean;
}

/** A key stays as it was while its file is missing, empty or broken. */
function createReadAgain(options: ReadAgainOptions): () => Promise<FilesNow> {
  const { keyFiles, folder, inFolder, isKey, isTaken } = options;
  let last = options.found;

  async function listFiles(): Promise<readonly SecretFile[]> {
    const listed = folder === null ? [] : inFolder(await readdir(folder));
    return [...keyFiles, ...listed].filter(({ variable }) => !isTaken(variable));
  }

  async function readAll(files: readonly SecretFile[]): Promise<FilesNow> {
    const read = await Promise.all(
      files.map(async (file) => ({ file, read: await readLater(file, isKey).catch(faultOf) })),
    );
    const texts = new Map(read.flatMap(({ file, read }) => textIn(file, read)));
    const kept = [...last].filter(([variable]) => isKey(variable) && !texts.has(variable));
    const gone = kept.filter(([name]) => !files.some(({ variable }) => variable === name));
    return {
      texts: new Map([...texts, ...kept]),
      faults: [
        ...read.flatMap(({ file, read }) => faultIn(file, read)),
        ...gone.map(([variable]) => `${FOLDER}: ${variable} is gone.`),
      ],
    };
  }

  return async () => {
    const files = await listFiles().catch(faultOf);
    const { texts, faults } =
      typeof files === 'string'
        ? { texts: last, faults: [`${FOLDER}: ${files}.`] }
        : await readAll(files);
    last = texts;
    return { texts, faults: faults.map((fault) => `${fault} The key stays as it was.`) };
  };
}

async function readLater(
  { variable, path }: SecretFile,
  isKey: (name: string) => boolean,
): Promise<Read> {
  return sizeFault(await stat(path)) ?? checked(await readFile(path, 'utf8'), isKey(variable));
}
