import { readFileSync } from 'node:fs';
import { parse } from 'dotenv';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Config, ConfigError, readConfig } from '../../src/config/config.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { anam } from '../../src/providers/anam/anam.ts';
import { google } from '../../src/providers/gemini/gemini.ts';
import { Secret } from '../../src/shared/secret.ts';
import { writeToolsFile } from '../support/tools-file.ts';

const MB = 2 ** 20;

const read = (environment: Record<string, string | undefined>, mode?: Config['mode']) =>
  readConfig(environment, [google, anam], mode);

function faultsOf(environment: Record<string, string | undefined>): readonly string[] {
  try {
    read(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

describe('an empty environment', () => {
  const defaults = {
    mode: 'live',
    isProduction: false,
    port: 3000,
    host: '0.0.0.0',
    keys: [],
    warnings: [],
    redact: expect.any(Function),
    learnSecrets: expect.any(Function),
    fileKeys: new Set(),
    readKeysAgain: null,
    googleModels: ['gemini-flash-latest'],
    googleEmbeddingModels: [],
    modelAliases: new Map(),
    googleLiveModel: null,
    systemPrompt: null,
    chatTools: [],
    chatReasoning: false,
    chatGrounding: false,
    persona: null,
    prices: null,
    directorNotes: null,
    sessionOptions: null,
    clientLabel: null,
    allowClientPersona: false,
    chatResume: false,
    checkKeys: false,
    exportsSpans: false,
    googleBaseUrl: 'https://generativelanguage.googleapis.com',
    anamBaseUrl: 'https://api.anam.ai',
    cooldownMs: 3_600_000,
    googleLimits: new Map(),
    keyWaitMs: 5000,
    requestTimeoutMs: 300_000,
    attemptTimeoutMs: 120_000,
    streamIdleMs: 120_000,
    corsOrigins: 'localhost',
    adminToken: null,
    clientTokens: [],
    chatPerMinute: 30,
    sessionsPerMinute: 6,
    trustProxy: 0,
    maxBodyBytes: 20 * MB,
    maxBodiesBytes: Math.floor((256 / 3) * MB),
    redisUrl: null,
    redisPrefix: 'understudy:',
    dataDir: null,
    masterKey: null,
    alertWebhook: null,
    logLevel: 'info',
  };

  it('gives the defaults', () => {
    expect(read({})).toEqual(defaults);
    expect(read({}, 'demo')).toEqual({ ...defaults, mode: 'demo' });
  });

  it('gives the same as one whose variables are all blank', () => {
    const blank = Object.keys(SETTINGS.shape).map((name, index) => [
      name,
      ['', ' \t', '""'][index % 3],
    ]);
    expect(read({ ...Object.fromEntries(blank), SYSTEM_PROMPT: ' ', PATH: undefined })).toEqual(
      defaults,
    );
  });

  it('gives the same as .env.example, which names every setting', () => {
    const example = parse(readFileSync(new URL('../../.env.example', import.meta.url)));
    const warnings = [
      'Empty, and therefore ignored: GOOGLE_API_KEY, ANAM_API_KEY, GOOGLE_API_KEY_2, ANAM_API_KEY_2.',
    ];
    expect(read(example)).toEqual({ ...defaults, warnings });
    const { NODE_ENV: _, ...settings } = SETTINGS.shape;
    const keys = ['GOOGLE_API_KEY', 'GOOGLE_API_KEY_2', 'ANAM_API_KEY', 'ANAM_API_KEY_2'];
    expect(Object.keys(example)).toEqual(
      expect.arrayContaining([
        ...Object.keys(settings),
        ...keys,
        ...keys.map((key) => `${key}_PROJECT`),
        'GOOGLE_API_KEY_BILLING',
        'GOOGLE_API_KEY_2_BILLING',
        'ANAM_API_KEY_PERSONA_ID',
        'ANAM_API_KEY_2_PERSONA_ID',
      ]),
    );
  });
});

describe('limits', () => {
  it('that cannot be read, are zero, contradict each other or name no model are named all at once', () => {
    const GOOGLE_LIMITS = [
      'a: 10',
      'b 5 rpm',
      'c: 0 rpm',
      'd: 5 rpm, 6 rpm',
      'e: 20 rpm, 10 rpd',
      'f: 5 rpm',
      'f: 6 rpm',
      'g: -1 tpm',
    ].join('; ');
    const unreadable =
      'cannot be read; expected for example gemini-flash-latest: 10 rpm, 250000 tpm, 500 rpd.';
    expect(faultsOf({ GOOGLE_LIMITS, PORT: 'x' })).toEqual([
      expect.stringMatching(/^PORT: /),
      `GOOGLE_LIMITS: entry 1 ${unreadable}`,
      `GOOGLE_LIMITS: entry 2 ${unreadable}`,
      'GOOGLE_LIMITS: entry 3 has a limit of 0 rpm, which answers nothing.',
      'GOOGLE_LIMITS: entry 4 has two limits of rpm.',
      'GOOGLE_LIMITS: entry 5 allows more requests in a minute (rpm) than in a day (rpd).',
      'GOOGLE_LIMITS: entry 7 names a model a second time.',
      `GOOGLE_LIMITS: entry 8 ${unreadable}`,
    ]);
    expect(faultsOf({ GOOGLE_LIMITS: 'other: 5 rpm' })).toEqual([
      'GOOGLE_LIMITS: entry 1 names none of GOOGLE_MODELS and GOOGLE_EMBEDDING_MODELS.',
    ]);
  });
});

describe('MODEL_ALIASES', () => {
  it('lead to the models that are served, by chat or for embeddings', () => {
    const { modelAliases } = read({
      GOOGLE_MODELS: 'flash, pro',
      MODEL_ALIASES: 'gpt-4o-mini: flash, models/gpt-4o:models/pro , text-3: gemini-embedding-2,',
    });
    expect([...modelAliases]).toEqual([
      ['gpt-4o-mini', 'flash'],
      ['gpt-4o', 'pro'],
      ['text-3', 'gemini-embedding-2'],
    ]);
  });

  it('that cannot be read, come twice, hide a model or lead to none are named all at once', () => {
    const unreadable = 'cannot be read; expected for example gpt-4o-mini: gemini-flash-latest.';
    const MODEL_ALIASES = 'a, b:, : c, d: e f, x/y: pro, g: pro, g: flash';
    expect(faultsOf({ GOOGLE_MODELS: 'flash,pro', MODEL_ALIASES, PORT: 'x' })).toEqual([
      expect.stringMatching(/^PORT: /),
      ...[1, 2, 3, 4, 5].map((entry) => `MODEL_ALIASES: entry ${entry} ${unreadable}`),
      'MODEL_ALIASES: entry 7 names an alias a second time.',
    ]);
    const faults = faultsOf({
      GOOGLE_MODELS: 'flash,pro',
      GOOGLE_EMBEDDING_MODELS: 'embed,pro',
      MODEL_ALIASES: 'flash: pro, embed: flash, a: gone, b: a',
    });
    const none = 'none of GOOGLE_MODELS and GOOGLE_EMBEDDING_MODELS.';
    expect(faults).toEqual([
      'GOOGLE_EMBEDDING_MODELS: entry 2 is one of GOOGLE_MODELS; no model does both.',
      'MODEL_ALIASES: entry 1 has the name of a served model as its alias.',
      'MODEL_ALIASES: entry 2 has the name of a served model as its alias.',
      `MODEL_ALIASES: entry 3 leads to ${none}`,
      `MODEL_ALIASES: entry 4 leads to ${none}`,
    ]);
  });
});

describe('single settings', () => {
  it.each([
    [{ PORT: '0' }, { port: 0 }],
    [{ PORT: ' "8080" ' }, { port: 8080 }],
    [{ HOST: '::' }, { host: '::' }],
    [{ NODE_ENV: 'production' }, { isProduction: true, corsOrigins: [] }],
    [{ NODE_ENV: 'Production' }, { isProduction: false }],
    [{ KEY_COOLDOWN_SECONDS: '0.25' }, { cooldownMs: 250 }],
    [{ KEY_COOLDOWN_SECONDS: '604800' }, { cooldownMs: 604_800_000 }],
    [{ KEY_WAIT_SECONDS: '0' }, { keyWaitMs: 0 }],
    [{ REQUEST_TIMEOUT_SECONDS: '1.5' }, { requestTimeoutMs: 1500 }],
    [{ ATTEMPT_TIMEOUT_SECONDS: '.5' }, { attemptTimeoutMs: 500 }],
    [{ STREAM_IDLE_SECONDS: '86400' }, { streamIdleMs: 86_400_000 }],
    [{ ALLOW_CLIENT_PERSONA: 'TRUE' }, { allowClientPersona: true }],
    [{ ALLOW_CLIENT_PERSONA: '0' }, { allowClientPersona: false }],
    [
      { RATE_LIMIT_CHAT: '0', RATE_LIMIT_SESSIONS: '12' },
      { chatPerMinute: 0, sessionsPerMinute: 12 },
    ],
    [{ TRUST_PROXY: '3' }, { trustProxy: 3 }],
    [
      { GOOGLE_MODELS: 'a,b', GOOGLE_LIMITS: ' models/a: 10 RPM, 250_000 tpm,500rpd ; b:5 rpm; ' },
      {
        googleModels: ['a', 'b'],
        googleLimits: new Map([
          ['a', { rpm: 10, tpm: 250_000, rpd: 500 }],
          ['b', { rpm: 5 }],
        ]),
      },
    ],
    [{ MAX_BODY_MB: '1' }, { maxBodyBytes: MB }],
    [{ MAX_BODY_MB: '100' }, { maxBodyBytes: 100 * MB, maxBodiesBytes: 100 * MB }],
    [
      { MAX_BODY_MB: '2', MAX_BODIES_MB: '6' },
      { maxBodyBytes: 2 * MB, maxBodiesBytes: 2 * MB },
    ],
    [{ REDIS_PREFIX: '{shop}:' }, { redisPrefix: '{shop}:' }],
    [{ DATA_DIR: ' /var/data ' }, { dataDir: '/var/data' }],
    [
      { MASTER_KEY: 'a-master-key-of-32-characters-12' },
      { masterKey: new Secret('master-key', 'a-master-key-of-32-characters-12') },
    ],
    [{ LOG_LEVEL: 'Debug' }, { logLevel: 'debug' }],
    [
      { SYSTEM_PROMPT: ' "Hi" is enough for "Hello" ' },
      { systemPrompt: '"Hi" is enough for "Hello"' },
    ],
    [{ GOOGLE_MODELS: 'models/a, b-1.5 ,,a,' }, { googleModels: ['a', 'b-1.5'] }],
    [
      { GOOGLE_BASE_URL: 'HTTP://LocalHost:4000/google/' },
      { googleBaseUrl: 'http://localhost:4000/google' },
    ],
    [{ ANAM_BASE_URL: 'https://anam.example/' }, { anamBaseUrl: 'https://anam.example' }],
    [
      { CLIENT_TOKENS: ' 0123456789abcdef, another-token-0123,,0123456789abcdef ' },
      {
        clientTokens: [
          new Secret('client-1', '0123456789abcdef'),
          new Secret('client-2', 'another-token-0123'),
        ],
      },
    ],
    [
      { ADMIN_TOKEN: ' "0123456789abcdef" ' },
      { adminToken: new Secret('admin-token', '0123456789abcdef') },
    ],
    [
      { REDIS_URL: 'rediss://me:a-password@redis.example:6380/2' },
      { redisUrl: new Secret('redis', 'rediss://me:a-password@redis.example:6380/2') },
    ],
    [{ CORS_ORIGINS: '*' }, { corsOrigins: ['*'] }],
    [
      { CORS_ORIGINS: 'https://App.example:443/, http://[::1]:3000, capacitor://localhost' },
      { corsOrigins: ['https://app.example', 'http://[::1]:3000', 'capacitor://localhost'] },
    ],
    [{ ANAM_PERSONA_ID: 'p-1' }, { persona: { personaId: 'p-1' } }],
    [{ ANAM_PERSONA_CONFIG: `'{"name":"Ada"}'` }, { persona: { config: { name: 'Ada' } } }],
    [{ GOOGLE_LIVE_MODEL: 'models/a-live' }, { googleLiveModel: 'a-live' }],
    [{ ANAM_CLIENT_LABEL: ' the shop ' }, { clientLabel: 'the shop' }],
    [{ ANAM_DIRECTOR_NOTES: '{"expressivity":1}' }, { directorNotes: { expressivity: 1 } }],
    [
      { ANAM_SESSION_OPTIONS: '{"sessionReplay":{"enableSessionReplay":false}}' },
      { sessionOptions: { sessionReplay: { enableSessionReplay: false } } },
    ],
  ])('%j is understood', (environment, expected) => {
    expect(read(environment)).toMatchObject(expected);
  });

  it.each([
    ['PORT', ['-1', '65536', '80.0', '0x50', '1e3', '+80', 'http', '9'.repeat(400)]],
    ['HOST', ['a b', 'http://localhost']],
    ['KEY_COOLDOWN_SECONDS', ['0', '0.0001', '604801', '1h', '1e3', '-5', '.', 'Infinity']],
    ['KEY_WAIT_SECONDS', ['-1', '86401']],
    ['REQUEST_TIMEOUT_SECONDS', ['0', '86400.5']],
    ['ATTEMPT_TIMEOUT_SECONDS', ['0', 'NaN']],
    ['STREAM_IDLE_SECONDS', ['0', '١']],
    ['ALLOW_CLIENT_PERSONA', ['yes', 'on', '2']],
    ['RATE_LIMIT_CHAT', ['-1', '1.5', '1000001']],
    ['MAX_BODY_MB', ['0', '101', 'x', '1.5', '5 MB', '-1']],
    ['MAX_BODIES_MB', ['0', '100001', 'x', '59']],
    ['TRUST_PROXY', ['true', '11', '-1', 'loopback']],
    [
      'REDIS_URL',
      [
        'localhost:6379',
        'http://localhost',
        'redis://',
        'unix:///redis.sock',
        'redis://:pa%ss@host',
        'redis://host/16',
        'redis://host/keys',
      ],
    ],
    ['REDIS_PREFIX', ['a b', 'ä', 'x'.repeat(101)]],
    ['WORKERS', ['1', '4', 'auto', 'all']],
    ['LOG_LEVEL', ['verbose', 'constructor']],
    ['GOOGLE_MODELS', [',', 'a b', '-a', 'models/', 'a/b', 'x'.repeat(101)]],
    ['GOOGLE_MODELS', [Array.from({ length: 51 }, (_, n) => `m${n}`).join(',')]],
    [
      'GOOGLE_BASE_URL',
      ['ftp://a.example', 'a.example', 'https://', 'https:a.example', 'https://a b'],
    ],
    ['GOOGLE_BASE_URL', ['https://u:p@a.example', 'https://a.example?', 'https://a.example/#x']],
    [
      'GOOGLE_BASE_URL',
      ['https://a.example/v1beta/', 'https://a.example/v1', 'https://a.example/x/v1beta/openai'],
    ],
    ['ANAM_BASE_URL', ['https://a.example/v1', 'javascript:alert(1)']],
    [
      'CORS_ORIGINS',
      ['app.example', 'https://a.example/path', 'https://*.example', 'null', 'localhost'],
    ],
    ['CORS_ORIGINS', ['https://u@a.example', 'https://a.example?x', 'https://a.example:99999']],
    ['ANAM_PERSONA_ID', ['my persona', 'your-persona-id']],
    ['GOOGLE_LIVE_MODEL', ['a,b', 'a b', 'models/', 'x'.repeat(101)]],
    ['ANAM_CLIENT_LABEL', ['a\nb', 'x'.repeat(201)]],
    ['ANAM_DIRECTOR_NOTES', ['warm', '[]']],
    [
      'ANAM_SESSION_OPTIONS',
      [
        'false',
        '{"enableSessionReplay":false}',
        '{"sessionReplay":false}',
        '{"sessionReplay":{"enabled":false}}',
        '{"sessionReplay":{"enableSessionReplay":"false"}}',
      ],
    ],
    ['ANAM_PERSONA_CONFIG', ['[1]', 'null', '"text"', '{', '{"a": b}', 'name: Ada']],
  ])('%s refuses what it cannot mean', (name, values) => {
    for (const value of values) {
      const faults = faultsOf({ [name]: value });
      expect(faults, value).toHaveLength(1);
      expect(faults[0]).toMatch(new RegExp(`^${name}: .+\\.$`));
    }
  });

  it.each([
    [{ GOOGLE_BASE_URL: 'https://a.example/v1beta' }, /without \/v1 or \/v1beta/],
    [{ TRUST_PROXY: 'True' }, /the number of proxies .* claim any address/],
    [
      { WORKERS: '4' },
      /^WORKERS: is no longer a setting: .* more instances with the same REDIS_URL/,
    ],
    [
      { MAX_BODY_MB: '90', MAX_BODIES_MB: '256' },
      /^MAX_BODIES_MB: must be at least 3 times MAX_BODY_MB\.$/,
    ],
    [{ GOOGLE_MODELS: 'a,b c' }, /entry 2/],
    [{ ADMIN_TOKEN: 'short' }, /is no token: 16 to 500/],
    [{ MASTER_KEY: 'a-master-key-of-31-characters-1' }, /must have at least 32 characters/],
    [{ MASTER_KEY: 'a master key with spaces in between' }, /is no token: 16 to 500/],
    [
      {
        MASTER_KEY: 'a-master-key-of-32-characters-12',
        CLIENT_TOKENS: 'another-token-0123,a-master-key-of-32-characters-12',
      },
      /^MASTER_KEY: is ADMIN_TOKEN or one of CLIENT_TOKENS/,
    ],
    [{ ADMIN_TOKEN: 'your_admin_token_here' }, /holds the placeholder of a template/],
    [
      { ADMIN_TOKEN: '0123456789abcdef', CLIENT_TOKENS: 'another-token-0123,0123456789abcdef' },
      /^ADMIN_TOKEN: is one of CLIENT_TOKENS/,
    ],
    [{ ALERT_WEBHOOK_URL: 'hooks.slack.com/x' }, /an address with http/],
    [
      { ALERT_WEBHOOK_URL: 'https://a:b@a.example', ADMIN_TOKEN: '0123456789abcdef' },
      /^ALERT_WEBHOOK_URL: must not hold a user name/,
    ],
    [{ ALERT_WEBHOOK_URL: 'https://a.example/secret' }, /^ALERT_WEBHOOK_URL: needs an ADMIN_TOKEN/],
    [{ CLIENT_TOKENS: '0123456789abcdef,short' }, /entry 2 is no token: 16 to 500/],
    [{ CLIENT_TOKENS: '0123456789abcdef,has a blank in it' }, /entry 2/],
    [{ CLIENT_TOKENS: 'your_client_token_here' }, /entry 1/],
    [{ CORS_ORIGINS: '*,nonsense' }, /entry 2/],
    [{ ANAM_PERSONA_CONFIG: '{"a":1,}' }, /breaks at character 8/],
    [{ ANAM_PERSONA_CONFIG: '{"a":1' }, /ends too early/],
    [{ ANAM_PERSONA_CONFIG: '{"a":"at position 0' }, /ends too early/],
    [{ ANAM_PERSONA_CONFIG: '{"a": JSON at position 1}' }, /must be JSON/],
    [{ ANAM_PERSONA_ID: 'p', ANAM_PERSONA_CONFIG: '{}' }, /keep one of the two/],
  ])('%j is explained', (environment, expected) => {
    expect(faultsOf(environment)).toEqual([expect.stringMatching(expected)]);
  });
});

describe('CHAT_TOOLS', () => {
  const faultsWith = (content: unknown) => faultsOf({ CHAT_TOOLS: writeToolsFile(content) });
  const parameters = { type: 'object', properties: { city: { type: 'string' } } };

  it('is read from its file, with or without a byte order mark', () => {
    const tools = [
      { name: 'weather', description: 'Of a city.', parameters, needsApproval: true },
      { name: 'clock' },
    ];
    const environment = { CHAT_TOOLS: writeToolsFile(`\ufeff${JSON.stringify(tools)}`) };
    expect(read(environment).chatTools).toEqual([
      tools[0],
      { name: 'clock', needsApproval: false },
    ]);
    expect(read(environment).warnings).toEqual([]);
    expect(read({ ...environment, CHAT_GROUNDING: 'true' }).warnings).toEqual([
      'CHAT_GROUNDING does not apply to the requests that offer CHAT_TOOLS.',
    ]);
  });

  it('has all faults of the file listed, without a value', () => {
    const circular = { type: 'object', properties: { next: { $ref: '#' } } };
    const deep = JSON.parse(`${'{"a":'.repeat(60)}1${'}'.repeat(60)}`);
    const name = 'clock';
    const nameFault =
      'name must be 1 to 64 letters, digits and the signs _ . : - and must begin with a letter or _.';
    expect(
      faultsWith([
        { name },
        'secret-text',
        { name: 'x'.repeat(65), description: 7 },
        { name: 'no blanks', needsApproval: 'yes' },
        { parameters: [] },
        { name: 'a', parameters: circular },
        { name: 'b', parameters: deep },
        { name, strict: true },
      ]),
    ).toEqual(
      [
        'entry 2: must be an object.',
        `entry 3: ${nameFault}`,
        'entry 3: description must be a text.',
        `entry 4: ${nameFault}`,
        'entry 4: needsApproval must be true or false.',
        `entry 5: ${nameFault}`,
        'entry 5: parameters must be a JSON schema, an object.',
        'entry 6: parameters must not refer to itself by $ref.',
        'entry 7: parameters must not nest deeper than 50.',
        'entry 8: "strict" is no field of a tool.',
        'entry 8: name is that of an earlier entry.',
      ].map((fault) => `CHAT_TOOLS: ${fault}`),
    );
  });

  it.each<[string, () => string, string]>([
    ['is missing', () => `${writeToolsFile([])}x`, 'cannot be read (ENOENT)'],
    ['is a folder', () => import.meta.dirname, 'cannot be read (EISDIR)'],
    ['is no JSON', () => writeToolsFile('[{"a": 1,}]'), 'must be JSON: it breaks at character 10'],
    [
      'is no list',
      () => writeToolsFile({}),
      'must be the path of a JSON file with a list of tools',
    ],
    ['is too large', () => writeToolsFile(' '.repeat(2 ** 20 + 1)), 'is larger than 1 MB'],
    ['lists too many', () => writeToolsFile(Array(129).fill({})), 'lists more than 128 tools'],
  ])('stop the start if the file %s', (_, path, fault) => {
    expect(faultsOf({ CHAT_TOOLS: path() })).toEqual([`CHAT_TOOLS: ${fault}.`]);
  });
});

describe('PRICES', () => {
  const flash = { input: 0.3, output: 2.5 };

  it('are read from their file; thoughts cost what the output costs, and cached tokens what the input costs', () => {
    const models = {
      'gemini-flash-latest': flash,
      'gemini-embedding-2': { input: 1, cached: 0, thoughts: 3, request: 0.5 },
    };
    const { prices, warnings } = read({ PRICES: writeToolsFile({ currency: 'USD', models }) });
    expect(prices).toEqual({
      currency: 'USD',
      models: new Map([
        ['gemini-flash-latest', { ...flash, cached: 0.3, thoughts: 2.5, request: 0 }],
        ['gemini-embedding-2', { input: 1, output: 0, cached: 0, thoughts: 3, request: 0.5 }],
      ]),
    });
    expect(warnings).toEqual([]);
  });

  it('warn of a model that is served and has none', () => {
    const PRICES = writeToolsFile({ currency: 'USD', models: { other: flash } });
    const GOOGLE_MODELS = 'gemini-flash-latest,other,third';
    expect(read({ PRICES, GOOGLE_MODELS }).warnings).toEqual([
      'PRICES has no price for gemini-flash-latest, third: the costs lack them.',
    ]);
  });

  it('have all faults of the file listed with their place, without a value', () => {
    const models = {
      ok: { input: '0.3', output: -1, cached: null, price: 1 },
      list: [],
      'no blanks': flash,
      much: { input: 1e7, request: 'secret-text' },
    };
    const price = 'must be a number from 0 to 1000000.';
    expect(faultsOf({ PRICES: writeToolsFile({ currency: 'usd', models, model: {} }) })).toEqual(
      [
        'currency must be three capital letters, such as USD.',
        `models → ok → input ${price}`,
        `models → ok → output ${price}`,
        `models → ok → cached ${price}`,
        'models → ok has an unknown field "price".',
        'models → list must be an object.',
        'models → no blanks is not the name of a model.',
        `models → much → input ${price}`,
        `models → much → request ${price}`,
        'has an unknown field "model".',
      ].map((fault) => `PRICES: ${fault}`),
    );
  });

  it.each<[string, () => string, string]>([
    ['is missing', () => `${writeToolsFile({})}x`, 'cannot be read (ENOENT)'],
    ['is no JSON', () => writeToolsFile('{"a": 1,}'), 'must be JSON: it breaks at character 9'],
    ['is a list', () => writeToolsFile([]), 'must be the path of a JSON file with an object'],
    ['has no models', () => writeToolsFile({ currency: 'USD' }), 'models must be an object'],
    [
      'has too many models',
      () =>
        writeToolsFile({
          currency: 'USD',
          models: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`m${i}`, flash])),
        }),
      'models must not name more than 1000 models',
    ],
  ])('stop the start if the file %s', (_, path, fault) => {
    expect(faultsOf({ PRICES: path() })).toEqual([`PRICES: ${fault}.`]);
  });
});

describe('several faults', () => {
  it('are all listed in one error, one a line', () => {
    const environment = {
      PORT: 'x',
      GOOGLE_MODELS: ',',
      ANAM_PERSONA_ID: 'p',
      ANAM_PERSONA_CONFIG: '[',
      GOOGLE_API_KEY: 'a b',
      ANAM_API_KEY_1: 'one',
      ANAM_API_KEY_01: 'two',
    };
    const faults = faultsOf(environment);
    expect(faults.map((fault) => fault.split(':')[0])).toEqual([
      'PORT',
      'GOOGLE_MODELS',
      'ANAM_PERSONA_CONFIG',
      'ANAM_PERSONA_CONFIG',
      'ANAM_API_KEY_01',
      'GOOGLE_API_KEY',
    ]);
    expect(() => read(environment)).toThrow(
      expect.objectContaining({ name: 'ConfigError', message: faults.join('\n') }),
    );
  });
});

describe('a variable that nobody reads', () => {
  it.each([
    ['CORS_ORIGIN', 'CORS_ORIGINS'],
    ['GOOGLE_MODEL', 'GOOGLE_MODELS'],
    ['SYSTEM_PROMT', 'SYSTEM_PROMPT'],
    ['KEY_COOLDOWN', 'KEY_COOLDOWN_SECONDS'],
    ['RATE_LIMIT', 'RATE_LIMIT_CHAT'],
    ['TRUST_PROXI', 'TRUST_PROXY'],
  ])('is named when it is nearly one of ours: %s', (name, meant) => {
    expect(read({ [name]: 'x' }).warnings).toEqual([`${name} is not read: did you mean ${meant}?`]);
  });

  it.each(['PATH', 'HOSTNAME', 'POSTS', 'LOGNAME', 'GOOGLE_MAPS_API_KEY', 'RENDER_EXTERNAL_URL'])(
    'is left alone when it is of somebody else: %s',
    (name) => {
      expect(read({ [name]: 'x' }).warnings).toEqual([]);
    },
  );
});

describe('an empty key', () => {
  it('is ignored with a warning that names the variable, whatever stands for nothing', () => {
    const environment = { GOOGLE_API_KEY: '', GOOGLE_API_KEY_2: ' "" ', GOOGLE_API_KEY_3: 'three' };
    const { keys, warnings } = read(environment);
    expect(keys.map(({ id }) => id)).toEqual(['google-3']);
    expect(warnings).toEqual(['Empty, and therefore ignored: GOOGLE_API_KEY, GOOGLE_API_KEY_2.']);
  });

  it('that is not set at all is none', () => {
    expect(read({ GOOGLE_API_KEY: undefined }).warnings).toEqual([]);
  });
});

describe('a key on the line of another setting', () => {
  const key = ['AI', 'zaSy', '0123456789abcdef'].join('');
  it.each([
    ['GOOGLE_MODELS', key],
    ['GOOGLE_MODELS', `gemini-flash-latest,${key}`],
    ['HOST', key],
    ['SYSTEM_PROMPT', `Your key is ${key}.`],
    ['ANAM_PERSONA_ID', key],
    ['ANAM_PERSONA_CONFIG', `{"name":"${key}"}`],
    ['GOOGLE_BASE_URL', `https://a.example/${key}`],
    ['CORS_ORIGINS', `https://${key.toLowerCase()}.example,${key}`],
  ])('is refused, since it would be shown: %s', (name, value) => {
    const faults = faultsOf({ GOOGLE_API_KEY_4: key, [name]: value });
    expect(faults).toContain(`${name}: holds a key, which belongs in a variable of its own.`);
    expect(faults.join()).not.toContain(key);
  });
});

describe('production without any origin', () => {
  it('is warned of, since it looks like a broken server to a page elsewhere', () => {
    expect(read({ NODE_ENV: 'production' }).warnings).toEqual([
      "CORS_ORIGINS is not set: only pages of this server's own origin may call it.",
    ]);
    const named = { NODE_ENV: 'production', CORS_ORIGINS: 'https://app.example' };
    expect(read(named).warnings).toEqual([]);
  });
});

describe('an address of a provider without TLS', () => {
  it.each([
    ...['api.example', '8.8.8.8', '172.32.0.1', '[2001:db8::1]', 'a.localdomain', 'local.example'],
    ...['11.0.0.1', '[::ffff:8.8.8.8]', 'localhost.example.', '10.0.0.1.example'],
  ])('is warned of, for the keys would travel in clear text: %s', (host) => {
    const { warnings } = read({
      GOOGLE_BASE_URL: `http://${host}/x`,
      ANAM_BASE_URL: `http://${host}:80`,
    });
    expect(warnings).toEqual([
      expect.stringMatching(/^GOOGLE_BASE_URL begins with http:\/\/ .* clear text/),
      expect.stringMatching(/^ANAM_BASE_URL begins with http:\/\/ .* clear text/),
    ]);
    expect(read({ GOOGLE_BASE_URL: `https://${host}` }).warnings).toEqual([]);
  });

  it.each([
    ...[
      'localhost',
      'a.localhost',
      '127.1.2.3',
      '0x7f.1',
      '[::1]',
      '0.0.0.0',
      '10.9.8.7',
      '172.31.0.1',
    ],
    ...['192.168.1.1', '169.254.1.1', '[fe80::1]', '[fd12::1]', '[::ffff:10.0.0.1]', 'gateway'],
    ...['gateway.local', 'gateway.ns.svc.cluster.local.', 'GATEWAY.Internal'],
  ])('is fine within a private network: %s', (host) => {
    expect(read({ GOOGLE_BASE_URL: `http://${host}:8080/x` }).warnings).toEqual([]);
  });
});

describe('what must not be shown', () => {
  it('is the password of Redis in every form, and not where Redis is', () => {
    const environment = { REDIS_URL: 'rediss://me:p%40ss%2Fword@redis.example:6380/2' };
    const { redact } = read(environment);
    const forms = ['p@ss/word', 'p%40ss%2Fword'].flatMap((password) => [
      password,
      encodeURIComponent(password),
      Buffer.from(password).toString('hex'),
      Buffer.from(`me:${password}`).toString('base64'),
    ]);
    for (const form of forms)
      expect(redact(`AUTH ${form} failed`)).toMatch(/^AUTH .{0,6}\[redacted\]/);
    expect(redact(`bad ${environment.REDIS_URL}`)).not.toMatch(/p%40|ss%2F|word/);
    const where = 'connect ECONNREFUSED rediss://redis.example:6380';
    expect(redact(where)).toBe(where);
  });

  it('is a password of Redis that is too short to be looked for, where an address shows it', () => {
    const { redact } = read({ REDIS_URL: 'redis://:abc@cache:6379' });
    expect(redact('redis://:abc@cache:6379 has no abc')).toBe(
      'redis://[redacted]cache:6379 has no abc',
    );
    const inQuery = read({ REDIS_URL: 'redis://cache?password=a-password' });
    expect(inQuery.redact('redis://cache?password=a-password')).not.toContain('a-password');
  });
});

describe('a persona for every Anam key', () => {
  const missing = [
    'anam-2 has no persona to show: set ANAM_PERSONA_ID or ANAM_PERSONA_CONFIG, or ANAM_API_KEY_2_PERSONA_ID for this key alone.',
  ];

  it.each([
    [{}, missing],
    [{ ANAM_PERSONA_ID: 'p' }, []],
    [{ ANAM_PERSONA_CONFIG: '{}' }, []],
    [{ ANAM_API_KEY_2_PERSONA_ID: 'p' }, []],
    [{ ALLOW_CLIENT_PERSONA: 'true' }, []],
  ])('with %j beside the keys', (environment, warnings) => {
    const keys = { ANAM_API_KEY: 'one', ANAM_API_KEY_PERSONA_ID: 'own', ANAM_API_KEY_2: 'two' };
    expect(read({ ...keys, ...environment }).warnings).toEqual(warnings);
  });
});

describe('a store', () => {
  const DATA_DIR = '/var/data';
  const MASTER_KEY = 'a-master-key-of-32-characters-12';

  it('warns of what is not used', () => {
    expect(read({ DATA_DIR, REDIS_URL: 'redis://127.0.0.1' }).warnings).toEqual([
      'DATA_DIR is not used: REDIS_URL has the store.',
    ]);
    expect(read({ MASTER_KEY }).warnings).toEqual([
      'MASTER_KEY is not used without REDIS_URL or DATA_DIR.',
    ]);
    expect(read({ MASTER_KEY, DATA_DIR }).warnings).toEqual([]);
  });

  it('hides its master key', () => {
    const config = read({ MASTER_KEY, DATA_DIR });
    expect(config.redact(`is ${MASTER_KEY}`)).not.toContain('master-key-of');
    expect(JSON.stringify(config)).not.toContain('master-key-of');
  });
});

describe('the environment', () => {
  it('is left as it was', () => {
    const environment = Object.freeze({
      GOOGLE_API_KEY: ' "abc" ',
      PORT: ' 80 ',
      EMPTY: undefined,
    });
    expect(read(environment)).toMatchObject({ port: 80, keys: [{ id: 'google' }] });
  });

  it('may hold names that mean something to objects', () => {
    const names =
      '{"__proto__":"x","constructor":"y","toString":"z","hasOwnProperty":"w","PORT":"81"}';
    expect(read(JSON.parse(names)).port).toBe(81);
    expect(read(Object.assign(Object.create(null), { PORT: '82' })).port).toBe(82);
  });

  it('is its own variables, not those of a prototype', () => {
    expect(read(Object.create({ PORT: '83', GOOGLE_API_KEY: 'inherited' }))).toMatchObject({
      port: 3000,
      keys: [],
    });
  });
});

it('never shows a key that stands where a model is named', () => {
  const key = 'key-0123456789';
  const MODEL_ALIASES = `${key}: gone, ${key}-2: ${key}`;
  for (const environment of [
    { GOOGLE_MODELS: key, GOOGLE_EMBEDDING_MODELS: key, MODEL_ALIASES },
    { GOOGLE_LIMITS: `${key}: 5 rpm`, MODEL_ALIASES },
  ]) {
    expect(saidAbout(environment)).not.toContain('0123456789');
  }
});

it('never shows a key, on whichever line it was put and in whatever state', () => {
  const names = [
    ...Object.keys(SETTINGS.shape),
    ...['GOOGLE_API_KEY', 'GOOGLE_API_KEY_1', 'GOOGLE_API_KEY_01', 'GOOGLE_API_KEY_1_PROJECT'],
    ...['ANAM_API_KEY', 'ANAM_API_KEY_2', 'ANAM_API_KEY_2_PERSONA_ID', 'ANAM_API_KEY_3_PROJECT'],
    ...['GEMINI_API_KEY', 'ANAM_KEY', 'GOOGLE_API_KEYS'],
  ];
  const anyText = fc
    .tuple(
      fc.constantFrom('key-0123456789', 'key-9876543210'),
      fc.constantFrom('', ' ', '"', ',', '{', '\u200b', '/', ' x', '...'),
      fc.boolean(),
    )
    .map(([key, odd, isBefore]) => (isBefore ? `${odd}${key}` : `${key}${odd}`));
  const anyEnvironment = fc.dictionary(fc.constantFrom(...names), anyText, { maxKeys: 12 });
  fc.assert(
    fc.property(anyEnvironment, (environment) => {
      const said = saidAbout(environment);
      expect(said).not.toContain('0123456789');
      expect(said).not.toContain('9876543210');
    }),
    { numRuns: 1000 },
  );
});

/** Everything that is printed about an environment: the warnings, or the error with its stack. */
function saidAbout(environment: Record<string, string>): string {
  try {
    const { keys, warnings } = read(environment);
    return [...warnings, JSON.stringify(keys.map(({ id, secret }) => ({ id, secret })))].join('\n');
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [error.message, error.stack, JSON.stringify(error), ...error.faults].join('\n');
  }
}
