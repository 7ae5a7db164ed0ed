import { defineConfig } from 'vite';

export default defineConfig({
  server: {
    // In development and in `vite preview`. In production your web server does it.
    proxy: { '/api': process.env.UNDERSTUDY_URL ?? 'http://localhost:3000' },
    // Only because `understudy-client.ts` and `look.css` lie beside this folder.
    fs: { allow: ['..'] },
  },
});
