import { createHmac } from 'node:crypto';
import { hostname } from 'node:os';
import { Agent, request } from 'undici';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import type { Secret } from '../shared/secret.ts';
import type { IncidentReport } from './incident-report.ts';
import { SITUATIONS } from './reports.ts';

export type AlertEvent = 'incident.began' | 'incident.updated' | 'incident.ended' | 'test';

/** Announces incidents at one address. */
export interface Alerts {
  /** Whether incidents of this kind are announced. */
  announces(incident: Pick<IncidentReport, 'kind' | 'cause'>): boolean;
  /** Whether a further announcement may be sent now. */
  hasRoom(): boolean;
  /** Tries for most of an hour. Never rejects. `stopped`: another instance, or this one after its restart, must send it. */
  send(event: AlertEvent, incident: IncidentReport): Promise<Outcome>;
  /** Sends one message, once. */
  test(): Promise<AlertTest>;
  /** Lets running posts end for at most two seconds, then cuts them off. */
  stop(): Promise<void>;
}

type Outcome = 'sent' | 'failed' | 'stopped';

export interface AlertTest {
  /** Whether the receiver took it. */
  readonly isSent: boolean;
  /** The receiver's HTTP status; null without an answer. */
  readonly status: number | null;
  readonly sentence: string;
}

export interface AlertsOptions {
  readonly url: Secret;
  /** Null leaves messages unsigned. */
  readonly secret: Secret | null;
  readonly form: 'json' | 'slack';
  readonly clock: Clock;
  readonly log: Logger;
  /** The id of this process. */
  readonly instance: string;
}

/** A client may use up its minute or its share many times a day: only its day is announced. */
const isOfBudget = ({ kind, cause }: Pick<IncidentReport, 'kind' | 'cause'>) =>
  kind === 'client_limit' && cause.endsWith('_day');

/** Waits before each try: six within an hour. */
const WAITS_MS = [0, 10_000, 60_000, 300_000, 900_000, 1_800_000];
const ANSWER_LIMIT_MS = 10_000;
const STOP_LIMIT_MS = 2000;
const MAX_SENDING = 20;
const MAX_ANSWER_BYTES = 65_536;

export function createAlerts(options: AlertsOptions): Alerts {
  const { url, clock, log } = options;
  const { host } = new URL(url.reveal());
  const agent = new Agent({ connections: 2 });
  /** Ends the waits at a stop. */
  const waiting = new Set<() => void>();
  const posting = new Set<Promise<unknown>>();
  let isStopping = false;
  let sending = 0;

  const wait = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = clock.after(ms, done);
      function done() {
        timer.cancel();
        waiting.delete(done);
        resolve();
      }
      waiting.add(done);
    });

  /** @returns the status. A redirect is not followed, so that no other host gets a message */
  async function post(body: string): Promise<number> {
    const limit = new AbortController();
    const timer = clock.after(ANSWER_LIMIT_MS, () => limit.abort());
    try {
      const answer = await request(url.reveal(), {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...signatureOf(body, options) },
        body,
        dispatcher: agent,
        signal: limit.signal,
      });
      await answer.body.dump({ limit: MAX_ANSWER_BYTES });
      return answer.statusCode;
    } finally {
      timer.cancel();
    }
  }

  async function tryOnce(body: string): Promise<AlertTest> {
    const posted = post(body);
    posting.add(posted);
    try {
      return toResult(await posted, host);
    } catch (error) {
      const sentence = `${host} did not answer (${codeOf(error)}).`;
      return { isSent: false, status: null, sentence };
    } finally {
      posting.delete(posted);
    }
  }

  async function tryToSend(
    event: AlertEvent,
    id: string,
    body: string,
  ): Promise<Outcome | 'later'> {
    if (isStopping) return 'stopped';
    const { isSent, status, sentence } = await tryOnce(body);
    const line = { host, event, incident: id, status };
    if (isSent) {
      log.info(line, 'alert sent');
      return 'sent';
    }
    const mayHelp = isWorthAnotherTry(status);
    log.warn({ ...line, why: sentence }, mayHelp ? 'alert not taken' : 'alert refused: given up');
    return mayHelp ? 'later' : 'failed';
  }

  async function sendUntilTaken(event: AlertEvent, incident: IncidentReport): Promise<Outcome> {
    const body = bodyOf(event, incident, options);
    for (const ms of WAITS_MS) {
      if (ms > 0) await wait(ms);
      const outcome = await tryToSend(event, incident.id, body);
      if (outcome !== 'later') return outcome;
    }
    log.error({ host, event, incident: incident.id }, 'alert given up');
    return isStopping ? 'stopped' : 'failed';
  }

  return {
    announces: (incident) => SITUATIONS[incident.kind] === 'announced' || isOfBudget(incident),
    hasRoom: () => !isStopping && sending < MAX_SENDING,
    async send(event, incident) {
      sending += 1;
      try {
        return await sendUntilTaken(event, incident);
      } finally {
        sending -= 1;
      }
    },
    test: () => tryOnce(bodyOf('test', null, options)),
    async stop() {
      isStopping = true;
      for (const done of waiting) done();
      if (posting.size > 0) {
        const limit = wait(STOP_LIMIT_MS);
        await Promise.race([Promise.allSettled(posting), limit]);
        for (const done of waiting) done();
      }
      await agent.destroy();
    },
  };
}

const isWorthAnotherTry = (status: number | null) =>
  status === null || status === 408 || status === 429 || status >= 500;

function toResult(status: number, host: string): AlertTest {
  const isSent = status >= 200 && status < 300;
  const isRedirect = status >= 300 && status < 400;
  const why = isRedirect ? `${status}, a redirect, which is not followed` : `${status}`;
  const sentence = isSent ? `${host} took the message.` : `${host} answered ${why}.`;
  return { isSent, status, sentence };
}

/** Never the message: it may quote the address. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error ? String(error.code) : error.name;
}

/** The signature includes the time, so that a receiver can refuse a replayed message. */
function signatureOf(
  body: string,
  { secret, clock }: Pick<AlertsOptions, 'secret' | 'clock'>,
): Record<string, string> {
  if (secret === null) return {};
  const seconds = Math.floor(clock.now() / 1000);
  const signature = createHmac('sha256', secret.reveal())
    .update(`${seconds}.${body}`)
    .digest('hex');
  return { 'x-understudy-signature': `t=${seconds},v1=${signature}` };
}

function bodyOf(
  event: AlertEvent,
  incident: IncidentReport | null,
  { form, instance }: Pick<AlertsOptions, 'form' | 'instance'>,
): string {
  const server = { host: hostname(), instance };
  return JSON.stringify(
    form === 'slack' ? toSlack(event, incident, server.host) : { event, incident, server },
  );
}

const TITLES: Readonly<Record<AlertEvent, string>> = {
  'incident.began': 'Began',
  'incident.updated': 'Continues',
  'incident.ended': 'Over',
  test: 'Test',
};

/** https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks */
function toSlack(event: AlertEvent, incident: IncidentReport | null, host: string) {
  const says = incident?.sentence ?? 'This is a test message.';
  const title = `*${TITLES[event]}* on ${escaped(host)}: ${escaped(says)}`;
  const lines = incident === null ? [] : slackLines(event, incident);
  const text = [title, ...lines.map(escaped)].join('\n');
  return { text, blocks: [{ type: 'section', text: { type: 'mrkdwn', text } }] };
}

function slackLines(event: AlertEvent, incident: IncidentReport): readonly string[] {
  const { remedy, untilText, keys, keysInAll, requestsAffected, from, to } = incident;
  const more = keysInAll > keys.length ? ` and ${keysInAll - keys.length} more` : '';
  return [
    ...(keys.length === 0 ? [] : [`Keys: ${keys.join(', ')}${more}.`]),
    `Requests affected: ${requestsAffected}.`,
    ...(event === 'incident.ended'
      ? [`From ${from} to ${to}.`]
      : [
          `Since ${from}${untilText === null ? '' : `, until ${untilText}`}.`,
          `What to do: ${remedy}`,
        ]),
  ];
}

/** https://docs.slack.dev/messaging/formatting-message-text#escaping */
const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
