// What a person sees of the mail on this page: every text, link and picture, and where it is.
// Lengths are CSS pixels; colours are [red, green, blue]. It judges nothing: Python does.
() => {
  const squeeze = text => text.replace(/\s+/g, ' ').trim();
  const markOf = e => {
    const own = e.id ? ` id="${e.id}"` : e.className ? ` class="${e.className}"` : '';
    return `<${e.localName}${own}>`;
  };
  const numbersOf = css => (css.match(/[\d.]+/g) || []).map(Number);
  const alphaOf = colour => colour.length > 3 ? colour[3] : 1;
  // Asked for each text, these answers are the same for all that an element holds.
  const remember = make => {
    const known = new Map();
    return e => {
      if (!known.has(e)) known.set(e, make(e));
      return known.get(e);
    };
  };
  const ownGround = e => alphaOf(numbersOf(getComputedStyle(e).backgroundColor));

  // The colour behind an element, pictures not counted: they may be off.
  const groundOf = remember(e => {
    if (!e) return [255, 255, 255];
    const own = numbersOf(getComputedStyle(e).backgroundColor);
    return alphaOf(own) === 1 ? own : blend(own, groundOf(e.parentElement));
  });
  const blend = (above, below) => {
    const alpha = alphaOf(above);
    return [0, 1, 2].map(n => above[n] * alpha + below[n] * (1 - alpha));
  };

  // What hides a box, or a part of it: an ancestor that cuts off what is larger than itself.
  const framesOf = remember(e => {
    if (!e || e === document.body) return [];
    const {overflowX, overflowY, display} = getComputedStyle(e);
    const outer = framesOf(e.parentElement);
    if (display === 'inline' || (overflowX === 'visible' && overflowY === 'visible')) return outer;
    return [{mark: markOf(e), box: e.getBoundingClientRect(),
             wide: overflowX !== 'visible', high: overflowY !== 'visible'}, ...outer];
  });
  const clipOf = (e, box) => {
    for (const {mark, box: frame, wide, high} of framesOf(e)) {
      if (frame.width < 2 || frame.height < 2) return {hidden: true};
      if (wide && (box.right > frame.right + 1 || box.left < frame.left - 1)) return {by: mark};
      if (high && (box.bottom > frame.bottom + 1 || box.top < frame.top - 1)) return {by: mark};
    }
    return {};
  };
  const isShown = remember(
    e => e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}));
  const blockOf = remember(e =>
    getComputedStyle(e).display.startsWith('inline') && e.parentElement
      ? blockOf(e.parentElement) : e);

  const blocks = new Map();
  const lines = [];
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const e = node.parentElement, text = squeeze(node.data);
    // Soft hyphens, joiners and the like fill up a preheader; nobody reads them.
    if (!/[^\s\u00ad\u034f\u200b-\u200f\u2060\ufeff]/.test(text) || !isShown(e)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter(box => box.width > 0.5 && box.height > 0.5);
    const clips = boxes.map(box => clipOf(e, box));
    if (!boxes.length || clips.every(clip => clip.hidden)) continue;
    const style = getComputedStyle(e), ground = groundOf(e);
    const block = blockOf(e);
    if (!blocks.has(block)) blocks.set(block, blocks.size);
    const number = texts.length;
    for (const box of boxes) {
      lines.push({number, block: blocks.get(block), left: box.left, right: box.right,
                  top: box.top, bottom: box.bottom});
    }
    const offPage = boxes.some(box => box.right < 1 || box.bottom + scrollY < 1);
    texts.push({
      text, mark: markOf(e), size: parseFloat(style.fontSize), bold: +style.fontWeight >= 700,
      colour: blend(numbersOf(style.color), ground), ground,
      // Enough of the first line to tell its colours by.
      sample: [boxes[0].left + scrollX, boxes[0].top + scrollY,
               Math.min(boxes[0].width, 240), boxes[0].height],
      cut: offPage ? 'the edge of the page' : (clips.find(clip => clip.by) || {by: ''}).by,
    });
  }

  // Lines of different blocks that cover each other.
  const overlaps = [];
  lines.sort((a, b) => a.top - b.top);
  lines.forEach((a, n) => {
    for (let m = n + 1; m < lines.length && lines[m].top < a.bottom; m++) {
      const b = lines[m];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - b.top;
      const least = Math.min(a.bottom - a.top, b.bottom - b.top);
      if (a.block !== b.block && wide > 4 && high > least * 0.4) {
        overlaps.push([a.number, b.number]);
      }
    }
  });

  const links = [];
  for (const a of document.querySelectorAll('a[href]')) {
    const boxes = [...a.getClientRects()].filter(box => box.width > 0.5 && box.height > 0.5);
    if (!isShown(a) || !boxes.length || clipOf(a, boxes[0]).hidden) continue;
    const box = a.getBoundingClientRect(), style = getComputedStyle(a), holder = a.parentElement;
    const text = squeeze(a.innerText);
    const around = groundOf(holder);
    const inner = [a, ...a.querySelectorAll('*')].filter(e => e === a || squeeze(e.textContent));
    const borders = inner.map(e => getComputedStyle(e))
      .filter(s => parseFloat(s.borderBottomWidth) > 0 && s.borderBottomStyle !== 'none')
      .map(s => blend(numbersOf(s.borderBottomColor), around));
    const framed = ['Top', 'Right', 'Bottom', 'Left'].every(
      side => parseFloat(style[`border${side}Width`]) > 0 && style[`border${side}Style`] !== 'none');
    const cell = holder.localName === 'td' && squeeze(holder.innerText) === text
      && ownGround(holder) > 0;
    const block = blockOf(holder);
    let rest = squeeze(block.innerText);
    for (const other of block.querySelectorAll('a[href]')) {
      rest = rest.replace(squeeze(other.innerText), '');
    }
    links.push({
      text, mark: markOf(a), href: a.href,
      underlined: inner.some(e => getComputedStyle(e).textDecorationLine.includes('underline')),
      borders, around,
      button: a.getAttribute('role') === 'button' || framed || cell
        || (ownGround(a) > 0 && style.display !== 'inline'),
      sentence: !a.closest('li') && /\p{L}{3}/u.test(rest),
      left: box.left, right: box.right, top: box.top, bottom: box.bottom,
    });
  }

  const pictures = [...document.images].filter(isShown).map(e => {
    const box = e.getBoundingClientRect(), link = e.closest('a[href]');
    return {mark: markOf(e), alt: e.getAttribute('alt'), source: e.getAttribute('src') || '',
            width: box.width, height: box.height,
            link: link && !squeeze(link.innerText) ? link.href : ''};
  });

  const wide = document.documentElement.clientWidth;
  const beyond = e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && isShown(e) && box.right > wide + 1;
  };
  // What is too wide stretches all that stands around it. So first what has that width by its
  // own style, or is a word that does not break; only else whatever reaches over the edge.
  const spotOf = e => ({mark: markOf(e), text: squeeze(e.innerText || ''),
                        width: e.getBoundingClientRect().width});
  const isFixed = e => ['width', 'min-width'].some(name => {
    const set = e.computedStyleMap().get(name);  // as it is set, not as it came out
    return set && set.unit === 'px' && set.value > wide;
  });
  const findCulprits = () => {
    const over = [...document.body.querySelectorAll('*')].filter(beyond);
    const words = lines.filter(line => line.right - line.left > wide);
    const fixed = over.filter(isFixed).map(spotOf);
    const causes = fixed.length ? fixed : words.map(line => ({
      mark: texts[line.number].mark, text: texts[line.number].text, width: line.right - line.left}));
    return causes.length ? causes : over.filter(e => ![...e.children].some(beyond)).map(spotOf);
  };
  const culprits = document.documentElement.scrollWidth <= wide ? [] : findCulprits();

  return {texts, overlaps, links, pictures, culprits, width: wide,
          scrollWidth: document.documentElement.scrollWidth,
          mode: document.compatMode};
}
