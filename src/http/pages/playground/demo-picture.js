// @ts-check
// The stand-in for Anam sends no video. So that the demo shows where the avatar would be, this draws a face.

const [WIDTH, HEIGHT] = [640, 360];

/**
 * Plays a made-up face that is marked as such. It stands still for those who prefer less motion.
 *
 * @param {HTMLVideoElement} video
 * @returns {() => void} ends it, and leaves the video empty
 */
export function playPicture(video) {
  const canvas = Object.assign(document.createElement('canvas'), { width: WIDTH, height: HEIGHT });
  const context = canvas.getContext('2d');
  if (context === null) return () => {};
  const isStill = matchMedia('(prefers-reduced-motion: reduce)');
  let frame = 0;
  const draw = (/** @type {number} */ ms) => {
    drawFace(context, isStill.matches ? 0 : ms / 1000);
    frame = requestAnimationFrame(draw);
  };
  draw(0);
  const stream = canvas.captureStream(30);
  video.srcObject = stream;
  return () => {
    cancelAnimationFrame(frame);
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} seconds
 */
function drawFace(context, seconds) {
  const sway = Math.sin(seconds * 0.9) * 6;
  drawBackground(context);
  context.save();
  context.translate(WIDTH / 2 + sway, HEIGHT / 2 + 6 + Math.sin(seconds * 1.7) * 3);
  drawBust(context);
  drawEyes(context, seconds);
  drawMouth(context, seconds);
  context.restore();
  drawLabel(context, seconds);
}

/** @param {CanvasRenderingContext2D} context */
function drawBackground(context) {
  const gradient = context.createLinearGradient(0, 0, WIDTH, HEIGHT);
  gradient.addColorStop(0, '#24345f');
  gradient.addColorStop(1, '#57446f');
  context.fillStyle = gradient;
  context.fillRect(0, 0, WIDTH, HEIGHT);
}

/** @param {CanvasRenderingContext2D} context */
function drawBust(context) {
  context.fillStyle = '#3d6fd1';
  ellipse(context, 0, 190, 150, 90);
  context.fillStyle = '#d9a583';
  context.fillRect(-26, 70, 52, 50);
  context.fillStyle = '#3a2a2e';
  ellipse(context, 0, -24, 92, 104);
  context.fillStyle = '#eab996';
  ellipse(context, 0, 8, 78, 92);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} seconds
 */
function drawEyes(context, seconds) {
  const isBlinking = seconds % 3.7 > 3.55;
  const glance = Math.sin(seconds * 0.6) * 4;
  for (const x of [-30, 30]) {
    context.fillStyle = '#ffffff';
    ellipse(context, x, -8, 14, isBlinking ? 1.5 : 9);
    context.fillStyle = '#26324e';
    if (!isBlinking) ellipse(context, x + glance, -8, 5.5, 5.5);
    context.fillRect(x - 15, -30, 30, 4);
  }
}

/**
 * Draws a mouth that opens and closes in the rhythm of speech.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {number} seconds
 */
function drawMouth(context, seconds) {
  context.fillStyle = '#8f3f49';
  ellipse(context, 0, 52, 22, 3 + loudness(seconds) * 12);
}

/** @param {number} seconds */
function loudness(seconds) {
  const isPause = seconds % 5 > 3.8;
  return isPause ? 0 : Math.abs(Math.sin(seconds * 7.3) * Math.sin(seconds * 2.9));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} seconds
 */
function drawLabel(context, seconds) {
  context.fillStyle = '#0d1222cc';
  context.fillRect(0, HEIGHT - 44, WIDTH, 44);
  context.fillStyle = '#f2bd5b';
  context.font = '700 18px sans-serif';
  context.fillText('DEMO', 20, HEIGHT - 16);
  context.fillStyle = '#e9ecf2';
  context.font = '16px sans-serif';
  context.fillText(
    'A stand-in draws this picture. No avatar service is connected.',
    86,
    HEIGHT - 16,
  );
  for (let bar = 0; bar < 8; bar += 1) {
    const height = 4 + loudness(seconds + bar * 0.11) * 20;
    context.fillRect(WIDTH - 70 + bar * 7, HEIGHT - 22 - height / 2, 4, height);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} radiusX
 * @param {number} radiusY
 */
function ellipse(context, x, y, radiusX, radiusY) {
  context.beginPath();
  context.ellipse(x, y, radiusX, radiusY, 0, 0, 2 * Math.PI);
  context.fill();
}
