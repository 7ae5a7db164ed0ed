// @ts-check
import { html, nothing, render } from '/playground/lib/lit-html/lit-html.js';
import { announce } from '/playground/page.js';

/** @import * as Anam from '@anam-ai/js-sdk' */

const VIDEO = 'avatar-video';
/** Not the SDK's: it would wait there for a video that the stand-in does not send. */
const PICTURE = 'demo-video';
const place = /** @type {HTMLElement} */ (document.querySelector('#avatar'));

/** Set by the SDK's own script. */
function sdk() {
  const { anam } = /** @type {{ anam?: typeof Anam }} */ (/** @type {unknown} */ (window));
  if (anam === undefined) throw new Error("Anam's SDK could not be loaded.");
  return anam;
}

const DEMO_END =
  'This picture is made up by the demo and drawn in your browser. A real avatar needs the Anam service: set ANAM_API_KEY and start the server without the demo.';

/** @typedef {{ steps: string[], fault: string | null, client: Anam.AnamClient | null, isStarting: boolean }} Session */

/** @type {Session} */
let session = { steps: [], fault: null, client: null, isStarting: false };
let isDemo = false;
/** Ends the demo's picture. */
let stopPicture = () => {};

/** @param {boolean} isDemoServer stand-ins send no video, so the page draws one */
export function showAvatar(isDemoServer = isDemo) {
  isDemo = isDemoServer;
  const { steps, fault, client, isStarting } = session;
  render(
    html`
      <h2 id="avatar-title">Avatar</h2>
      <p class="small quiet">Gets a session token and starts a session with Anam's SDK, both through this server. When an account has no minutes or slots left, another one takes over.</p>
      ${
        isDemo
          ? html`<video id=${PICTURE} ?hidden=${client === null} autoplay playsinline muted aria-label="The demo's made-up avatar"></video>`
          : html`<video id=${VIDEO} ?hidden=${client === null} autoplay playsinline aria-label="The avatar"></video>
        <label class="check"><input type="checkbox" id="microphone" /> use my microphone</label>`
      }
      <div class="row">
        <button type="button" class=${client === null ? 'main' : ''} ?disabled=${isStarting} @click=${start}>${client === null ? 'Start a session' : 'Start another session'}</button>
        ${client === null ? nothing : html`<button type="button" @click=${stop}>Stop</button>`}
      </div>
      <ol class="steps small">${steps.map((step) => html`<li>${step}</li>`)}</ol>
      ${isDemo && client !== null ? html`<p class="small quiet">${DEMO_END}</p>` : nothing}
      ${fault === null ? nothing : html`<p class="notice bad">${fault}</p>`}
    `,
    place,
  );
}

/** @param {string} step */
function done(step) {
  session.steps.push(step);
  announce(step);
  showAvatar();
}

async function start() {
  await stop();
  session = { steps: [], fault: null, client: null, isStarting: true };
  showAvatar();
  try {
    const token = await mintToken();
    done('Session token received.');
    await startWith(token);
  } catch (error) {
    await stop();
    fail(error instanceof Error ? error.message : String(error));
  }
  session.isStarting = false;
  showAvatar();
}

async function mintToken() {
  const response = await fetch('/api/anam/session-token', { method: 'POST' });
  const { sessionToken, error } = await response.json();
  if (!response.ok) throw new Error(error.message);
  return sessionToken;
}

/** @param {string} token */
async function startWith(token) {
  const { createClient } = sdk();
  const hasMicrophone = place.querySelector('#microphone:checked') !== null;
  const client = createClient(token, {
    api: { baseUrl: `${location.origin}/api/anam` },
    disableInputAudio: !hasMicrophone,
  });
  session.client = client;
  listen(client);
  if (isDemo) await startWithoutVideo(client);
  else await client.streamToVideoElement(VIDEO);
  done(`Session started: ${client.getActiveSessionId()}.`);
}

/**
 * The SDK reports the connection by events only.
 *
 * @param {Anam.AnamClient} client
 */
function listen(client) {
  const { AnamEvent } = sdk();
  const isOurs = () => session.client === client;
  client.addListener(AnamEvent.CONNECTION_ESTABLISHED, () => {
    if (isOurs()) done('Connected to the avatar.');
  });
  client.addListener(AnamEvent.MIC_PERMISSION_DENIED, () => {
    if (isOurs()) fail('Access to the microphone was denied.');
  });
  client.addListener(AnamEvent.CONNECTION_CLOSED, (reason, details) => {
    if (!isOurs()) return;
    session.client = null;
    fail(`The connection was closed: ${[reason, details].filter(Boolean).join(', ')}.`);
  });
}

/** @param {string} fault */
function fail(fault) {
  Object.assign(session, { fault });
  announce(fault);
  showAvatar();
}

/**
 * Without its video element the SDK stops after the start of the session, before it connects to a host
 * that the stand-in does not have.
 *
 * @param {Anam.AnamClient} client
 */
async function startWithoutVideo(client) {
  try {
    await client.streamToVideoElement(VIDEO);
  } catch (error) {
    if (client.getActiveSessionId() === null) throw error;
  }
  const { playPicture } = await import('./demo-picture.js');
  stopPicture = playPicture(/** @type {HTMLVideoElement} */ (place.querySelector(`#${PICTURE}`)));
}

async function stop() {
  const { client } = session;
  session.client = null;
  stopPicture();
  try {
    if (client !== null && !isDemo) await client.stopStreaming();
  } catch (error) {
    fail(String(error));
  }
  showAvatar();
}
