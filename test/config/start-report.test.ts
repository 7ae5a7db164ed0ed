import { expect, it } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { startReport } from '../../src/config/start-report.ts';
import { anam } from '../../src/providers/anam/anam.ts';
import { google } from '../../src/providers/gemini/gemini.ts';

const PROVIDERS = [google, anam];

const report = (environment: Record<string, string>) =>
  startReport(readConfig(environment, PROVIDERS), PROVIDERS);

it('says for each service how many keys there are, in how many projects, and what they are for', () => {
  const environment = {
    GOOGLE_API_KEY: 'g-one',
    GOOGLE_API_KEY_2: 'g-two',
    GOOGLE_API_KEY_2_PROJECT: 'shop',
    GOOGLE_API_KEY_7: 'g-seven',
    GOOGLE_API_KEY_7_PROJECT: 'shop',
    GOOGLE_MODELS: 'flash,pro',
    ANAM_API_KEY: 'a-one',
    ANAM_PERSONA_ID: 'persona-1',
    ADMIN_TOKEN: '0123456789abcdef',
  };
  expect(report(environment)).toEqual([
    'google: 3 keys (google, google-2, google-7) in 2 projects; answers with flash, then pro, embeds with gemini-embedding-2.',
    'anam: 1 key (anam) in 1 project; a persona for all keys.',
    'on call: /dashboard, /playground, /metrics and /api/keys, with the ADMIN_TOKEN.',
  ]);
});

it('says which model Live sessions have', () => {
  expect(report({ GOOGLE_API_KEY: 'g-one', GOOGLE_LIVE_MODEL: 'a-live' })).toContain(
    'google: 1 key (google) in 1 project; answers with gemini-flash-latest, mints tokens for Live sessions with a-live.',
  );
});

it('says what pages with the AI SDK get', () => {
  const settings = {
    CHAT_TOOLS: 'examples/nextjs/tools.json',
    CHAT_REASONING: 'true',
    CHAT_RESUME: 'true',
  };
  expect(report(settings)).toContain('useChat: 1 tool, thoughts, answers that a reload resumes');
});

it('says where instances meet, and not the password there', () => {
  expect(report({ REDIS_URL: 'redis://me:a-password@redis.example:6380/2' })).toContain(
    'instances: share what they know through Redis at redis.example:6380, under understudy:',
  );
});

it('says what is missing where a service has no key', () => {
  expect(report({})).toEqual([
    'google: no key, so every chat is refused. Set GOOGLE_API_KEY.',
    'anam: no key, so there is no avatar. Set ANAM_API_KEY if there is to be one.',
    'on call: no dashboard and no metrics. Set ADMIN_TOKEN to have them.',
  ]);
});

it('says of a service without a key in the settings that the store may have some, where keys are kept', () => {
  const settings = { DATA_DIR: '/data', MASTER_KEY: 'a-master-key-of-forty-characters-or-so-1' };
  const fromStore = 'no key in the settings; those of the store are used.';
  expect(report(settings).slice(0, 2)).toEqual([`google: ${fromStore}`, `anam: ${fromStore}`]);
  expect(report({ DATA_DIR: '/data' })[0]).toMatch(/Set GOOGLE_API_KEY/);
});

it('puts a warning beside the service that it is about, and the others on a line of their own', () => {
  const lines = report({
    GOOGLE_API_KEY: 'g-one',
    GOOGLE_API_KEY_2: 'g-one',
    ANAM_API_KEY: '',
    ANAM_BASE_URL: 'http://anam.example',
    NODE_ENV: 'production',
  });
  expect(lines).toEqual([
    expect.stringMatching(/^google: 1 key .*GOOGLE_API_KEY_2/),
    expect.stringMatching(/^anam: no key.*ignored: ANAM_API_KEY\. ANAM_BASE_URL begins with http:/),
    expect.stringMatching(/^on call: /),
    expect.stringMatching(/^settings: CORS_ORIGINS is not set/),
  ]);
});

it('warns of models that are surely not of Gemini, beside the service', () => {
  const [google] = report({
    GOOGLE_API_KEY: 'g-one',
    GOOGLE_MODELS: 'gemini-flash-latest,gpt-4o,gemma-3,claude-opus-5,o3',
  });
  expect(google?.match(/GOOGLE_MODELS names [\w.-]+/g)).toEqual([
    'GOOGLE_MODELS names gpt-4o',
    'GOOGLE_MODELS names claude-opus-5',
    'GOOGLE_MODELS names o3',
  ]);
});

it('names ten of many keys, and never the text of one', () => {
  const keys = Array.from({ length: 12 }, (_, index) => [
    `GOOGLE_API_KEY_${index + 1}`,
    `secret-${index}`,
  ]);
  const [google = ''] = report(Object.fromEntries(keys));
  expect(google).toContain('12 keys (google-1, google-2,');
  expect(google).toContain('google-10, …) in 12 projects');
  expect(google).not.toContain('secret-');
});
