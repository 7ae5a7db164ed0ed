import { execFile } from 'node:child_process';
import { cp, mkdir } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { type Instruction, readWords } from './dockerfile.ts';

/** What the instructions of a stage make. */
export interface Image {
  /** Its file system, as far as its instructions wrote it. */
  readonly root: string;
  /** In it, as an absolute path of the image. */
  workdir: string;
  readonly environment: Record<string, string>;
  /** `uid:gid`. */
  user: string;
  healthcheck: readonly string[];
  command: readonly string[];
}

export interface Context {
  readonly folder: string;
  /** Asked with paths relative to the folder. */
  readonly isIgnored: (path: string) => boolean;
  /** Commands whose outcome is at hand, and what brings it into the working directory. */
  readonly atHand?: Readonly<Record<string, (cwd: string) => Promise<unknown>>>;
}

type Step = (
  image: Image,
  instruction: Instruction,
  sources: { readonly context: Context; readonly named: ReadonlyMap<string, Image> },
) => Promise<void> | void;

/** What each instruction does to its stage, apart from `FROM`, which begins one. */
export const STEPS: Readonly<Record<string, Step>> = {
  async WORKDIR(image, { text }) {
    image.workdir = text;
    await mkdir(join(image.root, text), { recursive: true });
  },
  ENV(image, { text }) {
    for (const pair of text.split(' ')) {
      const [name = '', value = ''] = pair.split('=');
      image.environment[name] = value;
    }
  },
  USER(image, { text }) {
    image.user = text;
  },
  EXPOSE() {},
  HEALTHCHECK(image, { text }) {
    image.healthcheck = readWords(text.replace(/^CMD /, ''));
  },
  CMD(image, { text }) {
    image.command = readWords(text);
  },
  async RUN(image, { text }, { context }) {
    if (ABSOLUTE.test(text)) throw new Error(`leaves the folder: ${text}`);
    const cwd = join(image.root, image.workdir);
    const bring = context.atHand?.[text];
    if (bring !== undefined) {
      await bring(cwd);
      return;
    }
    // The tests' own NODE_ENV is not the builder's.
    const { NODE_ENV: _, ...ours } = process.env;
    const env = { ...ours, ...IN_A_HURRY, ...image.environment };
    await promisify(execFile)('sh', ['-c', text], { cwd, env });
  },
  async COPY(image, { flags, text }, { named, context }) {
    const words = text.split(' ');
    const to = words.at(-1) ?? '';
    const from = flags.from === undefined ? null : named.get(flags.from);
    if (from === undefined) throw new Error(`no such stage: ${flags.from}`);
    for (const source of words.slice(0, -1)) {
      const target = join(image.root, image.workdir, to.endsWith('/') ? to + basename(source) : to);
      if (from === null) await copyFrom(context, source, target);
      else await cp(join(from.root, source), target, { recursive: true });
    }
  },
};

/** npm asks for nothing that it has stored, and soon gives up where there is no network. */
const IN_A_HURRY = {
  npm_config_prefer_offline: '1',
  npm_config_fetch_retry_mintimeout: '500',
  npm_config_fetch_retry_maxtimeout: '2000',
};

const ABSOLUTE = /(^|[\s'"=])\//;

async function copyFrom({ folder, isIgnored }: Context, source: string, target: string) {
  if (isIgnored(source)) throw new Error(`kept from the builder: ${source}`);
  await cp(join(folder, source), target, {
    recursive: true,
    filter: (path) => !isIgnored(relative(folder, path)),
  });
}
