'use strict';

const $ = id => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
let bundles = [];

const count = n => n >= 1e9 ? `${(n / 1e9).toFixed(2)} G` : n >= 1e6 ? `${(n / 1e6).toFixed(1)} M` : `${Math.round(n)}`;
const number = x => Math.abs(x) >= 100 ? x.toFixed(1) : x.toFixed(3);

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  Object.assign(node, attributes);
  node.append(...children);
  return node;
}

function shape(parent, tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
}

// The range on which a confidence is drawn: probabilities have theirs, other scores reach from bound to score.
function range(bundle, score) {
  if (['max_prob', 'prob_gap'].includes(bundle.confidence)) return [0, 1];
  const ends = bundle.windows.flatMap(w => w || []).concat([bundle.accept, score]).filter(x => x !== null);
  const low = Math.min(...ends), high = Math.max(...ends), space = (high - low || 1) * 0.1;
  return [low - space, high + space];
}

function ruler(bundle, decision) {
  const [low, high] = range(bundle, decision.confidence);
  const x = score => 10 + 380 * Math.min(1, Math.max(0, (score - low) / (high - low)));
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'ruler');
  svg.setAttribute('viewBox', '0 0 400 54');
  svg.setAttribute('role', 'img');
  const gap = Math.min(decision.exit_stage, bundle.windows.length - 1);
  const window = gap >= 0 ? bundle.windows[gap] : null;
  const words = [`confidence ${number(decision.confidence)} on a ruler from ${number(low)} to ${number(high)}`];
  if (window) {
    const [from, to] = [window[0] ?? low, window[1] ?? high];
    shape(svg, 'rect', {class: 'window', x: x(from), y: 18, width: Math.max(1, x(to) - x(from)), height: 14});
    words.push(`window from ${number(from)} to ${number(to)}`);
  }
  shape(svg, 'line', {class: 'axis', x1: 10, x2: 390, y1: 32, y2: 32});
  if (bundle.accept !== null) {
    shape(svg, 'line', {class: 'accept', x1: x(bundle.accept), x2: x(bundle.accept), y1: 14, y2: 36});
    words.push(`accepted from ${number(bundle.accept)}`);
  }
  shape(svg, 'path', {class: 'mark', d: `M ${x(decision.confidence)} 30 l -6 -12 l 12 0 z`});
  shape(svg, 'text', {x: 10, y: 48}, number(low));
  shape(svg, 'text', {x: 390, y: 48, 'text-anchor': 'end'}, number(high));
  const at = x(decision.confidence);
  shape(svg, 'text', {x: at, y: 13, 'text-anchor': at > 350 ? 'end' : at < 50 ? 'start' : 'middle'},
    number(decision.confidence));
  svg.setAttribute('aria-label', words.join(', '));
  return svg;
}

function verdict(decision) {
  if (decision.accepted === null) return null;
  const word = decision.accepted ? 'accepted' : 'rejected';
  return element('span', {className: `verdict ${word}`, textContent: word});
}

function row(bundle, file, decision) {
  const picture = element('img', {src: URL.createObjectURL(file), alt: file.name});
  picture.addEventListener('load', () => URL.revokeObjectURL(picture.src));
  const text = element('div');
  if (decision.error) {
    text.append(element('p', {className: 'name error', textContent: 'Not decided'}),
      element('p', {className: 'soft', textContent: decision.error}));
    return element('li', {}, picture, text);
  }
  const name = decision.class_name ?? `class ${decision.label}`;
  const title = element('p', {className: 'name'}, `${name} `);
  const word = verdict(decision);
  if (word) title.append(word);
  text.append(title);
  if (decision.confidence !== null) text.append(ruler(bundle, decision));
  const large = bundle.stages.reduce((sum, stage) => sum + stage.macs, 0);
  const share = large ? `, ${Math.round(100 * decision.macs / large)} % of all members` : '';
  text.append(element('p', {className: 'soft', textContent: `decided by ${decision.member} ` +
    `(stage ${decision.exit_stage + 1} of ${bundle.stages.length}), ${count(decision.macs)} multiply-adds${share}`}));
  text.append(element('p', {className: 'soft', textContent: file.name}));
  return element('li', {}, picture, text);
}

// A photograph whose pixels were labelled: the drawing stands in place of the photograph.
async function segmented(bundle, file, answer) {
  const text = element('div');
  const title = element('p', {className: 'name'}, `${answer.width} x ${answer.height} pixels labelled `);
  const word = verdict(answer);
  if (word) title.append(word);
  text.append(title);
  const drawing = await labelDrawing(bundle, file, answer);
  if (answer.confidence !== null && answer.accepted !== null) text.append(ruler({...bundle, windows: []}, answer));
  text.append(element('p', {className: 'soft', textContent: `${answer.cells.length} cells, ` +
    `${count(answer.macs)} multiply-adds`}), element('p', {className: 'soft', textContent: file.name}));
  return element('li', {className: 'segmented'}, drawing, text);
}

async function send(files) {
  const bundle = bundles[$('bundle').selectedIndex];
  $('status').textContent = `deciding on ${files.length} ...`;
  for (const file of files) {
    const form = new FormData();
    form.append('images', file, file.name);
    try {
      const cells = bundle.task === 'segmentation';
      const path = `v1/${cells ? 'segment' : 'decide'}?bundle=${encodeURIComponent(bundle.name)}`;
      const answer = await fetch(path, {method: 'POST', body: form});
      const data = await answer.json();
      if (answer.ok && cells) {
        $('results').prepend(await segmented(bundle, file, data));
        continue;
      }
      const decision = answer.ok ? data.decisions[0] : {error: String(data.detail)};
      $('results').prepend(row(bundle, file, decision));
    } catch (error) {
      $('results').prepend(row(bundle, file, {error: 'the server does not answer'}));
    }
  }
  $('status').textContent = '';
}

function describe() {
  const bundle = bundles[$('bundle').selectedIndex];
  const stages = bundle.stages.map(s => `${s.member} (${count(s.macs)})`).join(', then ');
  const words = bundle.task === 'segmentation'
    ? 'Cells of the image on which a member is not certain go on to the next. The green line of a ruler is where images are accepted.'
    : 'The orange part of a ruler is the window: scores inside go on to the next member. The green line is where ' +
      'predictions are accepted.';
  $('about').textContent = `${bundle.num_classes} classes; ${stages} multiply-adds. ${words}`;
}

async function start() {
  bundles = await (await fetch('v1/bundles')).json();
  for (const bundle of bundles) $('bundle').append(element('option', {textContent: bundle.name}));
  $('bundle').addEventListener('change', describe);
  describe();
  $('files').addEventListener('change', event => send([...event.target.files]));
  const drop = $('drop');
  for (const kind of ['dragenter', 'dragover']) {
    drop.addEventListener(kind, event => { event.preventDefault(); drop.classList.add('over'); });
  }
  for (const kind of ['dragleave', 'drop']) drop.addEventListener(kind, () => drop.classList.remove('over'));
  drop.addEventListener('drop', event => { event.preventDefault(); send([...event.dataTransfer.files]); });
}

start();
