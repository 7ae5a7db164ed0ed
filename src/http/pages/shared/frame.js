// @ts-check
// What lives in the header of a page: the clock, who is logged in, and the button to log out.

const clock = document.querySelector('#clock');

if (clock !== null) {
  showClock(clock);
  setInterval(() => showClock(clock), 1000);
}

document.querySelector('#log-out')?.addEventListener('click', async () => {
  await fetch('/api/logout', { method: 'POST' }).catch(() => undefined);
  location.assign('/login');
});

const whoIsIn = document.querySelector('#who-is-in');
if (whoIsIn !== null) void showName(whoIsIn);

/** @param {Element} place stays empty where no name was given */
async function showName(place) {
  try {
    const response = await fetch('/api/login');
    if (response.ok) place.textContent = (await response.json()).name ?? '';
  } catch {
    // The page itself shows that the server does not answer.
  }
}

/**
 * The local time, and UTC beside it where that is another.
 *
 * @param {Element} place
 */
function showClock(place) {
  const now = new Date();
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const [local, utc] = [document.createElement('strong'), document.createElement('span')];
  utc.className = 'utc';
  const utcText = now.toISOString().slice(11, 19);
  if (now.getTimezoneOffset() === 0) local.textContent = `${utcText} UTC`;
  else {
    local.textContent = [now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(':');
    utc.textContent = ` · ${utcText} UTC`;
  }
  place.replaceChildren(local, utc);
}
