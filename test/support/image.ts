import { chmod, cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Instruction, readDockerfile } from './dockerfile.ts';
import { type Context, type Image, STEPS } from './image-steps.ts';

/** Where the base image has Node. */
const PROGRAMS = '/usr/local/bin';

/** What a Dockerfile makes, with this machine's Node and nothing else of a base image. */
export interface Built extends Image {
  /** How a process of the image runs: where, with what variables and, for root, as which user. */
  process(environment: Readonly<Record<string, string>>): Surroundings;
  remove(): Promise<void>;
}

export interface Surroundings {
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Carries a Dockerfile out without Docker: each stage is a folder, and commands run in it with this
 * machine's programs. Fails for an instruction that it does not know and for a command that names an
 * absolute path, which would leave the folder. Layers, caches and the base image are not looked at.
 *
 * @returns the last stage
 */
export async function buildImage(dockerfile: string, context: Context): Promise<Built> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-image-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const images = await carryOut(readDockerfile(dockerfile), { folder, context });
    const last = images.at(-1);
    if (last === undefined) throw new Error('no FROM');
    await mkdir(join(last.root, PROGRAMS), { recursive: true });
    await cp(process.execPath, join(last.root, PROGRAMS, 'node'));
    // Its maker alone may enter a temporary folder; the image's user has to as well.
    await chmod(folder, 0o755);
    return Object.assign(last, { process: (own: object) => surroundings(last, own), remove });
  } catch (error) {
    await remove();
    throw error;
  }
}

function surroundings({ root, workdir, environment, user }: Image, own: object): Surroundings {
  const [uid = 0, gid = 0] = user.split(':').map(Number);
  return {
    cwd: join(root, workdir),
    environment: { PATH: join(root, PROGRAMS), ...environment, ...own },
    ...(process.getuid?.() === 0 ? { uid, gid } : {}),
  };
}

interface Build {
  readonly folder: string;
  readonly context: Context;
}

async function carryOut(instructions: readonly Instruction[], build: Build) {
  const images: Image[] = [];
  const named = new Map<string, Image>();
  for (const instruction of instructions) {
    if (instruction.keyword === 'FROM') {
      images.push(await begin(instruction, join(build.folder, String(images.length)), named));
      continue;
    }
    const image = images.at(-1);
    const step = STEPS[instruction.keyword];
    if (image === undefined || step === undefined)
      throw new Error(`not understood: ${instruction.keyword} ${instruction.text}`);
    await step(image, instruction, { named, ...build });
  }
  return images;
}

const FROM = /^(\S+)(?: AS (\S+))?$/;

/** A stage begins as a copy of another, or empty where it begins with an image from elsewhere. */
async function begin({ text }: Instruction, root: string, named: Map<string, Image>) {
  const [, from = '', name = ''] = FROM.exec(text) ?? [];
  const base = named.get(from);
  await mkdir(root);
  if (base !== undefined) await cp(base.root, root, { recursive: true });
  const { workdir, environment, user, healthcheck, command } = base ?? EMPTY;
  const image = { root, workdir, environment: { ...environment }, user, healthcheck, command };
  named.set(name, image);
  return image;
}

const EMPTY = { workdir: '/', environment: {}, user: '0:0', healthcheck: [], command: [] };
