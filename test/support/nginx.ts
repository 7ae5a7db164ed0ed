import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProgram } from './program.ts';
import { freePort } from './redis.ts';

/** Debian's, of the package `nginx-light`. */
export const NGINX = '/usr/sbin/nginx';

/**
 * nginx with its defaults in front of a server: it buffers answers, and speaks HTTP/1.0 with the server. It compresses
 * every type. The caller has to stop it.
 */
export async function startNginx(target: string): Promise<{ url: string; stop(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-nginx-'));
  const port = await freePort();
  const config = join(folder, 'nginx.conf');
  await writeFile(config, configFor(folder, port, target));
  const { stop, end } = await startProgram(NGINX, ['-c', config, '-e', 'stderr'], {
    cwd: folder,
    until: /start worker process/,
  });
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      // A kill signal would leave its workers running.
      await end();
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

const configFor = (folder: string, port: number, target: string) => `
daemon off;
pid ${folder}/nginx.pid;
error_log stderr notice;
worker_processes 1;
events {}
http {
  access_log off;
  ${TEMPORARY.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  gzip on;
  gzip_types *;
  gzip_min_length 0;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${target};
    }
  }
}
`;
