import { type AnamClient, AnamEvent, createClient } from '@anam-ai/js-sdk';
import '../look.css';
import { retrySentence, UnderstudyError, understudyFetch } from '../understudy-client';

const byId = (id: string) => document.getElementById(id) as HTMLElement;
const startButton = byId('start') as HTMLButtonElement;
const stopButton = byId('stop') as HTMLButtonElement;

let client: AnamClient | null = null;

startButton.addEventListener('click', start);
stopButton.addEventListener('click', () => stop('The conversation is over.'));

async function start() {
  show('Connecting…', 'nothing');
  try {
    const started = createClient(await mintToken(), {
      // The session starts through Understudy, on another account if the token's account has nothing left.
      api: { baseUrl: `${location.origin}/api/anam` },
    });
    client = started;
    listenTo(started);
    show('Connecting…', 'stop');
    await started.streamToVideoElement('avatar');
  } catch (error) {
    const refusal = await refusalBehind(error);
    await stop('');
    show('', 'start', `${refusal.message} ${retrySentence(refusal)}`);
  }
}

async function mintToken(): Promise<string> {
  const response = await understudyFetch('/api/anam/session-token', { method: 'POST' });
  return (await response.json()).sessionToken;
}

/**
 * Where no account can start a session, the SDK throws a sentence for the owner of the account. What
 * a visitor should read is in Understudy's answer to the next request for a token.
 */
async function refusalBehind(error: unknown): Promise<Error> {
  const thrown = error instanceof Error ? error : new Error(String(error));
  if (thrown instanceof UnderstudyError) return thrown;
  return mintToken().then(
    () => thrown,
    (refusal) => refusal,
  );
}

function listenTo(started: AnamClient) {
  started.addListener(AnamEvent.CONNECTION_ESTABLISHED, () => show('Connected.', 'stop'));
  started.addListener(AnamEvent.CONNECTION_CLOSED, (reason) => {
    // Also after a stop of our own.
    if (client !== started) return;
    client = null;
    show('', 'start', `The connection to the avatar was closed (${reason}).`);
  });
}

async function stop(state: string) {
  const stopped = client;
  client = null;
  show(state, 'start');
  await stopped?.stopStreaming();
}

function show(state: string, next: 'start' | 'stop' | 'nothing', fault = '') {
  byId('state').textContent = state;
  byId('fault').textContent = fault;
  startButton.disabled = next !== 'start';
  stopButton.disabled = next !== 'stop';
}
