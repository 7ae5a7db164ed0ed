import { z } from 'zod';
import type { DescribedServer } from './described-server.ts';
import type { Examples } from './operation.ts';

export const anything = z.looseObject({});

export const tokenAnswer = z
  .strictObject({ sessionToken: z.string().min(1) })
  .meta({ title: 'SessionToken' });

export const sessionRequest = z.looseObject({}).meta({
  title: 'SessionRequest',
  description: 'Goes to Anam as it comes.',
  externalDocs: { url: 'https://docs.anam.ai' },
});

export const session = z
  .looseObject({ sessionId: z.string(), engineHost: z.string() })
  .meta({ title: 'Session', description: "Anam's own answer." });

export const metrics = z
  .looseObject({})
  .meta({ title: 'ClientMetrics', description: 'Goes to Anam as it comes.' });

const PERSONA = { name: 'Ada', avatarId: 'an-avatar', voiceId: 'a-voice', llmId: 'a-model' };

export const tokenExamples = ({ allowClientPersona }: DescribedServer): Examples => ({
  ourPersona: { summary: "The server's persona", value: {} },
  ...(allowClientPersona
    ? { clientPersona: { summary: "The caller's persona", value: { personaConfig: PERSONA } } }
    : {}),
});

export const SESSION_EXAMPLES: Examples = {
  start: { value: { clientMetadata: { client: 'js-sdk', version: '4.27.0' } } },
};

export const STARTED: Examples = {
  started: {
    value: {
      sessionId: '7d1f0c0e-90c3-4b8a-a4a0-55a3d0cde0f1',
      engineHost: 'engine.example.com',
      engineProtocol: 'https',
      signallingEndpoint: '/ws',
    },
  },
};

export const METRICS_EXAMPLES: Examples = {
  connection: { value: { metrics: [{ name: 'client_metric_connection', value: 1, tags: {} }] } },
};

export const THANKED: Examples = { thanks: { value: { success: true } } };
