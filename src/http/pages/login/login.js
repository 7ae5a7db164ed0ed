// @ts-check
/** The pages to which a login may lead. The fragment of the address, such as `#client=shop`, is kept. */
const TARGETS = ['/dashboard', '/playground'];

const form = /** @type {HTMLFormElement} */ (document.querySelector('#login'));
const fault = /** @type {HTMLElement} */ (document.querySelector('#fault'));
const button = /** @type {HTMLButtonElement} */ (form.querySelector('button'));

form.querySelector('input')?.focus();
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  fault.textContent = '';
  button.disabled = true;
  const sentence = await logIn(Object.fromEntries(new FormData(form)));
  button.disabled = false;
  if (sentence === null) location.assign(targetPage() + location.hash);
  else fault.textContent = sentence;
});

/**
 * @param {object} body
 * @returns {Promise<string | null>} the error
 */
async function logIn(body) {
  try {
    const response = await fetch('/api/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (response.ok) return null;
    const { error } = await response.json();
    return error.message;
  } catch {
    return 'The server does not answer. Try again later.';
  }
}

function targetPage() {
  const wanted = new URLSearchParams(location.search).get('to') ?? '';
  return TARGETS.includes(wanted) ? wanted : '/dashboard';
}
