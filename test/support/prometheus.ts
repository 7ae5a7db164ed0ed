import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { PROMETHEUS_FILES, readYaml } from './deployed.ts';
import { startProgram } from './program.ts';

export interface Prometheus {
  /** What its HTTP API answers, as `data`. Fails with its error when it refuses. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks for what it expects and fails where it is not
  ask(path: string, parameters?: Record<string, string>): Promise<any>;
  stop(): Promise<void>;
}

const EVERY = '200ms';
/** Both lines, in either order. */
const READY = /^(?=[\s\S]*ready to receive web requests)[\s\S]*"Listening on" address=(\S+)/;

/** Debian's Prometheus with the files of `deploy/`, pointed at this server and with shorter intervals. */
export async function startPrometheus(program: string, target: URL, token: string) {
  const folder = await createFolder(target, token);
  const { ready, stop } = await startProgram(
    program,
    [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=data',
      '--web.listen-address=127.0.0.1:0',
      '--log.level=info',
    ],
    { cwd: folder, until: READY },
  );
  return {
    ask: (path, parameters) => ask(`http://${ready[1]}/api/v1/${path}`, parameters),
    async stop() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  } satisfies Prometheus;
}

/** As the comments in `prometheus.yml` say: its files and the token in one folder. */
export async function createFolder(target: URL, token: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-prometheus-'));
  await cp(PROMETHEUS_FILES, folder, { recursive: true });
  await writeFile(join(folder, 'understudy-admin-token'), `${token}\n`, { mode: 0o600 });
  const config = readYaml('prometheus.yml');
  config.global = { scrape_interval: EVERY, scrape_timeout: EVERY, evaluation_interval: EVERY };
  config.scrape_configs[0].scheme = target.protocol.slice(0, -1);
  config.scrape_configs[0].static_configs[0].targets = [target.host];
  await writeFile(join(folder, 'prometheus.yml'), stringify(config));
  return folder;
}

async function ask(url: string, parameters: Record<string, string> = {}) {
  const response = await fetch(`${url}?${new URLSearchParams(parameters)}`);
  const answer = (await response.json()) as { status: string; error?: string; data: unknown };
  if (answer.status !== 'success') throw new Error(`${url}: ${answer.error}`);
  return answer.data;
}
