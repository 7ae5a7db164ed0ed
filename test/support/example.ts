import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describeInBrowser, type InBrowser } from './browser.ts';
import { ifThere } from './installed.ts';
import { type Program, startProgram } from './program.ts';

const EXAMPLES = resolve(import.meta.dirname, '../../examples');

/** One of the folders in `examples/`. */
export interface Example {
  readonly folder: string;
  /** Runs one of its packages' programs to its end. */
  run(program: string, args: readonly string[], environment?: Environment): Promise<void>;
  /** Starts one of its packages' programs, which says its address when it is ready. */
  serve(
    program: string,
    args: readonly string[],
    options?: { readonly cwd?: string; readonly environment?: Environment },
  ): Promise<Program & { readonly url: string }>;
}

type Environment = Readonly<Record<string, string>>;

/** Tests of an example in a real browser. It needs the packages of its own lock file. */
export function describeExample(
  name: string,
  define: (browser: InBrowser, example: Example) => void,
): void {
  const folder = join(EXAMPLES, name);
  const packages = join(folder, 'node_modules');
  const isInstalled = existsSync(packages) || null;
  const title = `the example ${name}`;
  ifThere(isInstalled, `${packages} (npm ci there)`, title, () => {
    const script = (program: string) => join(packages, program);
    describeInBrowser(title, (browser) =>
      define(browser, {
        folder,
        async run(program, args, environment = {}) {
          const running = promisify(execFile)(process.execPath, [script(program), ...args], {
            cwd: folder,
            env: { ...BASE, ...environment },
          });
          // At a low priority: other tests run meanwhile, and some of them measure time.
          if (running.child.pid !== undefined) setPriority(running.child.pid, 10);
          await running;
        },
        async serve(program, args, { cwd = folder, environment = {} } = {}) {
          const server = await startProgram(process.execPath, [script(program), ...args], {
            cwd,
            environment: { ...BASE, ...environment },
            until: ADDRESS,
          });
          return { ...server, url: `http://127.0.0.1:${server.ready[1]}` };
        },
      }),
    );
  });
}

const BASE = { PATH: process.env.PATH ?? '', NO_COLOR: '1', NEXT_TELEMETRY_DISABLED: '1' };
const ADDRESS = /http:\/\/(?:127\.0\.0\.1|localhost):(\d+)/;
