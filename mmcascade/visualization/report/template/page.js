'use strict';
// Every place of the sliders was computed when the page was written; here it is only shown.
const runs = JSON.parse(document.getElementById('places').textContent);
for (const article of document.querySelectorAll('[data-run]')) {
  const run = runs[article.dataset.run];
  if (!run) continue;
  const sliders = Object.fromEntries([...article.querySelectorAll('[data-slider]')].map((s) => [s.dataset.slider, s]));
  const show = () => {
    const risk = sliders.risk ? Number(sliders.risk.value) : 0;
    const place = run.places[risk][Number(sliders.effort.value)];
    for (const [name, slider] of Object.entries(sliders)) {
      const label = run[name][Number(slider.value)];
      slider.setAttribute('aria-valuetext', label);
      article.querySelector(`[data-label="${name}"]`).textContent = label;
    }
    const text = place.text || {}, width = place.width || {}, at = place.at || {};
    article.querySelector('[data-says]').textContent = place.problem || text.sentence;
    for (const e of article.querySelectorAll('[data-text]')) e.textContent = text[e.dataset.text] ?? '–';
    for (const e of article.querySelectorAll('[data-width]')) e.style.width = `${width[e.dataset.width] ?? 0}%`;
    for (const e of article.querySelectorAll('[data-at]')) {
      const spot = at[e.dataset.at];
      e.style.visibility = spot ? 'visible' : 'hidden';
      if (spot) e.setAttribute('transform', `translate(${spot[0]} ${spot[1]})`);
    }
    for (const e of article.querySelectorAll('[data-span]')) {
      const spot = at[e.dataset.span];
      e.style.visibility = spot ? 'visible' : 'hidden';
      if (!spot) continue;
      e.setAttribute('x', spot[0]);
      e.setAttribute('width', Math.max(spot[1], 2));
    }
  };
  for (const slider of Object.values(sliders)) slider.addEventListener('input', show);
  show();
}
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const rising = head.getAttribute('aria-sort') !== 'ascending';
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', rising ? 'ascending' : 'descending');
      const key = (row) => row.cells[column].textContent;
      const compare = (a, b) => (column ? (parseFloat(key(a)) || 0) - (parseFloat(key(b)) || 0) : key(a).localeCompare(key(b)));
      body.append(...[...body.rows].sort((a, b) => (rising ? compare(a, b) : compare(b, a))));
    });
  });
}
