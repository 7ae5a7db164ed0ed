import { resolve } from 'node:path';
import type { NextConfig } from 'next';

/** `next build` writes the address into the build: set it there, not only at the start. */
const understudy = process.env.UNDERSTUDY_URL ?? 'http://localhost:3000';

const config: NextConfig = {
  // `:path*` may be empty, so this is `/api/chat` and all below it.
  rewrites: async () => [
    { source: '/api/chat/:path*', destination: `${understudy}/api/chat/:path*` },
  ],
  // Next breaks off bodies above 10 MB. The server reads up to five times MAX_BODY_MB: it leaves out older images.
  experimental: { proxyClientMaxBodySize: '101mb' },
  // Only because `understudy-client.ts` lies beside this folder.
  turbopack: { root: resolve(import.meta.dirname, '..') },
};

export default config;
