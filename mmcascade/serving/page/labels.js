'use strict';

// What a cascade of segmentors says of a photograph: its classes over the pixels, and its cells by the stage they left after.

const LONGEST = 1600;  // pixels of a drawing's longer side
const CLASSES_IN_GREY = 256;  // an 8-bit PNG holds no more

// Neighbouring classes get colours far apart; the lightness alternates for those who see few hues.
function classColour(index) {
  const [hue, light, chroma] = [(index * 137.508) % 360, index % 2 ? 0.62 : 0.42, 0.75];
  const channel = shift => {
    const k = (shift + hue / 30) % 12;
    return Math.round(255 * (light - chroma * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

const STAGE_COLOURS = ['#ffffff', '#ffb000', '#ff4fa3', '#5ad1ff', '#b8ff5a'];
const stageColour = stage => STAGE_COLOURS[Math.min(stage, STAGE_COLOURS.length - 1)];
const percent = share => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const className = (bundle, index) => (bundle.classes ? bundle.classes[index] : `class ${index}`);

// The classes of a label map as an image of colours, and how often each is there.
async function readLabels(answer) {
  const map = new Image();
  map.src = `data:image/png;base64,${answer.labels}`;
  await map.decode();
  const scale = Math.min(1, LONGEST / Math.max(map.width, map.height));
  const layer = document.createElement('canvas');
  layer.width = Math.max(1, Math.round(map.width * scale));
  layer.height = Math.max(1, Math.round(map.height * scale));
  const context = layer.getContext('2d', {willReadFrequently: true});
  context.imageSmoothingEnabled = false;  // a class between two classes is another class
  context.drawImage(map, 0, 0, layer.width, layer.height);
  const pixels = context.getImageData(0, 0, layer.width, layer.height);
  const counts = new Map();
  for (let at = 0; at < pixels.data.length; at += 4) {
    const index = pixels.data[at];
    counts.set(index, (counts.get(index) || 0) + 1);
    pixels.data.set(classColour(index), at);
  }
  context.putImageData(pixels, 0, 0);
  const total = layer.width * layer.height;
  const shares = [...counts].map(([index, count]) => [index, count / total]).sort((a, b) => b[1] - a[1]);
  return {layer, shares, scale};
}

function drawCells(context, cells, scale) {
  for (const cell of cells) {
    const [left, top, right, bottom] = cell.box.map(x => x * scale);
    const wide = 1 + 1.5 * Math.min(cell.exit_stage, 2), inset = wide / 2 + 0.5;
    for (const [colour, width] of [['#000000', wide + 1.5], [stageColour(cell.exit_stage), wide]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(left + inset, top + inset, right - left - 2 * inset, bottom - top - 2 * inset);
    }
    if (cell.accepted === false) {
      context.strokeStyle = '#000000';
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(left + inset, bottom - inset);
      context.lineTo(right - inset, top + inset);
      context.stroke();
    }
  }
}

function legendEntry(colour, words, ring) {
  const swatch = element('span', {className: ring ? 'swatch ring' : 'swatch'});
  swatch.style.setProperty('--swatch', colour);
  return element('li', {}, swatch, words);
}

// A drawing with a switch for each of its layers, and words for what it shows.
async function labelDrawing(bundle, file, answer) {
  const stages = bundle.stages.map((stage, index) => ({
    name: stage.member, count: answer.cells.filter(cell => cell.exit_stage === index).length, index,
  }));
  const left = stages.filter(stage => stage.count);
  const byExit = left.map(stage => `${stage.count} decided by ${stage.name}`).join(', ');
  const rejected = answer.cells.filter(cell => cell.accepted === false).length;
  const box = element('div', {className: 'drawing'});
  const legend = element('ul', {className: 'legend', ariaLabel: 'Classes and cells'});
  if (bundle.num_classes > CLASSES_IN_GREY) {
    box.append(element('p', {className: 'soft', textContent: `${answer.cells.length} cells: ${byExit}. ` +
      `Maps of more than ${CLASSES_IN_GREY} classes are not drawn; ask v1/segment?answer=png for the labels.`}));
    return box;
  }
  const {layer, shares, scale} = await readLabels(answer);
  const photograph = await createImageBitmap(file).catch(() => null);  // a browser shows fewer formats than are read
  const canvas = element('canvas', {width: layer.width, height: layer.height});
  const named = shares.map(([index, share]) => `${className(bundle, index)} ${percent(share)}`);
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', `${file.name}: ${named.join(', ')}; ${answer.cells.length} cells, ${byExit}` +
    (rejected ? `, ${rejected} rejected` : ''));
  const shown = {photograph: true, classes: true, cells: true};
  const draw = () => {
    const context = canvas.getContext('2d');
    context.globalAlpha = 1;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (shown.photograph && photograph) context.drawImage(photograph, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = shown.photograph && photograph ? 0.5 : 1;
    if (shown.classes) context.drawImage(layer, 0, 0);
    context.globalAlpha = 1;
    if (shown.cells) drawCells(context, answer.cells, scale);
  };
  const switches = element('p', {className: 'switches'});
  for (const name of Object.keys(shown)) {
    const box = element('input', {type: 'checkbox', checked: true});
    box.addEventListener('change', () => { shown[name] = box.checked; draw(); });
    switches.append(element('label', {}, box, ` ${name}`));
  }
  draw();
  for (const [index, share] of shares) {
    legend.append(legendEntry(`rgb(${classColour(index)})`, `${className(bundle, index)}, ${percent(share)}`, false));
  }
  for (const stage of left) {
    legend.append(legendEntry(stageColour(stage.index), `${stage.count} of ${answer.cells.length} cells decided by ` +
      stage.name, true));
  }
  if (rejected) legend.append(element('li', {textContent: `${rejected} cells rejected, struck through`}));
  box.append(canvas, switches, legend);
  return box;
}
