import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // As the server serves it to the dashboard.
  resolve: {
    alias: {
      '/dashboard/page.js': fileURLToPath(
        new URL('src/http/pages/shared/page.js', import.meta.url),
      ),
    },
  },
  test: { include: ['test/**/*.test.ts'], testTimeout: 15_000 },
});
