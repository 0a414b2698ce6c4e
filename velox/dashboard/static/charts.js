/** Lines that move, on a canvas: an axis with its unit, and the newest value in words for who cannot see them. */

const WIDTH_S = 120;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The next larger 1, 2 or 5 times a power of ten. */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => top >= value);
}

/**
 * Draw lines over the last two minutes.
 * @param {HTMLCanvasElement} canvas
 * @param {{at: number}[]} points with the values of each line
 * @param {{key: string, color: string, fill?: boolean}[]} lines
 * @param {(value: number) => string} words writes a value with its unit
 * @param {number} least what the axis reaches, however small the values
 */
export function lines(canvas, points, lines, words, least) {
  const scale = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width) return;
  if (canvas.width !== Math.round(width * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const end = points.length ? points[points.length - 1].at : 0;
  const values = points.flatMap((point) => lines.map((line) => point[line.key] ?? 0));
  const top = rounded(Math.max(...values, least));
  const floor = height - 15;
  const x = (at) => width - ((end - at) / WIDTH_S) * width;
  const y = (value) => floor - (value / top) * (floor - 14);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = color("--quiet");
  pen.strokeStyle = color("--line");
  pen.lineWidth = 1;
  for (const level of [0, top]) {
    pen.beginPath();
    pen.moveTo(0, Math.round(y(level)) + 0.5);
    pen.lineTo(width, Math.round(y(level)) + 0.5);
    pen.stroke();
  }
  pen.fillText(words(top), 0, 10);
  pen.fillText("2 min ago", 0, height - 3);
  const now = "now";
  pen.fillText(now, width - pen.measureText(now).width, height - 3);
  for (const line of lines) {
    const known = points.filter((point) => point[line.key] !== null && point[line.key] !== undefined && x(point.at) > -20);
    if (!known.length) continue;
    pen.strokeStyle = color(line.color);
    pen.lineWidth = 1.5;
    pen.beginPath();
    known.forEach((point, at) => (at ? pen.lineTo(x(point.at), y(point[line.key])) : pen.moveTo(x(point.at), y(point[line.key]))));
    pen.stroke();
    if (line.fill) {
      pen.lineTo(x(known[known.length - 1].at), floor);
      pen.lineTo(x(known[0].at), floor);
      pen.globalAlpha = 0.12;
      pen.fillStyle = color(line.color);
      pen.fill();
      pen.globalAlpha = 1;
    }
  }
}
